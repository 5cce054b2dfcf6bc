//! The texts that were in force, every one of them: of a plan, of a tenant's own terms, of the tax table, word for
//! word: by which prices somebody was billed then can be read as long as there are invoices.
//!
//! It does NOT read them: what an earlier release took need not be a plan for this one.

use jiff::Timestamp;
use metering::TenantId;
use migrations::{Database, Scope};
use tokio_postgres::Row;

use super::invoices::StoreError;
use super::sql;

/// Of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// The plan of this name.
    Plan(String),
    /// This tenant's own terms.
    Terms(TenantId),
    /// The tax table.
    TaxTable,
}

/// One text, without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// From 1 on.
    pub revision: i32,
    /// From then on it was in force, until the next one was.
    pub applied_at: Timestamp,
}

/// At most `limit` of them that `scope` may see, from revision `last` downwards.
///
/// # Errors
/// The database failed.
pub async fn list(
    database: &Database,
    scope: Scope,
    of: &Of,
    last: i32,
    limit: u32,
) -> Result<Vec<Revision>, StoreError> {
    rows(database, scope, of, last, limit, false).await?.iter().map(revision).collect()
}

/// One of them with its text, if there is one that `scope` may see.
///
/// # Errors
/// The database failed.
pub async fn find(
    database: &Database,
    scope: Scope,
    of: &Of,
    asked: i32,
) -> Result<Option<(Revision, String)>, StoreError> {
    let rows = rows(database, scope, of, asked, 1, true).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let found = revision(row)?;
    if found.revision != asked {
        return Ok(None);
    }
    Ok(Some((found, row.try_get("content")?)))
}

async fn rows(
    database: &Database,
    scope: Scope,
    of: &Of,
    last: i32,
    limit: u32,
    with_text: bool,
) -> Result<Vec<Row>, StoreError> {
    let limit = i64::from(limit);
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let rows = match of {
        // PostgreSQL's text cannot hold NUL: nothing is stored under such a name.
        Of::Plan(name) if name.contains('\0') => Vec::new(),
        Of::Plan(name) => transaction.query(sql::PLAN_REVISIONS, &[name, &last, &limit, &with_text]).await?,
        Of::Terms(tenant) => {
            transaction.query(sql::TERMS_REVISIONS, &[&tenant.uuid(), &last, &limit, &with_text]).await?
        }
        Of::TaxTable => transaction.query(sql::TAX_REVISIONS, &[&last, &limit, &with_text]).await?,
    };
    Ok(rows)
}

fn revision(row: &Row) -> Result<Revision, StoreError> {
    Ok(Revision { revision: row.try_get("revision")?, applied_at: row.try_get("applied_at")? })
}
