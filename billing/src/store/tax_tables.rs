//! Tax tables that were applied: kept word for word, every revision, the latest in force. It checks nothing: a [`TaxTable`]
//! is valid.

use jiff::Timestamp;
use metering::micros;
use migrations::{Database, Scope, Transaction};

use super::invoices::StoreError;
use super::plans::{Applied, ReplaceError};
use crate::books::sql;
use crate::tax::TaxTable;

/// The table in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInForce {
    /// From 1 on.
    pub revision: i32,
    /// Since when.
    pub applied_at: Timestamp,
    /// What it says.
    pub table: TaxTable,
}

/// Puts `table` in force. Doing it twice is doing it once.
///
/// # Errors
/// The database failed.
pub async fn apply(database: &Database, table: &TaxTable, now: Timestamp) -> Result<Applied, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let latest = latest(&transaction).await?;
    put(transaction, table, latest, now).await
}

/// Puts `table` in force in the place of the revision `expected`; of 0: the first one.
///
/// # Errors
/// See [`ReplaceError`].
pub async fn replace(
    database: &Database,
    table: &TaxTable,
    expected: i32,
    now: Timestamp,
) -> Result<Applied, ReplaceError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let latest = latest(&transaction).await?;
    let current = latest.as_ref().map_or(0, |(revision, _)| *revision);
    if current != expected {
        return Err(ReplaceError::Changed { current });
    }
    Ok(put(transaction, table, latest, now).await?)
}

/// The revision in force and its text, while nobody else applies tables.
async fn latest(transaction: &Transaction<'_>) -> Result<Option<(i32, String)>, StoreError> {
    transaction.query_one(sql::TAX_LOCK, &[]).await?;
    let row = transaction.query_opt(sql::TAX_LATEST, &[]).await?;
    row.map(|row| Ok((row.try_get("revision")?, row.try_get("content")?))).transpose()
}

async fn put(
    transaction: Transaction<'_>,
    table: &TaxTable,
    latest: Option<(i32, String)>,
    now: Timestamp,
) -> Result<Applied, StoreError> {
    let revision = match latest {
        Some((revision, content)) if content == table.source() => return Ok(Applied::Unchanged { revision }),
        latest => latest.map_or(0, |(revision, _)| revision) + 1,
    };
    transaction.execute(sql::TAX_INSERT, &[&revision, &table.source(), &micros(now)]).await?;
    transaction.commit().await?;
    tracing::info!(revision, "tax table applied");
    Ok(Applied::New { revision })
}

/// The table in force, if one ever was.
///
/// # Errors
/// The database failed, or the stored text is no table for this version of the program.
pub async fn get(database: &Database) -> Result<Option<TableInForce>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    read(&transaction).await
}

/// The same, within a transaction of the provider's.
///
/// # Errors
/// See [`get`].
pub async fn read(transaction: &Transaction<'_>) -> Result<Option<TableInForce>, StoreError> {
    let Some(row) = transaction.query_opt(sql::TAX_LATEST, &[]).await? else {
        return Ok(None);
    };
    let revision: i32 = row.try_get("revision")?;
    let content: &str = row.try_get("content")?;
    let table = TaxTable::parse("the tax table", content.as_bytes())
        .map_err(|error| StoreError::unreadable("tax table", &revision.to_string(), &error))?;
    Ok(Some(TableInForce { revision, applied_at: row.try_get("applied_at")?, table }))
}
