//! The proof that what is recorded is what was read: for every resource and meter the rises of its registers, summed
//! over their epochs, equal the sum of its usage records, to the last unit (invariant I1).
//!
//! The rises are computed by PostgreSQL, straight from the definition, not by `metering::derive`: two ways to one figure.
//! It does NOT mend anything, and it proves nothing once old readings have been dropped.

use std::collections::BTreeMap;

use metering::{MeterName, Resource, ResourceKind, catalog};
use migrations::{Database, Scope, Transaction};
use uuid::Uuid;

use crate::error::UsageError;
use crate::load;
use crate::records;

/// A resource's meter whose records do not add up to what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discrepancy {
    /// Of what.
    pub resource: Resource,
    /// Which meter.
    pub meter: MeterName,
    /// What its register rose by over all epochs.
    pub read: i64,
    /// What the usage records say.
    pub recorded: i64,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// How many sums were compared.
    pub compared: usize,
    /// Resources that wait for derivation: nothing is said about them.
    pub pending: usize,
    /// What is wrong. Empty: all is well.
    pub discrepancies: Vec<Discrepancy>,
}

/// Sums by resource and meter.
type Sums = BTreeMap<(Resource, MeterName), i64>;

/// Compares readings and records of one instance or volume; `None`: of all.
///
/// # Errors
/// The database fails.
pub async fn conservation(db: &Database, resource: Option<Uuid>) -> Result<Audit, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    // One statement after another sees newer rows: what is pending is asked before and after.
    let mut pending = pending(&transaction).await?;
    let recorded = recorded(&transaction, resource).await?;
    let mut read = Sums::new();
    for (kind, text) in [
        (ResourceKind::Instance, sql!("rises_instance")),
        (ResourceKind::Disk, sql!("rises_disk")),
        (ResourceKind::Nic, sql!("rises_nic")),
        (ResourceKind::Volume, sql!("rises_volume")),
    ] {
        add_rises(&transaction, kind, text, resource, &mut read).await?;
    }
    pending.extend(self::pending(&transaction).await?);
    pending.sort_unstable();
    pending.dedup();
    transaction.commit().await?;

    let mut audit = Audit { pending: pending.len(), ..Audit::default() };
    let mut sums: BTreeMap<(Resource, MeterName), (i64, i64)> = BTreeMap::new();
    for (key, sum) in read {
        sums.entry(key).or_default().0 = sum;
    }
    for (key, sum) in recorded {
        sums.entry(key).or_default().1 = sum;
    }
    for ((resource, meter), (read, recorded)) in sums {
        if pending.binary_search(&load::uuid_of(&resource)).is_ok() {
            continue;
        }
        audit.compared += 1;
        if read != recorded {
            audit.discrepancies.push(Discrepancy { resource, meter, read, recorded });
        }
    }
    Ok(audit)
}

async fn pending(transaction: &Transaction<'_>) -> Result<Vec<Uuid>, UsageError> {
    let statement = transaction.prepare_cached(sql!("pending")).await?;
    let rows = transaction.query(&statement, &[]).await?;
    rows.iter().map(|row| Ok(row.try_get("resource")?)).collect()
}

async fn recorded(transaction: &Transaction<'_>, resource: Option<Uuid>) -> Result<Sums, UsageError> {
    let statement = transaction.prepare_cached(sql!("recorded")).await?;
    let mut sums = Sums::new();
    for row in transaction.query(&statement, &[&resource]).await? {
        let key = (records::resource(&row)?, records::meter(&row)?);
        sums.insert(key, row.try_get("quantity")?);
    }
    Ok(sums)
}

async fn add_rises(
    transaction: &Transaction<'_>,
    kind: ResourceKind,
    text: &str,
    resource: Option<Uuid>,
    sums: &mut Sums,
) -> Result<(), UsageError> {
    let statement = transaction.prepare_cached(text).await?;
    for row in transaction.query(&statement, &[&resource]).await? {
        let resource = load::resource_of(kind, row.try_get("resource")?, row.try_get("device")?);
        for meter in catalog().iter().filter(|meter| meter.resource == kind) {
            sums.insert((resource.clone(), meter.id()), row.try_get(meter.register.as_str())?);
        }
    }
    Ok(())
}
