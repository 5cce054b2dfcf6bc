//! Issuing: rate, number and store an invoice, and order the mail about it, in one transaction. It fetches no usage
//! (whoever calls did, cut at the plan's versions) and sends nothing: the row in the outbox is all.

use jiff::Timestamp;
use metering::{TenantId, TenantName, UsageRecord, Window};
use migrations::{Database, Scope, Transaction};
use rust_decimal::Decimal;
use tokio_postgres::Row;

use super::document::{InvoiceDocument, InvoiceId, InvoiceStatus, Party};
use super::draft::{Buyer, draft};
use crate::money::MoneyError;
use crate::period::{self, PeriodError};
use crate::plan::PricePlan;
use crate::rating::RatingError;
use crate::store::invoices::{Invoice, StoreError, read_window, with_number};
use crate::store::outbox::{self, Mail};
use crate::store::sql;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issued {
    /// The invoice was issued now.
    New(Invoice),
    /// It had been issued before, for the same tenant and period; nothing was changed.
    Already(Invoice),
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
    /// The prices are not on record.
    #[error("plan {0} is not applied with exactly this text; apply it first (weir plan apply)")]
    PlanNotApplied(String),
    /// The database holds something that this version cannot read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Issues the invoice of `tenant` for `period`, or finds the one that was issued for exactly this period before.
///
/// All or nothing: number, lines, document and the mail in the outbox are stored in one transaction. When the connection breaks, doing it
/// again is right, whether or not the first attempt was stored.
///
/// # Errors
/// See [`IssueError`]; [`IssueError::is_transient`] tells whether to try again.
pub async fn issue(
    database: &Database,
    tenant: TenantId,
    plan: &PricePlan,
    usage: &[UsageRecord],
    period: Window,
    seller: &Party,
    now: Timestamp,
) -> Result<Issued, IssueError> {
    if tenant == TenantId::UNASSIGNED {
        return Err(IssueError::Unassigned);
    }
    period::check_over(period, now)?;
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let buyer = lock_tenant(&transaction, tenant).await?;
    if let Some(number) = issued_before(&transaction, tenant, &buyer.tenant, period).await? {
        let invoice = with_number(&transaction, &number).await?;
        let invoice = invoice.ok_or(IssueError::NoTenant(tenant))?;
        return Ok(Issued::Already(invoice));
    }
    let document = draft(InvoiceId::new(), seller, buyer, plan, usage, period)?;
    if document.lines.is_empty() {
        return Err(IssueError::Nothing { tenant: document.tenant, period, plan: plan.name().to_owned() });
    }
    let revision = plan_revision(&transaction, plan).await?;
    insert_draft(&transaction, tenant, revision, &document).await?;
    insert_lines(&transaction, tenant, &document).await?;
    let year = now.to_zoned(plan.time_zone().clone()).year();
    let invoice = number(&transaction, tenant, document, year, now).await?;
    transaction.commit().await?;
    tracing::info!(
        number = invoice.document.number,
        tenant = %invoice.document.tenant,
        total = %invoice.document.total,
        "invoice issued"
    );
    Ok(Issued::New(invoice))
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

async fn lock_tenant(transaction: &Transaction<'_>, tenant: TenantId) -> Result<Buyer, IssueError> {
    let row = transaction.query_opt(sql::TENANT_LOCK, &[&tenant.uuid()]).await?;
    let row = row.ok_or(IssueError::NoTenant(tenant))?;
    let name: String = row.try_get("name")?;
    Ok(Buyer {
        tenant: TenantName::new(&name).map_err(|error| StoreError::unreadable("tenant", &name, &error))?,
        party: Party {
            name: row.try_get("display_name")?,
            address: row.try_get("address")?,
            country: None,
            tax_number: row.try_get("tax_number")?,
        },
        time_zone: row.try_get("time_zone")?,
    })
}

/// The number of the invoice for exactly this period.
async fn issued_before(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    name: &TenantName,
    period: Window,
) -> Result<Option<String>, IssueError> {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&tenant.uuid(), &period.start(), &period.end()];
    let rows: Vec<Row> = transaction.query(sql::INVOICE_OVERLAPPING, &parameters).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let other = read_window(row)?;
    let number: Option<String> = row.try_get("number")?;
    match number {
        Some(number) if other == period => Ok(Some(number)),
        number => Err(IssueError::Overlaps {
            number: number.unwrap_or_else(|| "a draft".to_owned()),
            other,
            tenant: name.clone(),
            period,
        }),
    }
}

async fn plan_revision(transaction: &Transaction<'_>, plan: &PricePlan) -> Result<i32, IssueError> {
    let row = transaction.query_opt(sql::PLAN_REVISION, &[&plan.name(), &plan.source()]).await?;
    let row = row.ok_or_else(|| IssueError::PlanNotApplied(plan.name().to_owned()))?;
    Ok(row.try_get("revision")?)
}

async fn insert_draft(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    revision: i32,
    document: &InvoiceDocument,
) -> Result<(), IssueError> {
    transaction
        .execute(
            sql::INVOICE_INSERT,
            &[
                &document.invoice_id.uuid(),
                &tenant.uuid(),
                &document.service_period.start(),
                &document.service_period.end(),
                &document.plan.name,
                &revision,
                &document.currency.code(),
                &document.subtotal.amount(),
                &document.taxes.first().map(|tax| tax.rate).unwrap_or_default(),
                &document.tax_total().map_err(RatingError::from)?.amount(),
                &document.total.amount(),
            ],
        )
        .await?;
    Ok(())
}

async fn insert_lines(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    document: &InvoiceDocument,
) -> Result<(), IssueError> {
    let lines = &document.lines;
    let base_quantities = lines
        .iter()
        .map(|line| {
            let value = i128::try_from(line.base_quantity).ok();
            value
                .and_then(|value| Decimal::try_from_i128_with_scale(value, 0).ok())
                .ok_or(RatingError::Money(MoneyError::TooLarge { currency: document.currency }))
        })
        .collect::<Result<Vec<Decimal>, _>>()?;
    transaction
        .execute(
            sql::INVOICE_LINE_INSERT,
            &[
                &tenant.uuid(),
                &document.invoice_id.uuid(),
                &(1_i32..).take(lines.len()).collect::<Vec<_>>(),
                &lines.iter().map(|line| line.key.as_str()).collect::<Vec<_>>(),
                &lines.iter().map(|line| line.meter.map_or("", |meter| meter.as_str())).collect::<Vec<_>>(),
                &lines.iter().map(|line| line.kind.as_str()).collect::<Vec<_>>(),
                &lines.iter().map(|line| line.service_period.start()).collect::<Vec<_>>(),
                &lines.iter().map(|line| line.service_period.end()).collect::<Vec<_>>(),
                &base_quantities,
                &lines.iter().map(|line| line.quantity).collect::<Vec<_>>(),
                &lines.iter().map(|line| line.unit.as_str()).collect::<Vec<_>>(),
                &lines.iter().map(|line| line.unit_price).collect::<Vec<_>>(),
                &lines.iter().map(|line| line.amount.amount()).collect::<Vec<_>>(),
            ],
        )
        .await?;
    Ok(())
}

/// Takes a number, last of all, so that the series is locked as short as possible.
async fn number(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    mut document: InvoiceDocument,
    year: i16,
    now: Timestamp,
) -> Result<Invoice, IssueError> {
    let series = format!("INV-{year:04}");
    let row = transaction.query_one(sql::SERIES_NEXT, &[&series]).await?;
    let series_number: i64 = row.try_get("last_number")?;
    let number = format!("{series}-{series_number:06}");
    let issued_at = metering::micros(now);
    document.number = Some(number.clone());
    document.status = InvoiceStatus::Issued;
    document.issued_at = Some(issued_at);
    let invoice_id = document.invoice_id;
    let document_json = serde_json::to_string_pretty(&document)
        .map_err(|error| StoreError::unreadable("invoice", &number, &error))?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&invoice_id.uuid(), &series, &series_number, &number, &issued_at, &document_json];
    transaction.execute(sql::INVOICE_ISSUE, &parameters).await?;
    outbox::put(transaction, &Mail::invoice(tenant, &number), issued_at).await?;
    Ok(Invoice {
        invoice_id,
        tenant_id: tenant,
        status: InvoiceStatus::Issued,
        settled_at: None,
        document,
        document_json,
    })
}
