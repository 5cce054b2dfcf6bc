//! The life of an invoice between draft and void, and who did what: the audit trail.
//!
//! ```text
//! draft -> review -> approved -> issued -> paid        sent: a mail server took it. overdue: due and not paid
//!   ^--------+----------'           '-> void
//! ```
//!
//! A draft is rated anew until its grace period is over. What is in review does not change any more: what somebody looked at
//! is what is issued. It does not rate and issue from usage ([`super::issue`] does), correct ([`super::correct`]) or note
//! payments ([`crate::books`]). The database enforces the same rules once more.

use jiff::Timestamp;
use metering::{TenantId, Window};
use migrations::{Database, Scope, Transaction};
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::document::{DocumentKind, InvoiceDocument, InvoiceId, InvoiceStatus};
use super::series::Series;
use crate::books;
use crate::store::invoice_sql;
use crate::store::invoice_write::{self as write, Payer};
use crate::store::invoices::{Invoice, StoreError, with_number};
use crate::webhooks::{self, EventType};

/// The most steps of one invoice that are listed: nobody takes so many.
const EVENTS_MAX: i64 = 1_000;

/// Who acts, and how invoices are numbered there.
#[derive(Clone, Copy, Debug)]
pub struct Desk<'a> {
    /// A user's name, `command line`, or `automatic`.
    pub actor: &'a str,
    /// The series.
    pub series: &'a Series,
}

/// Where an invoice stands that has no number yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is rated anew as readings come in.
    Draft,
    /// It waits for somebody to look at it.
    Review,
    /// Somebody did; it waits to be issued.
    Approved,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was rated for the first time.
    Drafted,
    /// It was put up for review.
    Frozen,
    /// It was made a draft again.
    SentBack,
    /// It was approved.
    Approved,
    /// It got its number.
    Issued,
    /// It was withdrawn.
    Voided,
    /// Another one took its place.
    Replaced,
    /// It came to nothing before it was issued.
    Discarded,
}

/// Who did what and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What: `approved`.
    pub action: String,
    /// What there was to say.
    pub note: Option<String>,
}

