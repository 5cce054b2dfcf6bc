//! Issuing: rate, number and store an invoice, book it, and order the mail about it, in one transaction. It fetches no usage
//! (whoever calls did, cut where prices change) and sends nothing: the row in the outbox is all.

use jiff::Timestamp;
use metering::{TenantId, TenantName, Window};
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;

use super::correct::REASON_MAX;
use super::document::{InvoiceDocument, InvoiceId};
use super::draft::Bill;
use super::lifecycle::{Action, Desk, Stage};
use crate::account::assignments;
use crate::period::{self, PeriodError};
use crate::plan::PricePlan;
use crate::rating::RatingError;
use crate::store::invoice_write::{self as write, Origin, Payer};
use crate::store::invoices::{Invoice, StoreError, read_window, with_number};
use crate::store::{invoice_sql, sql};

/// What a bill stands on, besides what it says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    /// The revision of the tenant's own terms that are worked into the plan, if it has any.
    pub terms_revision: Option<i32>,
    /// When its usage was read; not said: now.
    pub rated_at: Option<Timestamp>,
    /// Until when late readings were waited for, if they were.
    pub cutoff_at: Option<Timestamp>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issued {
    /// The invoice was issued now.
    New(Invoice),
    /// It had been issued before, for the same tenant and period; nothing was changed.
    Already(Invoice),
}

/// What became of a bill that is to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// It waits, rated now.
    Waits(InvoiceId, Stage),
    /// Somebody looks at it or has approved it: it was left as it was.
    Kept(InvoiceId, Stage),
    /// It was issued before.
    Issued(Box<Invoice>),
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// What nobody was assigned to belongs to nobody who could pay.
    #[error(
        "usage of unassigned instances is never invoiced; assign them to a tenant first (weir instance assign)"
    )]
    Unassigned,
    /// There is no such tenant.
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// The period cannot be billed.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// The usage cannot be rated.
    #[error(transparent)]
    Rating(#[from] RatingError),
    /// There is no priced usage, hence no line.
    #[error(
        "tenant {tenant} used nothing in {period} that plan {plan} has a price for: there is nothing to invoice"
    )]
    Nothing {
        /// The tenant.
        tenant: TenantName,
        /// The period.
        period: Window,
        /// The plan.
        plan: String,
    },
    /// A part of the period has been invoiced.
    #[error(
        "{number} bills tenant {tenant} for {other} already, which overlaps {period}; choose a period that does \
         not, or void that invoice first"
    )]
    Overlaps {
        /// The other invoice.
        number: String,
        /// Its period.
        other: Window,
        /// The tenant.
        tenant: TenantName,
        /// The period that was asked for.
        period: Window,
    },
    /// Nobody says why it comes so late.
    #[error(
        "an invoice for a period that was closed needs a reason of 1 to {REASON_MAX} characters, which stands on it"
    )]
    NoReason,
    /// The prices are not on record.
    #[error("plan {0} is not applied with exactly this text; apply it first (weir plan apply)")]
    PlanNotApplied(String),
    /// Somebody assigned another plan after this one was read.
    #[error(
        "tenant {tenant} was rated by plan {rated_by} in {period}, and is billed by {plan} then since a moment ago; do it again"
    )]
    PlanChanged {
        /// The tenant.
        tenant: TenantName,
        /// The period.
        period: Window,
        /// The plan that was read.
        rated_by: String,
        /// The plan of the period.
        plan: String,
    },
    /// The database holds something that this version cannot read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Issues the invoice of `tenant` for the bill's period, or finds the one that was issued for exactly this period before.
/// One that waits in draft or review is rated anew by this bill; one that was approved is issued as it was approved.
///
/// All or nothing: number, lines, document, booking, event and the mail in the outbox are stored in one transaction. When the
/// connection breaks, doing it again is right, whether or not the first attempt was stored.
///
/// # Errors
/// See [`IssueError`]; [`IssueError::is_transient`] tells whether to try again.
pub async fn issue(
    database: &Database,
    tenant: TenantId,
    bill: Bill<'_>,
    basis: Basis,
    desk: &Desk<'_>,
    now: Timestamp,
) -> Result<Issued, IssueError> {
    issue_because(database, (tenant, None), bill, basis, desk, now).await
}

