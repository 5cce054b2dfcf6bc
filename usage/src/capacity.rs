//! How full the nodes are: now, and day by day. Physical is what a node has, allocated what its instances and volumes were
//! promised, used what is in use. For planners: floating point, and means; nothing here is billed. It does NOT forecast
//! (`reports` does).

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use metering::NodeId;
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{UsageError, unsigned};

/// Days of history that are shown: more than a year, so that seasons show.
pub const DAYS_SHOWN: i64 = 400;

/// Days back that are rolled up when they have readings: as late as a batch may come (`IngestSettings::days_max`).
const DAYS_OPEN: i64 = 62;

/// A day is complete this long after its end: its readings have come, and it has ended in every time zone.
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// "Now" is the mean of so much time before a node's latest reading.
const RECENT: SignedDuration = SignedDuration::from_mins(10);

/// A node with its history.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeCapacity {
    /// Which.
    pub node_id: NodeId,
    /// Its name.
    pub name: String,
    /// The latest that was heard of it.
    pub last_observed_at: Option<Timestamp>,
    /// Its processors; zero as long as nothing was read of the node itself, like the totals below.
    pub cpus: u32,
    /// Its memory.
    pub memory_total_kib: u64,
    /// The file systems that hold its volumes.
    pub storage_total_kib: u64,
    /// As of its latest reading.
    pub now: Figures,
    /// By day, in UTC, the latest last. Days without a reading are left out.
    pub days: Vec<NodeDay>,
}

/// What is allocated and used on a node at a time. `None`: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// vCPUs of instances that run or are paused.
    pub allocated_vcpus: f64,
    /// Memory that the host holds for them.
    pub allocated_memory_kib: u64,
    /// What volumes were promised.
    pub allocated_storage_kib: u64,
    /// Processors that are busy, by whatever.
    pub used_cpu: Option<f64>,
    /// Memory that is in use.
    pub used_memory_kib: Option<u64>,
    /// Storage that is in use.
    pub used_storage_kib: Option<u64>,
}

/// A day of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeDay {
    /// In UTC; what is allocated is summed by the local days of those who pay.
    pub day: Date,
    /// Its processors at the day's end.
    pub cpus: u32,
    /// Its memory at the day's end.
    pub memory_total_kib: u64,
    /// Its storage at the day's end.
    pub storage_total_kib: u64,
    /// Mean of the vCPUs of instances whose process existed.
    pub allocated_vcpus: f64,
    /// Mean of the memory that the host held for them.
    pub allocated_memory_kib: u64,
    /// Mean of what volumes were promised.
    pub allocated_storage_kib: u64,
    /// Mean of busy processors, over the time that was observed.
    pub used_cpu: f64,
    /// Mean of the memory in use.
    pub used_memory_kib: u64,
    /// The most memory that was in use at a reading.
    pub used_memory_kib_max: u64,
    /// Storage in use at the day's end.
    pub used_storage_kib: u64,
    /// How much of the day the node was observed, 0 to 1.
    pub observed: f64,
    /// Whether nothing more is expected of the day.
    pub is_complete: bool,
}

/// A node's reading.
struct Reading {
    at: Timestamp,
    boot_id: Option<Uuid>,
    cpus: u64,
    cpu_busy_ms: u64,
    memory_total_kib: u64,
    memory_used_kib: u64,
    storage_total_kib: u64,
    storage_used_kib: u64,
}

/// All nodes, by name. The provider's business: whoever asks has been let in by the caller.
///
/// # Errors
/// The database fails.
pub async fn nodes(db: &Database) -> Result<Vec<NodeCapacity>, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql!("capacity_nodes")).await?;
    let rows = transaction.query(&statement, &[]).await?;
    let mut latest: Option<Timestamp> = None;
    let mut nodes = Vec::with_capacity(rows.len());
    for row in &rows {
        let last_observed_at: Option<Timestamp> = row.try_get("last_observed_at")?;
        latest = latest.max(last_observed_at);
        let readings = match last_observed_at {
            Some(at) => recent(&transaction, row.try_get("node_id")?, at).await?,
            None => Vec::new(),
        };
        nodes.push(node(row, last_observed_at, &readings)?);
    }
    // Nothing was ever read: no day either. (The calendar's first day is none of PostgreSQL's.)
    let Some(latest) = latest else { return Ok(nodes) };
    let mut days = days(&transaction, date(latest).saturating_sub(DAYS_SHOWN.days())).await?;
    transaction.commit().await?;
    for node in &mut nodes {
        node.days = days.remove(&node.node_id.uuid()).unwrap_or_default();
    }
    Ok(nodes)
}

