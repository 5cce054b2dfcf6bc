//! Tenants' own terms: kept word for word, every revision, the latest in force. It does not know whether they fit a plan:
//! see [`PricePlan::for_tenant`](crate::PricePlan::for_tenant).

use jiff::Timestamp;
use metering::{TenantId, micros};
use migrations::{Database, Scope, Transaction};

use super::invoices::StoreError;
use super::plans::{Applied, ReplaceError};
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
    let latest = latest(&transaction, tenant).await?;
    put(transaction, tenant, terms, latest, now).await
}

/// Puts `terms` in force in the place of the revision `expected`; of 0: the tenant's first ones.
///
/// # Errors
/// See [`ReplaceError`].
pub async fn replace(
    database: &Database,
    tenant: TenantId,
    terms: &TenantTerms,
    expected: i32,
    now: Timestamp,
) -> Result<Applied, ReplaceError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let latest = latest(&transaction, tenant).await?;
    let current = latest.as_ref().map_or(0, |(revision, _)| *revision);
    if current != expected {
        return Err(ReplaceError::Changed { current });
    }
    Ok(put(transaction, tenant, terms, latest, now).await?)
}

/// The revision in force and its text, while nobody else applies the tenant's terms.
async fn latest(
    transaction: &Transaction<'_>,
    tenant: TenantId,
) -> Result<Option<(i32, String)>, StoreError> {
    transaction.query_one(sql::TERMS_LOCK, &[&tenant.uuid()]).await?;
    let row = transaction.query_opt(sql::TERMS_LATEST, &[&tenant.uuid()]).await?;
    row.map(|row| Ok((row.try_get("revision")?, row.try_get("content")?))).transpose()
}

async fn put(
    transaction: Transaction<'_>,
    tenant: TenantId,
    terms: &TenantTerms,
    latest: Option<(i32, String)>,
    now: Timestamp,
) -> Result<Applied, StoreError> {
    let revision = match latest {
        Some((revision, content)) if content == terms.source() => return Ok(Applied::Unchanged { revision }),
        latest => latest.map_or(0, |(revision, _)| revision) + 1,
    };
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