/// The same for a period that was closed with nothing: `reason` says why there is an invoice now. It stands on the document and
/// in the audit trail.
///
/// # Errors
/// As [`issue`]; or there is no reason.
pub async fn issue_late(
    database: &Database,
    (tenant, reason): (TenantId, &str),
    bill: Bill<'_>,
    basis: Basis,
    desk: &Desk<'_>,
    now: Timestamp,
) -> Result<Issued, IssueError> {
    let reason = reason.trim();
    if reason.is_empty() || REASON_MAX < reason.chars().count() {
        return Err(IssueError::NoReason);
    }
    issue_because(database, (tenant, Some(reason)), bill, basis, desk, now).await
}

async fn issue_because(
    database: &Database,
    (tenant, reason): (TenantId, Option<&str>),
    bill: Bill<'_>,
    basis: Basis,
    desk: &Desk<'_>,
    now: Timestamp,
) -> Result<Issued, IssueError> {
    let (plan, period) = (bill.plan, bill.period);
    check(tenant, period, now)?;
    // Before the tenant is locked: it takes longest.
    let rated = bill.draft();
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let payer = write::lock_tenant(&transaction, tenant).await?.ok_or(IssueError::NoTenant(tenant))?;
    let document = match standing(&transaction, &payer, period).await? {
        Standing::Issued(invoice) => return Ok(Issued::Already(*invoice)),
        Standing::Waits(document, Stage::Approved) => *document,
        waits => {
            let document = something(rated, &payer, plan)?;
            let document = InvoiceDocument { reason: reason.map(str::to_owned), ..document };
            store(&transaction, &payer, plan, document, waits, (basis, now)).await?
        }
    };
    if reason.is_some() {
        let drafted = (Action::Drafted, reason);
        write::note(&transaction, tenant, document.invoice_id, drafted, desk, now).await?;
    }
    let number = write::take_number(&transaction, desk, &document, now).await?;
    let invoice = write::issue(&transaction, &payer, document, &number, desk, now).await?;
    transaction.commit().await?;
    tracing::info!(
        number = invoice.document.number,
        tenant = %invoice.document.tenant,
        total = %invoice.document.total,
        "invoice issued"
    );
    Ok(Issued::New(invoice))
}

/// Keeps the bill of a period that is over as a draft (which the next one replaces) or for review (which nothing replaces).
/// What is in review or approved already, or was issued, is left as it is.
///
/// # Errors
/// See [`IssueError`]; [`IssueError::is_transient`] tells whether to try again.
pub async fn hold(
    database: &Database,
    tenant: TenantId,
    bill: Bill<'_>,
    (basis, stage): (Basis, Stage),
    desk: &Desk<'_>,
    now: Timestamp,
) -> Result<Held, IssueError> {
    let (plan, period) = (bill.plan, bill.period);
    check(tenant, period, now)?;
    let rated = bill.draft();
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let payer = write::lock_tenant(&transaction, tenant).await?.ok_or(IssueError::NoTenant(tenant))?;
    let waits = match standing(&transaction, &payer, period).await? {
        Standing::Issued(invoice) => return Ok(Held::Issued(invoice)),
        Standing::Waits(document, kept @ (Stage::Review | Stage::Approved)) => {
            return Ok(Held::Kept(document.invoice_id, kept));
        }
        waits => waits,
    };
    let is_new = matches!(waits, Standing::Nothing);
    let document = match (something(rated, &payer, plan), &waits) {
        // What was a draft has come to nothing: its usage went to another tenant, or was a mistake.
        (Err(nothing @ IssueError::Nothing { .. }), Standing::Waits(before, _)) => {
            write::discard(&transaction, tenant, before.invoice_id, desk, now).await?;
            transaction.commit().await?;
            return Err(nothing);
        }
        (document, _) => document?,
    };
    let id = store(&transaction, &payer, plan, document, waits, (basis, now)).await?.invoice_id;
    if is_new {
        write::note(&transaction, tenant, id, (Action::Drafted, None), desk, now).await?;
    }
    if stage != Stage::Draft {
        write::set_status(&transaction, id, stage.as_str()).await?;
        write::note(&transaction, tenant, id, (stage.action(), None), desk, now).await?;
    }
    transaction.commit().await?;
    Ok(Held::Waits(id, stage))
}