/// Which invoice is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// By its identity: one without a number has nothing else.
    Id(InvoiceId),
    /// By its number.
    Number(&'a str),
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// There is no such invoice.
    #[error("there is no invoice {0}")]
    None(String),
    /// It stands elsewhere.
    #[error("invoice {which} is {status}: {remedy}")]
    Elsewhere {
        /// Number or identity.
        which: String,
        /// Where it stands.
        status: String,
        /// What to do instead.
        remedy: &'static str,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Approves what is in draft or review. Approving twice is approving once.
///
/// # Errors
/// There is no such invoice, or it has a number.
pub async fn approve(
    database: &Database,
    invoice: InvoiceId,
    desk: &Desk<'_>,
    now: Timestamp,
) -> Result<(), StepError> {
    step(database, invoice, (Stage::Approved, Action::Approved), desk, now).await
}

/// Makes a draft again of what is in review or approved: the next rating replaces it.
///
/// # Errors
/// There is no such invoice, or it has a number.
pub async fn send_back(
    database: &Database,
    invoice: InvoiceId,
    desk: &Desk<'_>,
    now: Timestamp,
) -> Result<(), StepError> {
    step(database, invoice, (Stage::Draft, Action::SentBack), desk, now).await
}

/// Issues what was approved, as it was approved; finds it when it was issued before.
///
/// # Errors
/// There is no such invoice, or nobody approved it.
pub async fn issue_approved(
    database: &Database,
    invoice: InvoiceId,
    desk: &Desk<'_>,
    now: Timestamp,
) -> Result<Invoice, StepError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let locked = lock(&transaction, Which::Id(invoice)).await?;
    if let Some(number) = &locked.number {
        return Ok(found(&transaction, number).await?);
    }
    if locked.status != Stage::Approved.as_str() {
        return Err(locked.elsewhere("approve it first (weir billing approve)"));
    }
    let number = write::take_number(&transaction, desk, &locked.document, now).await?;
    let issued = write::issue(&transaction, &locked.payer, locked.document, &number, desk, now).await?;
    transaction.commit().await?;
    tracing::info!(number = number.text, tenant = %locked.payer.name, "invoice issued");
    Ok(issued)
}

/// Withdraws an issued invoice that nobody has paid, or on which nothing was ever owed: its number stays taken, its period may be invoiced again, and the books
/// take it back. Voiding twice is voiding once.
///
/// # Errors
/// It is paid, replaced or a credit note, or there is none.
pub async fn void(
    database: &Database,
    number: &str,
    reason: &str,
    desk: &Desk<'_>,
    now: Timestamp,
) -> Result<Invoice, StepError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let locked = lock(&transaction, Which::Number(number)).await?;
    if locked.is_replaced {
        return Err(locked.elsewhere("it was replaced; void what stands in its place"));
    }
    if locked.document.kind == DocumentKind::CreditNote {
        return Err(locked.elsewhere("a credit note is not withdrawn; void the corrected invoice instead"));
    }
    match InvoiceStatus::parse(&locked.status) {
        Some(InvoiceStatus::Void) => return Ok(found(&transaction, number).await?),
        Some(InvoiceStatus::Issued) => {}
        Some(InvoiceStatus::Paid) if locked.document.total.amount() <= Decimal::ZERO => {
            transaction.execute(invoice_sql::UNSETTLE, &[&locked.document.invoice_id.uuid()]).await?;
        }
        Some(InvoiceStatus::Paid) => {
            return Err(locked.elsewhere(
                "take the payment back first, or correct the invoice (weir invoice rerate NUMBER --issue)",
            ));
        }
        Some(InvoiceStatus::Draft) | None => return Err(locked.elsewhere("only what was issued can be void")),
    }
    let (id, tenant, now) = (locked.document.invoice_id, locked.payer.tenant_id, metering::micros(now));
    transaction.execute(invoice_sql::VOID, &[&id.uuid(), &now]).await?;
    if !books::post_void(&transaction, tenant, id, now).await? {
        return Err(
            locked.elsewhere("what it gave was paid out; correct it (weir invoice rerate NUMBER --issue)")
        );
    }
    let mut data = write::about(&locked.document);
    data["reason"] = reason.into();
    webhooks::emit(&transaction, EventType::InvoiceVoided, tenant, &data, now).await?;
    write::note(&transaction, tenant, id, (Action::Voided, Some(reason)), desk, now).await?;
    let invoice = found(&transaction, number).await?;
    transaction.commit().await?;
    tracing::info!(number, reason, "invoice void");
    Ok(invoice)
}

/// Notes that an invoice went out by other means than mail. `false`: it was noted before, or there is none.
///
/// # Errors
/// The database failed.
pub async fn mark_sent(database: &Database, number: &str, now: Timestamp) -> Result<bool, StoreError> {
    if number.contains('\0') {
        return Ok(false);
    }
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let sent = transaction.execute(invoice_sql::SET_SENT, &[&number, &metering::micros(now)]).await?;
    if 0 < sent
        && let Some(invoice) = with_number(&transaction, number).await?
    {
        let data = write::about(&invoice.document);
        webhooks::emit(&transaction, EventType::InvoiceSent, invoice.tenant_id, &data, now).await?;
    }
    transaction.commit().await?;
    Ok(0 < sent)
}

/// What stands for exactly this period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It has no number yet.
    Waits(InvoiceId, Stage),
    /// It was issued under this number.
    Issued(InvoiceId, String),
}

/// What stands for a tenant and exactly this period, if anything does.
///
/// # Errors
/// The database failed.
pub async fn standing(
    database: &Database,
    tenant: TenantId,
    period: Window,
) -> Result<Option<Stands>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let parameters: [&(dyn ToSql + Sync); 3] = [&tenant.uuid(), &period.start(), &period.end()];
    let Some(row) = transaction.query_opt(invoice_sql::FOR_PERIOD, &parameters).await? else {
        return Ok(None);
    };
    let id = InvoiceId::from_uuid(row.try_get("invoice_id")?);
    let (status, number): (&str, Option<String>) = (row.try_get("status")?, row.try_get("number")?);
    Ok(match (number, Stage::parse(status)) {
        (Some(number), _) => Some(Stands::Issued(id, number)),
        (None, Some(stage)) => Some(Stands::Waits(id, stage)),
        (None, None) => return Err(StoreError::unreadable("invoice", &id.to_string(), &status)),
    })
}

