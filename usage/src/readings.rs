//! Looking at readings: first and last of each epoch, the latest of each instance, and how far the nodes have reported.
//! It does NOT derive anything from them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use metering::{
    Epoch, EpochId, InstanceId, InstanceReading, InstanceRegisters, InstanceState, NodeId, Resource,
    ResourceKind, TenantId, Window,
};
use migrations::{Database, Scope};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{UsageError, unsigned};
use crate::ingest::OWNER_SILENCE;
use crate::load;

/// A node that never joined (a control plane's own of former times, which nobody can remove) and has been silent for longer
/// is taken for dismantled: it must not hold up everybody's reports for ever.
pub const NODE_LIVE: SignedDuration = SignedDuration::from_hours(24);

/// What a node told of within so long before it fell silent is taken to have been there then: looks are a minute apart, an hour
/// at most, and what is one too many waits for a node for nothing.
const SILENCE_SLACK: SignedDuration = SignedDuration::from_hours(1);

/// Registers at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterReading {
    /// When.
    pub observed_at: Timestamp,
    /// Name and value of each that has a meter, in the order of its table.
    pub registers: Vec<(&'static str, u64)>,
}

/// A node whose readings are still to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// What it is called.
    pub name: String,
    /// The latest instant of which it reported. `None`: it never did.
    pub reported_until: Option<Timestamp>,
    /// The names of a tenant's instances and volumes that they may be about. Empty: it was not asked for one tenant.
    pub about: Vec<String>,
}

/// What was read of one epoch of a resource within a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochReadings {
    /// Of what.
    pub resource: Resource,
    /// Which life.
    pub epoch: Epoch,
    /// The first reading.
    pub first: RegisterReading,
    /// The last reading.
    pub last: RegisterReading,
    /// How many there were.
    pub readings: u64,
}

/// The latest reading of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// The instance's name.
    pub name: String,
    /// Its reading.
    pub reading: InstanceReading,
}

/// For an instance, its devices and its volumes: the first and the last reading of each epoch within `window`, as far
/// as `scope` may see them. By resource, then by time.
///
/// # Errors
/// The database fails.
pub async fn epochs_of(
    db: &Database,
    scope: Scope,
    instance_id: InstanceId,
    window: Window,
) -> Result<Vec<EpochReadings>, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let mut found: BTreeMap<(Resource, Timestamp, EpochId), EpochReadings> = BTreeMap::new();
    for (kind, text) in [
        (ResourceKind::Instance, sql!("epochs_instance")),
        (ResourceKind::Disk, sql!("epochs_disk")),
        (ResourceKind::Nic, sql!("epochs_nic")),
        (ResourceKind::Volume, sql!("epochs_volume")),
    ] {
        let statement = transaction.prepare_cached(text).await?;
        let rows =
            transaction.query(&statement, &[&instance_id.uuid(), &window.start(), &window.end()]).await?;
        for row in &rows {
            let (resource, started) = (resource(kind, row)?, row.try_get("first_observed_at")?);
            let epoch = EpochId::from_i64(row.try_get("epoch")?);
            let reading = registers(kind, row)?;
            let known = found.entry((resource.clone(), started, epoch)).or_insert(EpochReadings {
                resource,
                epoch: Epoch { id: epoch, born_at: row.try_get("born_at")? },
                first: reading.clone(),
                last: reading.clone(),
                readings: unsigned("a reading table", "readings", row.try_get("readings")?)?,
            });
            if reading.observed_at < known.first.observed_at {
                known.first = reading;
            } else if known.last.observed_at < reading.observed_at {
                known.last = reading;
            }
        }
    }
    Ok(found.into_values().collect())
}

/// The latest reading of each instance that is not gone, by name, as far as `scope` may see them.
///
/// # Errors
/// The database fails.
pub async fn latest(db: &Database, scope: Scope) -> Result<Vec<Latest>, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("latest")).await?;
    let tenant: Option<Uuid> = match scope {
        Scope::Provider => None,
        Scope::Tenant(tenant_id) => Some(tenant_id),
    };
    transaction.query(&statement, &[&tenant]).await?.iter().map(latest_of).collect()
}

