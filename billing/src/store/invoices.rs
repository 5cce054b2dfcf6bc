//! Invoices that were issued: listing and finding. Issuing is [`crate::invoice::issue`], what becomes of them
//! [`crate::invoice::lifecycle`] and [`crate::books`], paging `store::invoice_page`.

use jiff::Timestamp;
use metering::{TenantId, TenantName, Window};
use migrations::{Database, DbError, Scope, Transaction};
use rust_decimal::Decimal;
use tokio_postgres::Row;

pub use super::invoice_page::{BadCursor, InvoiceCursor, InvoiceQuery, Page, page};
use super::invoice_write::kind_as_str;
use super::sql;
pub use super::waiting::{Waiting, WaitingQuery, waiting};
use crate::invoice::document::{DocumentKind, InvoiceDocument, InvoiceId, InvoiceStatus};
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
    /// From when on it is overdue, unless it was paid.
    pub due_at: Option<Timestamp>,
    /// When it went out.
    pub sent_at: Option<Timestamp>,
    /// The number of what stands in its place.
    pub replaced_by: Option<String>,
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
    /// What kind of document it is.
    pub kind: DocumentKind,
    /// What it is for.
    pub service_period: Window,
    /// What is to be paid, with tax; of a credit note, what is given back.
    pub total: Money,
    /// When it got its number.
    pub issued_at: Timestamp,
    /// From when on it is overdue, unless it was paid.
    pub due_at: Option<Timestamp>,
    /// When it went out.
    pub sent_at: Option<Timestamp>,
    /// The number of what it takes back or takes the place of.
    pub corrects: Option<String>,
    /// The number of what stands in its place.
    pub replaced_by: Option<String>,
    /// When it was paid or withdrawn.
    pub settled_at: Option<Timestamp>,
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

impl InvoiceSummary {
    /// Whether it should have been paid by now.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        is_overdue(self.status, self.due_at, now)
    }
}

impl Invoice {
    /// Whether it should have been paid by now.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        is_overdue(self.status, self.due_at, now)
    }
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
        due_at: row.try_get("due_at")?,
        sent_at: row.try_get("sent_at")?,
        replaced_by: row.try_get("replaced_by")?,
        document,
        document_json,
    }))
}

fn is_overdue(status: InvoiceStatus, due_at: Option<Timestamp>, now: Timestamp) -> bool {
    status == InvoiceStatus::Issued && due_at.is_some_and(|due_at| due_at <= now)
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
        kind: read_kind(row, &number)?,
        service_period: read_window(row)?,
        total,
        issued_at: row.try_get("issued_at")?,
        due_at: row.try_get("due_at")?,
        sent_at: row.try_get("sent_at")?,
        corrects: row.try_get("corrects")?,
        replaced_by: row.try_get("replaced_by")?,
        settled_at: row.try_get("settled_at")?,
        number,
    })
}

fn read_kind(row: &Row, number: &str) -> Result<DocumentKind, StoreError> {
    let kind: &str = row.try_get("kind")?;
    [DocumentKind::Invoice, DocumentKind::CreditNote, DocumentKind::CorrectedInvoice]
        .into_iter()
        .find(|known| kind_as_str(*known) == kind)
        .ok_or_else(|| StoreError::unreadable("invoice", number, &kind))
}

fn read_status(row: &Row, number: &str) -> Result<InvoiceStatus, StoreError> {
    let status: &str = row.try_get("status")?;
    InvoiceStatus::parse(status).ok_or_else(|| StoreError::unreadable("invoice", number, &status))
}
