//! Tenants' own terms: kept word for word, every revision, the latest in force. It does not know whether they fit a plan:
//! see [`PricePlan::for_tenant`](crate::PricePlan::for_tenant).

use jiff::Timestamp;
use metering::{TenantId, micros};
use migrations::{Database, Scope};

use super::invoices::StoreError;
use super::plans::Applied;
use super::sql;
use crate::terms::TenantTerms;

/// Terms in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTerms {
    /// What they say.
    pub terms: TenantTerms,
    /// From 1 on, for each tenant.
    pub revision: i32,
    /// Since when.
    pub applied_at: Timestamp,
}

/// Puts `terms` in force for a tenant. Doing it twice is doing it once.
///
/// # Errors
/// There is no such tenant, or the database failed.
pub async fn apply(
    database: &Database,
    tenant: TenantId,
    terms: &TenantTerms,
    now: Timestamp,
) -> Result<Applied, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    transaction.query_one(sql::TERMS_LOCK, &[&tenant.uuid()]).await?;
    let latest = transaction.query_opt(sql::TERMS_LATEST, &[&tenant.uuid()]).await?;
    let mut revision = 0;
    if let Some(row) = latest {
        revision = row.try_get("revision")?;
        if row.try_get::<_, &str>("content")? == terms.source() {
            return Ok(Applied::Unchanged { revision });
        }
    }
    revision += 1;
    transaction
        .execute(sql::TERMS_INSERT, &[&tenant.uuid(), &revision, &terms.source(), &micros(now)])
        .await?;
    transaction.commit().await?;
    tracing::info!(%tenant, revision, "a tenant's terms applied");
    Ok(Applied::New { revision })
}

/// The terms of `tenant` that are in force, if there are some that `scope` may see.
///
/// # Errors
/// The database failed, or the stored text is none for this version of the program.
pub async fn get(
    database: &Database,
    scope: Scope,
    tenant: TenantId,
) -> Result<Option<StoredTerms>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let Some(row) = transaction.query_opt(sql::TERMS_LATEST, &[&tenant.uuid()]).await? else {
        return Ok(None);
    };
    let terms = read(&tenant.to_string(), row.try_get("content")?)?;
    Ok(Some(StoredTerms {
        terms,
        revision: row.try_get("revision")?,
        applied_at: row.try_get("applied_at")?,
    }))
}

/// The terms of all tenants that are billed by `plan`, by the tenants' names.
///
/// # Errors
/// As [`get`].
pub async fn of_plan(database: &Database, plan: &str) -> Result<Vec<(String, TenantTerms)>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(sql::TERMS_OF_PLAN, &[&plan]).await?;
    rows.iter()
        .map(|row| {
            let name: String = row.try_get("name")?;
            let terms = read(&name, row.try_get("content")?)?;
            Ok((name, terms))
        })
        .collect()
}

fn read(tenant: &str, content: &str) -> Result<TenantTerms, StoreError> {
    TenantTerms::parse(&format!("terms of {tenant}"), content.as_bytes())
        .map_err(|error| StoreError::unreadable("terms", tenant, &error))
}