/// The nodes whose readings up to `end` are still to come, the one that is furthest behind first: without them what lies
/// before `end` is not complete. A node that joined counts until it is removed.
///
/// # Errors
/// The database fails.
pub async fn behind(db: &Database, end: Timestamp, now: Timestamp) -> Result<Vec<Behind>, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql!("nodes_behind")).await?;
    let live_since = now.saturating_sub(NODE_LIVE).unwrap_or(now);
    let rows = transaction.query(&statement, &[&end, &live_since]).await?;
    rows.iter()
        .map(|row| {
            let about = Vec::new();
            Ok(Behind { name: row.try_get("name")?, reported_until: row.try_get("reported_until")?, about })
        })
        .collect()
}

/// Those of them whose readings may be about what `tenant` held in `period`: what a node had when it was heard last, what left it
/// since, and what left another node without being seen again. Another tenant's invoice need not wait for them. `own`: this
/// control plane's own node, which counts however long it was silent.
///
/// # Errors
/// The database fails.
pub async fn behind_of(
    db: &Database,
    tenant: TenantId,
    period: Window,
    own: Option<NodeId>,
    now: Timestamp,
) -> Result<Vec<Behind>, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql!("nodes_behind_of")).await?;
    let live_since = now.saturating_sub(NODE_LIVE).unwrap_or(now);
    let (tenant, own) = (tenant.uuid(), own.map(NodeId::uuid));
    let (had, lost) = (SILENCE_SLACK.as_secs(), i64::try_from(OWNER_SILENCE.as_secs()).unwrap_or(i64::MAX));
    let (start, end) = (period.start(), period.end());
    let rows =
        transaction.query(&statement, &[&end, &live_since, &tenant, &start, &own, &had, &lost]).await?;
    rows.iter()
        .map(|row| {
            let about = row.try_get("about")?;
            Ok(Behind { name: row.try_get("name")?, reported_until: row.try_get("reported_until")?, about })
        })
        .collect()
}

fn resource(kind: ResourceKind, row: &Row) -> Result<Resource, UsageError> {
    let id: Uuid = row.try_get("resource")?;
    Ok(load::resource_of(kind, id, row.try_get("device")?))
}

fn registers(kind: ResourceKind, row: &Row) -> Result<RegisterReading, UsageError> {
    let mut registers = Vec::new();
    for name in load::registers(kind) {
        registers.push((*name, unsigned("a reading table", name, row.try_get(*name)?)?));
    }
    Ok(RegisterReading { observed_at: row.try_get("observed_at")?, registers })
}

fn latest_of(row: &Row) -> Result<Latest, UsageError> {
    let figure = |column| unsigned("instance", column, row.try_get(column)?);
    let state: String = row.try_get("state")?;
    let reading = InstanceReading {
        instance_id: InstanceId::from_uuid(row.try_get("instance_id")?),
        observed_at: row.try_get("observed_at")?,
        epoch: Epoch { id: EpochId::from_i64(row.try_get("epoch")?), born_at: row.try_get("born_at")? },
        state: InstanceState::parse(&state).ok_or(UsageError::Corrupt {
            table: "instance",
            column: "state",
            value: state,
        })?,
        // What was written came from a u32.
        vcpus: u32::try_from(figure("vcpus")?).unwrap_or(u32::MAX),
        memory_kib: figure("memory_kib")?,
        registers: InstanceRegisters {
            cpu_ns: figure("cpu_ns")?,
            running_ms: figure("running_ms")?,
            vcpu_ms: figure("vcpu_ms")?,
            memory_kib_s: figure("memory_kib_s")?,
        },
    };
    Ok(Latest { name: row.try_get("name")?, reading })
}