/// Sums up, for each node, the days that have readings and may still change; the running one as far as it has come.
/// Returns how many were written. Repeating it changes nothing that has not changed.
///
/// # Errors
/// The database fails.
pub async fn roll_up(db: &Database, now: Timestamp) -> Result<u64, UsageError> {
    let today = date(now);
    let from = today.saturating_sub(DAYS_OPEN.days());
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql!("days_to_roll_up")).await?;
    let rows = transaction.query(&statement, &[&from, &today]).await?;
    transaction.commit().await?;
    let mut written = 0;
    for row in &rows {
        let (node_id, day): (Uuid, Date) = (row.try_get("node_id")?, row.try_get("day")?);
        let Some((start, end)) = bounds(day) else { continue };
        let passed = now.min(end).duration_since(start);
        let span_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX).max(1);
        let is_complete = end.saturating_add(GRACE).is_ok_and(|closed| closed <= now);
        // A transaction for each day: none is long, and what was done stays done.
        let transaction = session.begin(Scope::Provider).await?;
        let statement = transaction.prepare_cached(sql!("roll_up_day")).await?;
        written +=
            transaction.execute(&statement, &[&node_id, &day, &start, &end, &span_ms, &is_complete]).await?;
        transaction.commit().await?;
    }
    Ok(written)
}

fn node(
    row: &Row,
    last_observed_at: Option<Timestamp>,
    readings: &[Reading],
) -> Result<NodeCapacity, UsageError> {
    let figure = |column| unsigned("instance or volume", column, row.try_get(column)?);
    let last = readings.first();
    Ok(NodeCapacity {
        node_id: NodeId::from_uuid(row.try_get("node_id")?),
        name: row.try_get("name")?,
        last_observed_at,
        cpus: last.map_or(0, |r| u32::try_from(r.cpus).unwrap_or(u32::MAX)),
        memory_total_kib: last.map_or(0, |r| r.memory_total_kib),
        storage_total_kib: last.map_or(0, |r| r.storage_total_kib),
        now: Figures {
            allocated_vcpus: figure("vcpus")? as f64,
            allocated_memory_kib: figure("memory_kib")?,
            allocated_storage_kib: figure("storage_kib")?,
            used_cpu: busy(readings),
            used_memory_kib: last.map(|r| r.memory_used_kib),
            used_storage_kib: last.map(|r| r.storage_used_kib),
        },
        days: Vec::new(),
    })
}

/// Mean of busy processors over readings, the latest first: only between such as follow each other in one life of the
/// kernel.
fn busy(readings: &[Reading]) -> Option<f64> {
    let (mut busy_ms, mut passed_ms) = (0_u64, 0_i128);
    for pair in readings.windows(2) {
        let (after, before) = (&pair[0], &pair[1]);
        if before.boot_id == after.boot_id && before.cpu_busy_ms <= after.cpu_busy_ms {
            busy_ms = busy_ms.saturating_add(after.cpu_busy_ms - before.cpu_busy_ms);
            passed_ms += after.at.duration_since(before.at).as_millis();
        }
    }
    (0 < passed_ms).then(|| busy_ms as f64 / passed_ms as f64)
}

async fn recent(
    transaction: &Transaction<'_>,
    node_id: Uuid,
    until: Timestamp,
) -> Result<Vec<Reading>, UsageError> {
    let since = until.saturating_sub(RECENT).unwrap_or(until);
    let statement = transaction.prepare_cached(sql!("capacity_now")).await?;
    let rows = transaction.query(&statement, &[&node_id, &since, &until]).await?;
    rows.iter().map(reading).collect()
}