/// What was done to an invoice, the oldest first.
///
/// # Errors
/// The database failed.
pub async fn events(database: &Database, invoice: InvoiceId) -> Result<Vec<Event>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(invoice_sql::EVENT_LIST, &[&invoice.uuid(), &EVENTS_MAX]).await?;
    rows.iter()
        .map(|row| {
            Ok(Event {
                at: row.try_get("at")?,
                actor: row.try_get("actor")?,
                action: row.try_get("action")?,
                note: row.try_get("note")?,
            })
        })
        .collect()
}

impl Stage {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Review => "review",
            Self::Approved => "approved",
        }
    }

    /// The stage of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Draft, Self::Review, Self::Approved].into_iter().find(|stage| stage.as_str() == text)
    }

    /// The step that leads there.
    pub(crate) const fn action(self) -> Action {
        match self {
            Self::Draft => Action::Drafted,
            Self::Review => Action::Frozen,
            Self::Approved => Action::Approved,
        }
    }
}

impl Action {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Drafted => "drafted",
            Self::Frozen => "frozen",
            Self::SentBack => "sent_back",
            Self::Approved => "approved",
            Self::Issued => "issued",
            Self::Voided => "voided",
            Self::Replaced => "replaced",
            Self::Discarded => "discarded",
        }
    }
}

/// An invoice whose row is locked, and its tenant's.
pub(crate) struct Locked {
    pub payer: Payer,
    pub status: String,
    pub number: Option<String>,
    pub is_replaced: bool,
    pub document: InvoiceDocument,
}

impl Locked {
    pub(crate) fn elsewhere(&self, remedy: &'static str) -> StepError {
        let which = self.number.clone().unwrap_or_else(|| self.document.invoice_id.to_string());
        StepError::Elsewhere { which, status: self.status.clone(), remedy }
    }
}

/// Locks an invoice: its tenant first, as everybody does.
pub(crate) async fn lock(transaction: &Transaction<'_>, which: Which<'_>) -> Result<Locked, StepError> {
    let (id, number): (Option<Uuid>, Option<&str>) = match which {
        Which::Id(id) => (Some(id.uuid()), None),
        Which::Number(number) => (None, Some(number)),
    };
    let none = || StepError::None(id.map_or_else(|| shown(number), |id| id.to_string()));
    // PostgreSQL's text cannot hold NUL: nothing has such a number.
    if number.is_some_and(|number| number.contains('\0')) {
        return Err(none());
    }
    let row = transaction.query_opt(invoice_sql::TENANT_OF, &[&id, &number]).await?.ok_or_else(none)?;
    let tenant = TenantId::from_uuid(row.try_get("tenant_id")?);
    let payer = write::lock_tenant(transaction, tenant).await?.ok_or_else(none)?;
    let row = transaction.query_opt(invoice_sql::LOCK, &[&id, &number]).await?.ok_or_else(none)?;
    let id = InvoiceId::from_uuid(row.try_get("invoice_id")?);
    Ok(Locked {
        payer,
        status: row.try_get("status")?,
        number: row.try_get("number")?,
        is_replaced: row.try_get("is_replaced")?,
        document: read_document(&row, id)?,
    })
}

/// The document of a row.
pub(crate) fn read_document(row: &Row, id: InvoiceId) -> Result<InvoiceDocument, StoreError> {
    let json: Option<&str> = row.try_get("document")?;
    serde_json::from_str(json.unwrap_or_default())
        .map_err(|error| StoreError::unreadable("invoice", &id.to_string(), &error))
}

async fn step(
    database: &Database,
    invoice: InvoiceId,
    (to, action): (Stage, Action),
    desk: &Desk<'_>,
    now: Timestamp,
) -> Result<(), StepError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let locked = lock(&transaction, Which::Id(invoice)).await?;
    if locked.status == to.as_str() {
        return Ok(());
    }
    if locked.number.is_some() {
        return Err(locked.elsewhere("what is issued is final"));
    }
    write::set_status(&transaction, invoice, to.as_str()).await?;
    write::note(&transaction, locked.payer.tenant_id, invoice, (action, None), desk, now).await?;
    transaction.commit().await?;
    Ok(())
}

async fn found(transaction: &Transaction<'_>, number: &str) -> Result<Invoice, StoreError> {
    let invoice = with_number(transaction, number).await?;
    invoice.ok_or_else(|| StoreError::unreadable("invoice", number, &"it is not there"))
}

fn shown(number: Option<&str>) -> String {
    number.unwrap_or_default().chars().take(80).collect()
}
