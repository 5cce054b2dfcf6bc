//! Invoices page by page, the newest first. A page begins after the last invoice of the one before it (a keyset, not
//! an offset): it costs the same however far back it lies, and an invoice that is issued meanwhile moves nothing. It
//! does NOT hide the cursor's content or sign it: a cursor that was altered begins elsewhere and shows no more.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use metering::{TenantId, micros};
use migrations::{Database, Scope};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::ToSql;

use super::invoice_write::kind_as_str;
use super::invoices::{InvoiceSummary, MAX_LISTED, StoreError, summary};
use super::sql;
use crate::invoice::document::{DocumentKind, InvoiceStatus};
use crate::invoice::series::is_series;

/// Which invoices, and how many at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvoiceQuery {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only those that stand there now.
    pub status: Option<InvoiceStatus>,
    /// Only those that are overdue at this instant.
    pub overdue_at: Option<Timestamp>,
    /// Only documents of this kind.
    pub kind: Option<DocumentKind>,
    /// Only those that come after it: [`Page::next`] of the page before.
    pub after: Option<InvoiceCursor>,
    /// How many at most, from 1 to [`MAX_LISTED`]; what lies outside is brought inside.
    pub limit: u32,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<Item, Cursor> {
    /// The items, in order.
    pub items: Vec<Item>,
    /// Where the next page begins. `None`: this is the last one.
    pub next: Option<Cursor>,
}

/// A place in the list of invoices: behind one of them. As text (`1793610000000000.INV-2026-000001`: microseconds
/// since 1970, and the number) it needs no escaping in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InvoiceCursor {
    issued_at: Timestamp,
    series: String,
    series_number: i64,
}

/// A text that no page gave as its next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "that is no place in the list of invoices; begin without a cursor, and take the one that each page gives"
)]
pub struct BadCursor;

/// The issued invoices that `scope` may see and `query` wants, the newest first.
///
/// # Errors
/// The database failed.
pub async fn page(
    database: &Database,
    scope: Scope,
    query: &InvoiceQuery,
) -> Result<Page<InvoiceSummary, InvoiceCursor>, StoreError> {
    let limit = query.limit.clamp(1, MAX_LISTED);
    let tenant = query.tenant.map(TenantId::uuid);
    let status = query.status.map(InvoiceStatus::as_str);
    let after = query.after.as_ref();
    let parameters: [&(dyn ToSql + Sync); 8] = [
        &tenant,
        &status,
        &after.map(|cursor| cursor.issued_at),
        &after.map(|cursor| cursor.series.as_str()),
        &after.map(|cursor| cursor.series_number),
        // One more than asked for tells whether there is another page.
        &(i64::from(limit) + 1),
        &query.overdue_at.map(micros),
        &query.kind.map(kind_as_str),
    ];
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let rows = transaction.query(sql::INVOICE_PAGE, &parameters).await?;
    let mut items = rows.iter().map(summary).collect::<Result<Vec<_>, _>>()?;
    let has_more = (limit as usize) < items.len();
    items.truncate(limit as usize);
    let last = items.last().filter(|_| has_more);
    let next = last
        .map(|last| {
            InvoiceCursor::behind(last.issued_at, &last.number)
                .map_err(|error| StoreError::unreadable("invoice", &last.number, &error))
        })
        .transpose()?;
    Ok(Page { items, next })
}

impl InvoiceCursor {
    fn behind(issued_at: Timestamp, number: &str) -> Result<Self, BadCursor> {
        let (series, series_number) = number.rsplit_once('-').ok_or(BadCursor)?;
        // What stands in numbers, and nothing that the database could not take.
        if !is_series(series) || series_number.len() < 6 || !is_digits(series_number) {
            return Err(BadCursor);
        }
        let series_number = series_number.parse().map_err(|_| BadCursor)?;
        Ok(Self { issued_at: micros(issued_at), series: series.to_owned(), series_number })
    }
}

impl fmt::Display for InvoiceCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}-{:06}", self.issued_at.as_microsecond(), self.series, self.series_number)
    }
}

impl FromStr for InvoiceCursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (issued_at, number) = text.split_once('.').ok_or(BadCursor)?;
        // Only digits: nothing was issued before 1970, and the database knows no instant before 4713 BC.
        if !is_digits(issued_at) {
            return Err(BadCursor);
        }
        let issued_at = issued_at.parse().map_err(|_| BadCursor)?;
        Self::behind(Timestamp::from_microsecond(issued_at).map_err(|_| BadCursor)?, number)
    }
}

impl TryFrom<String> for InvoiceCursor {
    type Error = BadCursor;

    fn try_from(text: String) -> Result<Self, BadCursor> {
        text.parse()
    }
}

impl From<InvoiceCursor> for String {
    fn from(cursor: InvoiceCursor) -> Self {
        cursor.to_string()
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