fn reading(row: &Row) -> Result<Reading, UsageError> {
    let figure = |column| unsigned("node_reading", column, row.try_get(column)?);
    Ok(Reading {
        at: row.try_get("observed_at")?,
        boot_id: row.try_get("boot_id")?,
        cpus: figure("cpus")?,
        cpu_busy_ms: figure("cpu_busy_ms")?,
        memory_total_kib: figure("memory_total_kib")?,
        memory_used_kib: figure("memory_used_kib")?,
        storage_total_kib: figure("storage_total_kib")?,
        storage_used_kib: figure("storage_used_kib")?,
    })
}

async fn days(
    transaction: &Transaction<'_>,
    since: Date,
) -> Result<BTreeMap<Uuid, Vec<NodeDay>>, UsageError> {
    let statement = transaction.prepare_cached(sql!("capacity_days")).await?;
    let mut days: BTreeMap<Uuid, Vec<NodeDay>> = BTreeMap::new();
    for row in &transaction.query(&statement, &[&since]).await? {
        days.entry(row.try_get("node_id")?).or_default().push(day(row)?);
    }
    Ok(days)
}

fn day(row: &Row) -> Result<NodeDay, UsageError> {
    let figure = |column| unsigned("node_day", column, row.try_get(column)?);
    let (span_ms, observed_ms) = (figure("span_ms")? as f64, figure("observed_ms")? as f64);
    let mean = |column, per_second: f64| -> Result<f64, UsageError> {
        Ok(row.try_get::<_, f64>(column)? / (span_ms / per_second))
    };
    Ok(NodeDay {
        day: row.try_get("day")?,
        cpus: u32::try_from(figure("cpus")?).unwrap_or(u32::MAX),
        memory_total_kib: figure("memory_total_kib")?,
        storage_total_kib: figure("storage_total_kib")?,
        allocated_vcpus: mean("vcpu_ms", 1.0)?,
        // Casts of floats stop at the ends of what they are cast to.
        allocated_memory_kib: mean("memory_kib_s", 1_000.0)?.round() as u64,
        allocated_storage_kib: mean("provisioned_kib_s", 1_000.0)?.round() as u64,
        used_cpu: if 0.0 < observed_ms { figure("cpu_busy_ms")? as f64 / observed_ms } else { 0.0 },
        used_memory_kib: figure("memory_used_kib_mean")?,
        used_memory_kib_max: figure("memory_used_kib_max")?,
        used_storage_kib: figure("storage_used_kib_last")?,
        observed: (observed_ms / span_ms).min(1.0),
        is_complete: row.try_get("is_complete")?,
    })
}

fn date(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// A day in UTC.
fn bounds(day: Date) -> Option<(Timestamp, Timestamp)> {
    let start = day.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let end = day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings as (second, boot, busy ms), in order.
    fn check(readings: &[(i64, u128, u64)], expected: Option<f64>) {
        let readings: Vec<Reading> = readings
            .iter()
            .rev()
            .map(|(second, boot, cpu_busy_ms)| Reading {
                at: Timestamp::from_second(1_790_000_000 + second).unwrap(),
                boot_id: Some(Uuid::from_u128(*boot)),
                cpus: 4,
                cpu_busy_ms: *cpu_busy_ms,
                memory_total_kib: 0,
                memory_used_kib: 0,
                storage_total_kib: 0,
                storage_used_kib: 0,
            })
            .collect();
        assert_eq!(busy(&readings), expected);
    }

    #[test]
    fn a_reboot_is_neither_a_burst_of_work_nor_negative_work() {
        check(&[], None);
        check(&[(0, 1, 5)], None);
        check(&[(0, 1, 0), (60, 1, 120_000)], Some(2.0));
        // The counter has passed its old value: only the boot id tells.
        check(&[(0, 1, 100), (60, 1, 60_100), (120, 2, 999_999), (180, 2, 1_059_999)], Some(1.0));
        // Set back without a reboot.
        check(&[(0, 1, 100_000), (60, 1, 10), (120, 1, 60_010)], Some(1.0));
    }
}