impl Issued {
    /// The invoice, new or not.
    #[must_use]
    pub const fn invoice(&self) -> &Invoice {
        match self {
            Self::New(invoice) | Self::Already(invoice) => invoice,
        }
    }
}

fn check(tenant: TenantId, period: Window, now: Timestamp) -> Result<(), IssueError> {
    if tenant == TenantId::UNASSIGNED {
        return Err(IssueError::Unassigned);
    }
    Ok(period::check_over(period, now)?)
}

/// What there is for a tenant and a period.
enum Standing {
    Nothing,
    Waits(Box<InvoiceDocument>, Stage),
    Issued(Box<Invoice>),
}

/// What there is for exactly this period. An error when something is there for a part of it.
async fn standing(
    transaction: &Transaction<'_>,
    payer: &Payer,
    period: Window,
) -> Result<Standing, IssueError> {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&payer.tenant_id.uuid(), &period.start(), &period.end()];
    let rows: Vec<Row> = transaction.query(sql::INVOICE_OVERLAPPING, &parameters).await?;
    let Some(row) = rows.first() else {
        return Ok(Standing::Nothing);
    };
    let other = read_window(row)?;
    let number: Option<String> = row.try_get("number")?;
    if other != period {
        return Err(IssueError::Overlaps {
            number: number.unwrap_or_else(|| "a draft".to_owned()),
            other,
            tenant: payer.name.clone(),
            period,
        });
    }
    let id = InvoiceId::from_uuid(row.try_get("invoice_id")?);
    let unreadable = |why: &str| StoreError::unreadable("invoice", &id.to_string(), &why);
    if let Some(number) = number {
        let invoice = with_number(transaction, &number).await?.ok_or_else(|| unreadable("it is gone"))?;
        return Ok(Standing::Issued(Box::new(invoice)));
    }
    let row = transaction.query_one(invoice_sql::LOCK, &[&id.uuid(), &None::<&str>]).await?;
    let stage = Stage::parse(row.try_get("status")?).ok_or_else(|| unreadable("its status is not known"))?;
    let document = super::lifecycle::read_document(&row, id)?;
    Ok(Standing::Waits(Box::new(document), stage))
}

/// A document with at least one line.
fn something(
    rated: Result<InvoiceDocument, RatingError>,
    payer: &Payer,
    plan: &PricePlan,
) -> Result<InvoiceDocument, IssueError> {
    let document = rated?;
    if document.lines.is_empty() {
        let (tenant, period) = (payer.name.clone(), document.service_period);
        return Err(IssueError::Nothing { tenant, period, plan: plan.name().to_owned() });
    }
    Ok(document)
}

/// Stores a document as a draft, in the place of the one that waits.
async fn store(
    transaction: &Transaction<'_>,
    payer: &Payer,
    plan: &PricePlan,
    mut document: InvoiceDocument,
    waits: Standing,
    (basis, now): (Basis, Timestamp),
) -> Result<InvoiceDocument, IssueError> {
    let (tenant, period) = (payer.tenant_id, document.service_period);
    if let Some(said) = assignments::changed_since(transaction, tenant, period, plan.name()).await? {
        let (tenant, rated_by) = (payer.name.clone(), plan.name().to_owned());
        return Err(IssueError::PlanChanged { tenant, period, rated_by, plan: said });
    }
    let revision = write::plan_revision(transaction, plan).await?;
    let origin = Origin {
        plan_revision: revision.ok_or_else(|| IssueError::PlanNotApplied(plan.name().to_owned()))?,
        terms_revision: basis.terms_revision,
        cutoff_at: basis.cutoff_at,
        rated_at: basis.rated_at.unwrap_or(now),
    };
    match waits {
        Standing::Waits(before, stage) => {
            document.invoice_id = before.invoice_id;
            if stage != Stage::Draft {
                write::set_status(transaction, before.invoice_id, Stage::Draft.as_str()).await?;
            }
            write::replace(transaction, payer.tenant_id, &document, origin).await?;
        }
        Standing::Nothing | Standing::Issued(_) => {
            write::insert(transaction, payer.tenant_id, &document, origin).await?;
        }
    }
    Ok(document)
}
