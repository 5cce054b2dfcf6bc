//! What is to be done about allowances that were crossed, until their month is over or they are changed. It does NOT do
//! it: the appliance does, and says here which instances it was done to, so that those are resumed afterwards and no
//! others.

use jiff::Timestamp;
use metering::{InstanceId, TenantId, micros};
use migrations::{Database, Scope};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Action, Basis, Threshold, sql};
use crate::store::invoices::StoreError;

/// Actions that are looked at in one pass. More tenants than these being over their allowances at once is the next pass' work.
const PASS_MAX: i64 = 10_000;

/// Something that is to be done to all instances of a tenant, and kept so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its identity.
    pub action_id: Uuid,
    /// Whose instances.
    pub tenant_id: TenantId,
    /// Because of which allowance.
    pub allowance: String,
    /// Which threshold, and what is done.
    pub threshold: Threshold,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
}

/// Something that was done to an instance and is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToUndo {
    /// Because of which action.
    pub action_id: Uuid,
    /// To which instance.
    pub instance_id: InstanceId,
    /// Whose it was.
    pub tenant_id: TenantId,
    /// What was done.
    pub action: Action,
}

/// Ends what is over by itself: its month, or its allowance. How many were.
///
/// # Errors
/// The database failed.
pub async fn end_over(database: &Database, now: Timestamp) -> Result<u64, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let ended = transaction.execute(sql::ACTION_END_OVER, &[&micros(now)]).await?;
    transaction.commit().await?;
    Ok(ended)
}

/// What is in force, of one tenant or of all, as far as `scope` may see it.
///
/// # Errors
/// The database failed.
pub async fn open(
    database: &Database,
    scope: Scope,
    tenant: Option<TenantId>,
) -> Result<Vec<Open>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let tenant = tenant.map(TenantId::uuid);
    let rows = transaction.query(sql::ACTION_OPEN, &[&tenant, &PASS_MAX]).await?;
    rows.iter().map(read).collect()
}

/// Says that it is about to be done to an instance. Before it is done: whoever dies in between leaves a note too many, and
/// resuming what was not suspended is nothing.
///
/// # Errors
/// The database failed.
pub async fn done(
    database: &Database,
    action: &Open,
    instance: InstanceId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (tenant, now) = (action.tenant_id.uuid(), micros(now));
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    transaction.execute(sql::ACTION_DONE, &[&action.action_id, &instance.uuid(), &tenant, &now]).await?;
    transaction.commit().await?;
    Ok(())
}

/// What was done and is over.
///
/// # Errors
/// The database failed.
pub async fn to_undo(database: &Database) -> Result<Vec<ToUndo>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(sql::ACTION_TO_UNDO, &[&PASS_MAX]).await?;
    rows.iter()
        .map(|row| {
            Ok(ToUndo {
                action_id: row.try_get("action_id")?,
                instance_id: InstanceId::from_uuid(row.try_get("instance_id")?),
                tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
                action: action(row)?,
            })
        })
        .collect()
}

/// Says that it was undone.
///
/// # Errors
/// The database failed.
pub async fn undone(database: &Database, what: &ToUndo, now: Timestamp) -> Result<(), StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    transaction
        .execute(sql::ACTION_UNDONE, &[&what.action_id, &what.instance_id.uuid(), &micros(now)])
        .await?;
    transaction.commit().await?;
    Ok(())
}

fn read(row: &Row) -> Result<Open, StoreError> {
    let allowance: String = row.try_get("name")?;
    let basis = Basis::parse(row.try_get("basis")?)
        .ok_or_else(|| StoreError::unreadable("action of allowance", &allowance, &"its basis is none"))?;
    let percent = row.try_get::<_, i32>("percent")?.unsigned_abs();
    Ok(Open {
        action_id: row.try_get("action_id")?,
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        threshold: Threshold { basis, percent, action: action(row)? },
        since: row.try_get("since")?,
        until: row.try_get("period_end")?,
        allowance,
    })
}

fn action(row: &Row) -> Result<Action, StoreError> {
    let text: &str = row.try_get("action")?;
    Action::parse(text).map_err(|error| StoreError::unreadable("action", text, &error))
}
