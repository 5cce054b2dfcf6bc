//! Invoices that were issued: listing, finding, settling. Issuing is [`crate::invoice::issue`], paging
//! `store::invoice_page`.

use jiff::Timestamp;
use metering::{TenantId, TenantName, Window, micros};
use migrations::{Database, DbError, Scope, Transaction};
use rust_decimal::Decimal;
use tokio_postgres::Row;

pub use super::invoice_page::{BadCursor, InvoiceCursor, InvoiceQuery, Page, page};
use super::sql;
use crate::invoice::document::{InvoiceDocument, InvoiceId, InvoiceStatus};
use crate::money::{Currency, Money};

/// The most invoices that one list holds: more than a page shows, little enough to hold in memory.
pub const MAX_LISTED: u32 = 1_000;

/// An issued invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Its identity.
    pub invoice_id: InvoiceId,
    /// Who pays.
    pub tenant_id: TenantId,
    /// Where it stands now. (The document says where it stood when it was made.)
    pub status: InvoiceStatus,
    /// When it was paid or withdrawn.
    pub settled_at: Option<Timestamp>,
    /// The document.
    pub document: InvoiceDocument,
    /// The document as it was stored: the same bytes for ever.
    pub document_json: String,
}

/// One line of a list of invoices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceSummary {
    /// Its identity.
    pub invoice_id: InvoiceId,
    /// Who pays.
    pub tenant_id: TenantId,
    /// Who pays, by name.
    pub tenant: TenantName,
    /// `INV-2026-000001`.
    pub number: String,
    /// Where it stands now.
    pub status: InvoiceStatus,
    /// What it is for.
    pub service_period: Window,
    /// What is to be paid, with tax.
    pub total: Money,
    /// When it got its number.
    pub issued_at: Timestamp,
    /// When it was paid or withdrawn.
    pub settled_at: Option<Timestamp>,
}

/// How an issued invoice ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It was paid.
    Paid,
    /// It is withdrawn. Its number stays taken; its period may be invoiced again.
    Void,
}

/// What can go wrong with stored plans and invoices.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the database could not do it")]
    Database(#[from] DbError),
    /// A row holds what this version of the program cannot read.
    #[error("the stored {what} {name} cannot be read: {why}")]
    Unreadable {
        /// What it is.
        what: &'static str,
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed when it is made again: the connection was lost, or the server restarts.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_transient())
    }

    pub(crate) fn unreadable(what: &'static str, name: &str, why: &dyn std::fmt::Display) -> Self {
        Self::Unreadable { what, name: name.to_owned(), why: why.to_string() }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// The issued invoices that `scope` may see, the newest first, at most `limit` and never more than [`MAX_LISTED`].
///
/// # Errors
/// The database failed.
pub async fn list(database: &Database, scope: Scope, limit: u32) -> Result<Vec<InvoiceSummary>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let limit = i64::from(limit.min(MAX_LISTED));
    let rows = transaction.query(sql::INVOICE_LIST, &[&limit]).await?;
    rows.iter().map(summary).collect()
}

/// The invoice of that number, if there is one that `scope` may see: another tenant's is as good as none.
///
/// # Errors
/// The database failed.
pub async fn find(database: &Database, scope: Scope, number: &str) -> Result<Option<Invoice>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    with_number(&transaction, number).await
}

/// Notes that an issued invoice was paid or is withdrawn. `false` when there is no invoice of that number that is
/// issued and not settled.
///
/// # Errors
/// The database failed.
pub async fn settle(
    database: &Database,
    number: &str,
    settlement: Settlement,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if number.contains('\0') {
        return Ok(false);
    }
    let status = match settlement {
        Settlement::Paid => InvoiceStatus::Paid,
        Settlement::Void => InvoiceStatus::Void,
    };
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let settled =
        transaction.execute(sql::INVOICE_SETTLE, &[&number, &status.as_str(), &micros(now)]).await?;
    transaction.commit().await?;
    Ok(0 < settled)
}

/// The invoice of that number, within a transaction.
pub(crate) async fn with_number(
    transaction: &Transaction<'_>,
    number: &str,
) -> Result<Option<Invoice>, StoreError> {
    // PostgreSQL's text cannot hold NUL: nothing has such a number.
    if number.contains('\0') {
        return Ok(None);
    }
    let Some(row) = transaction.query_opt(sql::INVOICE_FIND, &[&number]).await? else {
        return Ok(None);
    };
    let document_json: String = row.try_get("document")?;
    let document: InvoiceDocument = serde_json::from_str(&document_json)
        .map_err(|error| StoreError::unreadable("invoice", number, &error))?;
    Ok(Some(Invoice {
        invoice_id: InvoiceId::from_uuid(row.try_get("invoice_id")?),
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        status: read_status(&row, number)?,
        settled_at: row.try_get("settled_at")?,
        document,
        document_json,
    }))
}

/// The period of a row of `invoice`.
pub(crate) fn read_window(row: &Row) -> Result<Window, StoreError> {
    let (start, end): (Timestamp, Timestamp) = (row.try_get("period_start")?, row.try_get("period_end")?);
    Window::new(start, end).map_err(|error| StoreError::unreadable("period", &start.to_string(), &error))
}

pub(super) fn summary(row: &Row) -> Result<InvoiceSummary, StoreError> {
    let number: String = row.try_get("number")?;
    let tenant: &str = row.try_get("tenant")?;
    let tenant = TenantName::new(tenant).map_err(|error| StoreError::unreadable("tenant", tenant, &error))?;
    let total: Decimal = row.try_get("total")?;
    let total = Currency::parse(row.try_get("currency")?)
        .and_then(|currency| Money::exact(total, currency))
        .map_err(|error| StoreError::unreadable("invoice", &number, &error))?;
    Ok(InvoiceSummary {
        invoice_id: InvoiceId::from_uuid(row.try_get("invoice_id")?),
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        tenant,
        status: read_status(row, &number)?,
        service_period: read_window(row)?,
        total,
        issued_at: row.try_get("issued_at")?,
        settled_at: row.try_get("settled_at")?,
        number,
    })
}

fn read_status(row: &Row, number: &str) -> Result<InvoiceStatus, StoreError> {
    let status: &str = row.try_get("status")?;
    InvoiceStatus::parse(status).ok_or_else(|| StoreError::unreadable("invoice", number, &status))
}
