//! Instances whose rates are bounded because of an allowance, and what they were before, in PostgreSQL. What is set and set back is
//! compute's; it is text here.

use jiff::Timestamp;
use metering::{InstanceId, TenantId, micros};
use migrations::{Database, Scope};

use super::sql;
use crate::store::invoices::StoreError;

/// Instances that are read at once: more than these throttled at once on one machine there are not.
const LIST_MAX: i64 = 100_000;

/// An instance that is throttled, or was to be when somebody died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// Which.
    pub instance_id: InstanceId,
    /// Whose it was then.
    pub tenant_id: TenantId,
    /// What was before and what is set, as compute writes it.
    pub bounds: String,
    /// What of it could not be set, for the operator.
    pub notices: Vec<String>,
    /// Since when.
    pub since: Timestamp,
}

/// All of them.
///
/// # Errors
/// The database failed.
pub async fn list(database: &Database) -> Result<Vec<Throttled>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(sql::THROTTLED_LIST, &[&LIST_MAX]).await?;
    rows.iter()
        .map(|row| {
            Ok(Throttled {
                instance_id: InstanceId::from_uuid(row.try_get("instance_id")?),
                tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
                bounds: row.try_get("bounds")?,
                notices: row.try_get("notices")?,
                since: row.try_get("since")?,
            })
        })
        .collect()
}

/// Writes down what is about to be set, or what could not be. Before anything is set: what is not noted is never set back.
///
/// # Errors
/// The database failed.
pub async fn put(
    database: &Database,
    (instance, tenant): (InstanceId, TenantId),
    bounds: &str,
    notices: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    let now = micros(now);
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    transaction
        .execute(sql::THROTTLED_PUT, &[&instance.uuid(), &tenant.uuid(), &bounds, &notices, &now])
        .await?;
    transaction.commit().await?;
    Ok(())
}

/// Forgets an instance whose rates are as before, or that is gone.
///
/// # Errors
/// The database failed.
pub async fn remove(database: &Database, instance: InstanceId) -> Result<(), StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    transaction.execute(sql::THROTTLED_REMOVE, &[&instance.uuid()]).await?;
    transaction.commit().await?;
    Ok(())
}
