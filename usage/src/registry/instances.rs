//! Instances and who pays for them. It does NOT start or stop any: `compute` does.

use std::collections::HashMap;

use jiff::Timestamp;
use metering::{InstanceId, InstanceState, NodeId, TenantId, TenantName};
use migrations::{Database, Scope};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{RegistryError, shown};
use crate::error::UsageError;
use crate::ingest::EARLIEST;
use crate::ownership;
use crate::settings::UsageSettings;

/// A guest, with who pays for it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Its name, as libvirt has it.
    pub name: String,
    /// The node that it was last seen on.
    pub node_id: NodeId,
    /// That node's name; `None` where `scope` may not see nodes.
    pub node_name: Option<String>,
    /// Who pays now; `None`: nobody was assigned.
    pub tenant_id: Option<TenantId>,
    /// Their name.
    pub tenant_name: Option<TenantName>,
    /// What its metadata claims.
    pub tenant_label: Option<String>,
    /// What it was last seen doing.
    pub state: InstanceState,
    /// When its first usage began, as far as known.
    pub first_seen_at: Timestamp,
    /// Its latest reading.
    pub last_seen_at: Timestamp,
    /// When it was seen to be gone.
    pub gone_at: Option<Timestamp>,
    /// Its vCPUs at its latest reading; `None`: not read yet, or not for `scope` to see.
    pub vcpus: Option<u32>,
    /// Its memory at its latest reading, in KiB.
    pub memory_kib: Option<u64>,
}

/// The instances that `scope` may see, by name.
pub async fn instances(db: &Database, scope: Scope) -> Result<Vec<Instance>, RegistryError> {
    select(db, scope, None, None).await
}

/// Who holds which of these instances now, as far as `scope` may see it.
///
/// # Errors
/// The database fails.
pub async fn holders(
    db: &Database,
    scope: Scope,
    instances: &[InstanceId],
) -> Result<HashMap<InstanceId, TenantId>, RegistryError> {
    if instances.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = instances.iter().map(|instance| instance.uuid()).collect();
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("holders")).await?;
    let rows = transaction.query(&statement, &[&ids]).await?;
    rows.iter()
        .map(|row| {
            let (instance, tenant): (Uuid, Uuid) = (row.try_get("instance_id")?, row.try_get("tenant_id")?);
            Ok((InstanceId::from_uuid(instance), TenantId::from_uuid(tenant)))
        })
        .collect()
}

/// How many instances there are that `scope` may see, and how many of them run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceCount {
    /// All but those that are gone.
    pub there: u64,
    /// Of them, those that run.
    pub running: u64,
}

/// Counts the instances that `scope` may see.
///
/// # Errors
/// The database fails.
pub async fn count_instances(db: &Database, scope: Scope) -> Result<InstanceCount, RegistryError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("count_instances")).await?;
    let row = transaction.query_one(&statement, &[]).await?;
    let figure = |column| -> Result<u64, RegistryError> { Ok(row.try_get::<_, i64>(column)?.unsigned_abs()) };
    Ok(InstanceCount { there: figure("there")?, running: figure("running")? })
}

/// The instance of that id or name. Gone ones are found by name only when no other has it.
///
/// # Errors
/// There is none that `scope` may see, or several.
pub async fn find_instance(db: &Database, scope: Scope, asked: &str) -> Result<Instance, RegistryError> {
    let none = || RegistryError::NoInstance { asked: shown(asked) };
    if asked.contains('\0') {
        return Err(none());
    }
    let id: Option<Uuid> = asked.parse().ok();
    let mut found = select(db, scope, id, Some(asked)).await?;
    if let Some(by_id) = found.iter().position(|instance| Some(instance.id.uuid()) == id) {
        return Ok(found.swap_remove(by_id));
    }
    if found.iter().any(|instance| instance.gone_at.is_none()) {
        found.retain(|instance| instance.gone_at.is_none());
    }
    match found.len() {
        0 => Err(none()),
        1 => Ok(found.swap_remove(0)),
        _ => Err(RegistryError::Ambiguous {
            asked: shown(asked),
            ids: found.iter().map(|instance| instance.id).collect(),
        }),
    }
}

/// Makes `tenant_id` pay for an instance, and for the volumes attached to it, from `since` on; `None`: from its first
/// usage on. Usage of the windows since then is derived again.
///
/// # Errors
/// There is no such instance or tenant.
pub async fn assign(
    db: &Database,
    instance_id: InstanceId,
    tenant_id: TenantId,
    since: Option<Timestamp>,
    settings: UsageSettings,
) -> Result<(), RegistryError> {
    if let Some(at) = since.filter(|at| at.as_second() < EARLIEST || LATEST < at.as_second()) {
        return Err(RegistryError::BadInstant { at });
    }
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    ownership::require_tenant(&transaction, tenant_id).await?;
    let first_seen_at = ownership::lock_instance(&transaction, instance_id)
        .await?
        .ok_or_else(|| RegistryError::NoInstance { asked: instance_id.to_string() })?;
    let since = since.map_or(first_seen_at, |since| metering::micros(since).max(first_seen_at));
    ownership::assign(&transaction, instance_id, tenant_id, since, settings.window).await?;
    transaction.commit().await?;
    Ok(())
}

/// The latest instant that `assign` takes, in seconds: the end of the year 9999, as far as people write dates.
const LATEST: i64 = 253_402_300_799;

async fn select(
    db: &Database,
    scope: Scope,
    id: Option<Uuid>,
    name: Option<&str>,
) -> Result<Vec<Instance>, RegistryError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("instances")).await?;
    let is_provider = scope == Scope::Provider;
    let rows = transaction.query(&statement, &[&id, &name, &is_provider]).await?;
    Ok(rows.iter().map(instance).collect::<Result<_, _>>()?)
}

pub(super) fn instance(row: &Row) -> Result<Instance, UsageError> {
    let state: String = row.try_get("state")?;
    Ok(Instance {
        id: InstanceId::from_uuid(row.try_get("instance_id")?),
        name: row.try_get("name")?,
        node_id: NodeId::from_uuid(row.try_get("node_id")?),
        node_name: row.try_get("node_name")?,
        tenant_id: row.try_get::<_, Option<_>>("tenant_id")?.map(TenantId::from_uuid),
        tenant_name: row
            .try_get::<_, Option<String>>("tenant_name")?
            .and_then(|name| TenantName::new(&name).ok()),
        tenant_label: row.try_get("tenant_label")?,
        state: InstanceState::parse(&state).ok_or(UsageError::Corrupt {
            table: "instance",
            column: "state",
            value: state,
        })?,
        first_seen_at: row.try_get("first_seen_at")?,
        last_seen_at: row.try_get("last_seen_at")?,
        gone_at: row.try_get("gone_at")?,
        // What was written came from a u32.
        vcpus: row.try_get::<_, Option<i64>>("vcpus")?.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
        memory_kib: row.try_get::<_, Option<i64>>("memory_kib")?.map(i64::unsigned_abs),
    })
}
