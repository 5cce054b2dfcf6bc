//! Tax tables that were applied: kept word for word, every revision, the latest in force. It checks nothing: a [`TaxTable`]
//! is valid.

use jiff::Timestamp;
use metering::micros;
use migrations::{Database, Scope, Transaction};

use super::invoices::StoreError;
use super::plans::Applied;
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
    transaction.query_one(sql::TAX_LOCK, &[]).await?;
    let mut revision = 0;
    if let Some(row) = transaction.query_opt(sql::TAX_LATEST, &[]).await? {
        revision = row.try_get("revision")?;
        if row.try_get::<_, &str>("content")? == table.source() {
            return Ok(Applied::Unchanged { revision });
        }
    }
    revision += 1;
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
