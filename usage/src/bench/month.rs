//! A month to close: 31 days of six meters (744 windows each) for tenants whose days are UTC's. It is loaded part by part,
//! because the usage records of 50,000 instances take more room than many a machine has: those of a part can be forgotten
//! when they were looked at, and their sums by day, from which a month is closed, stay.
//!
//! It does NOT load readings, and what it loads was never dirty.

use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::{Meter, catalog};
use migrations::Database;

use super::{Size, as_owner, bare, days_before, devices, execute, midnight_of, put_everybody};
use crate::error::UsageError;

/// Of a month close: 744 hours.
pub const MONTH_DAYS: u32 = 31;

/// What is metered for a month close: what most plans have a price for.
pub const MONTH_METERS: [&str; 6] =
    ["vcpu_ms", "cpu_ns", "memory_kib_s", "net_rx_bytes", "net_tx_bytes", "provisioned_kib_s"];

/// A month that is being loaded.
pub struct Month<'a> {
    db: &'a Database,
    midnight: Timestamp,
    meters: Vec<&'static Meter>,
    /// What puts keys and indexes back.
    keys: Vec<String>,
}

impl<'a> Month<'a> {
    /// Begins the month before midnight (UTC) of `until` with tenants, and `instances` shared out among them, which were seen to end
    /// then: a running Weir has nothing to derive of them. For an empty database, and once.
    ///
    /// # Errors
    /// The database fails.
    pub async fn begin(
        db: &'a Database,
        tenants: u32,
        instances: u32,
        until: Timestamp,
    ) -> Result<Self, UsageError> {
        let midnight = midnight_of(until);
        let meters = catalog().iter().filter(|meter| MONTH_METERS.contains(&meter.name.as_str())).collect();
        put_everybody(db, Size { tenants, instances, days: MONTH_DAYS }, true, midnight).await?;
        execute(db, sql!("bench_gone"), &[]).await?;
        let mut keys = bare(db, "usage_record").await?;
        keys.extend(bare(db, "usage_day").await?);
        // Nobody needs these records after a crash: reading them is the same, loading them is half the work.
        as_owner(db, &["ALTER TABLE usage_record SET UNLOGGED".to_owned()]).await?;
        Ok(Self { db, midnight, meters, keys })
    }

    /// Loads the records of the instances with these numbers (from 1), and their sums by day. Returns how many records.
    ///
    /// # Errors
    /// The database fails.
    pub async fn load(&self, instances: Range<u32>) -> Result<u64, UsageError> {
        let name = |number: u32| format!("bench-{number:06}");
        let (first, behind) = (name(instances.start), name(instances.end));
        let kinds: Vec<&str> = self.meters.iter().map(|meter| meter.resource.as_str()).collect();
        let names: Vec<&str> = self.meters.iter().map(|meter| meter.name.as_str()).collect();
        let devices = devices(&self.meters);
        let mut records = 0;
        for day in (1..=MONTH_DAYS).rev() {
            let day = days_before(self.midnight, day).to_zoned(TimeZone::UTC).date();
            records +=
                execute(self.db, sql!("bench_month"), &[&day, &first, &behind, &kinds, &devices, &names])
                    .await?;
        }
        Ok(records)
    }

    /// Gives the room of all records back; their sums stay.
    ///
    /// # Errors
    /// The database fails.
    pub async fn forget_records(&self) -> Result<(), UsageError> {
        as_owner(self.db, &["TRUNCATE usage_record".to_owned()]).await
    }

    /// Puts keys and indexes back, and adds up what all parts came to.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end(self) -> Result<(), UsageError> {
        as_owner(self.db, &self.keys).await?;
        execute(self.db, sql!("bench_totals"), &[]).await?;
        // What autovacuum would do in its own time.
        as_owner(self.db, &["ANALYZE".to_owned()]).await
    }
}
