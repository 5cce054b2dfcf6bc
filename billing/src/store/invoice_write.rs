//! Writing invoices: rows, lines, numbers, and what is written with each step (audit trail, books, mail, events). Each
//! function is a part of somebody's transaction; which parts in which order is said in [`crate::invoice`].

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use metering::{TenantId, TenantName, micros};
use migrations::Transaction;
use rust_decimal::Decimal;
use serde_json::json;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::invoices::{Invoice, StoreError};
use super::outbox::{self, Mail};
use super::{invoice_sql, sql};
use crate::books;
use crate::invoice::document::{DocumentKind, InvoiceDocument, InvoiceId, InvoiceStatus};
use crate::invoice::draft::due_on;
use crate::invoice::lifecycle::{Action, Desk};
use crate::plan::PricePlan;
use crate::webhooks::{self, EventType};

/// Where an invoice comes from, besides its document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub plan_revision: i32,
    pub terms_revision: Option<i32>,
    pub cutoff_at: Option<Timestamp>,
    pub rated_at: Timestamp,
}

/// A tenant whose row is locked.
pub(crate) struct Payer {
    pub tenant_id: TenantId,
    pub name: TenantName,
    pub payment_days: u16,
}

type Parameters<'a, const N: usize> = [&'a (dyn ToSql + Sync); N];

pub(crate) async fn lock_tenant(
    transaction: &Transaction<'_>,
    tenant: TenantId,
) -> Result<Option<Payer>, StoreError> {
    let Some(row) = transaction.query_opt(sql::TENANT_LOCK, &[&tenant.uuid()]).await? else {
        return Ok(None);
    };
    let name: &str = row.try_get("name")?;
    let days: i32 = row.try_get("payment_days")?;
    Ok(Some(Payer {
        tenant_id: tenant,
        name: TenantName::new(name).map_err(|error| StoreError::unreadable("tenant", name, &error))?,
        payment_days: u16::try_from(days).map_err(|error| StoreError::unreadable("tenant", name, &error))?,
    }))
}

/// The revision under which exactly this text was applied.
pub(crate) async fn plan_revision(
    transaction: &Transaction<'_>,
    plan: &PricePlan,
) -> Result<Option<i32>, StoreError> {
    let row = transaction.query_opt(sql::PLAN_REVISION, &[&plan.name(), &plan.source()]).await?;
    Ok(row.map(|row| row.try_get("revision")).transpose()?)
}

/// Stores a document without a number, with its lines.
pub(crate) async fn insert(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    document: &InvoiceDocument,
    origin: Origin,
) -> Result<(), StoreError> {
    let (json, tax_rate, tax_amount) = (as_json(document)?, only_rate(document), tax(document)?);
    let kind = kind_as_str(document.kind);
    let corrects = document.corrects.as_ref().map(|corrected| corrected.invoice_id.uuid());
    let parameters: Parameters<'_, 17> = [
        &document.invoice_id.uuid(),
        &tenant.uuid(),
        &kind,
        &document.service_period.start(),
        &document.service_period.end(),
        &document.plan.name,
        &origin.plan_revision,
        &origin.terms_revision,
        &document.currency.code(),
        &document.subtotal.amount(),
        &tax_rate,
        &tax_amount,
        &document.total.amount(),
        &json,
        &origin.cutoff_at.map(micros),
        &micros(origin.rated_at),
        &corrects,
    ];
    transaction.execute(sql::INVOICE_INSERT, &parameters).await?;
    insert_lines(transaction, tenant, document).await
}

/// Puts a document in the place of a draft's content.
pub(crate) async fn replace(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    document: &InvoiceDocument,
    origin: Origin,
) -> Result<(), StoreError> {
    let id = document.invoice_id.uuid();
    let (json, tax_rate, tax_amount) = (as_json(document)?, only_rate(document), tax(document)?);
    transaction.execute(invoice_sql::DELETE_LINES, &[&id]).await?;
    let parameters: Parameters<'_, 12> = [
        &id,
        &document.plan.name,
        &origin.plan_revision,
        &origin.terms_revision,
        &document.currency.code(),
        &document.subtotal.amount(),
        &tax_rate,
        &tax_amount,
        &document.total.amount(),
        &json,
        &origin.cutoff_at.map(micros),
        &micros(origin.rated_at),
    ];
    transaction.execute(invoice_sql::REPLACE, &parameters).await?;
    insert_lines(transaction, tenant, document).await
}

/// Removes a draft.
pub(crate) async fn discard(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    invoice: InvoiceId,
    desk: &Desk<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    transaction.execute(invoice_sql::DELETE_LINES, &[&invoice.uuid()]).await?;
    transaction.execute(invoice_sql::DELETE, &[&invoice.uuid()]).await?;
    note(transaction, tenant, invoice, (Action::Discarded, None), desk, now).await
}

pub(crate) async fn set_status(
    transaction: &Transaction<'_>,
    invoice: InvoiceId,
    status: &str,
) -> Result<(), StoreError> {
    transaction.execute(invoice_sql::SET_STATUS, &[&invoice.uuid(), &status]).await?;
    Ok(())
}

/// Writes down who did what.
pub(crate) async fn note(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    invoice: InvoiceId,
    (action, why): (Action, Option<&str>),
    desk: &Desk<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let parameters: Parameters<'_, 7> =
        [&Uuid::now_v7(), &tenant.uuid(), &invoice.uuid(), &micros(now), &desk.actor, &action.as_str(), &why];
    transaction.execute(invoice_sql::EVENT_INSERT, &parameters).await?;
    Ok(())
}

/// A number that was taken: its series is locked until the transaction ends.
pub(crate) struct Number {
    series: String,
    of_series: i64,
    pub text: String,
}

/// Takes the next number of a document that is issued at `now`. The year is that of the date on the document.
pub(crate) async fn take_number(
    transaction: &Transaction<'_>,
    desk: &Desk<'_>,
    document: &InvoiceDocument,
    now: Timestamp,
) -> Result<Number, StoreError> {
    let year = now.to_zoned(zone(document)?).year();
    let series = desk.series.of(document.kind, year);
    let kind = match document.kind {
        DocumentKind::CreditNote => "credit_note",
        DocumentKind::Invoice | DocumentKind::CorrectedInvoice => "invoice",
    };
    let row = transaction.query_one(sql::SERIES_NEXT, &[&series, &kind]).await?;
    let of_series: i64 = row.try_get("last_number")?;
    Ok(Number { text: format!("{series}-{of_series:06}"), series, of_series })
}

/// Gives a stored document its number, and with it everything that follows from being issued: the books, the mail, the
/// event, the audit trail.
pub(crate) async fn issue(
    transaction: &Transaction<'_>,
    payer: &Payer,
    mut document: InvoiceDocument,
    number: &Number,
    desk: &Desk<'_>,
    now: Timestamp,
) -> Result<Invoice, StoreError> {
    let issued_at = micros(now);
    document.number = Some(number.text.clone());
    document.status = InvoiceStatus::Issued;
    document.issued_at = Some(issued_at);
    let mut due_at = None;
    if document.kind != DocumentKind::CreditNote {
        let day = due_on(issued_at, &document.time_zone, payer.payment_days);
        document.due_on = Some(day);
        let next = day.saturating_add(1.days()).to_zoned(zone(&document)?);
        due_at = next.ok().map(|midnight| midnight.timestamp());
    }
    let json = serde_json::to_string_pretty(&document)
        .map_err(|error| StoreError::unreadable("invoice", &number.text, &error))?;
    let parameters: Parameters<'_, 7> = [
        &document.invoice_id.uuid(),
        &number.series,
        &number.of_series,
        &number.text,
        &issued_at,
        &due_at,
        &json,
    ];
    transaction.execute(sql::INVOICE_ISSUE, &parameters).await?;
    let tenant = payer.tenant_id;
    books::post_invoice(transaction, tenant, &document, issued_at).await?;
    outbox::put(transaction, &Mail::invoice(tenant, &number.text), issued_at).await?;
    let event = match document.kind {
        DocumentKind::CreditNote => EventType::CreditNoteIssued,
        DocumentKind::Invoice | DocumentKind::CorrectedInvoice => EventType::InvoiceIssued,
    };
    webhooks::emit(transaction, event, tenant, &about(&document), issued_at).await?;
    note(transaction, tenant, document.invoice_id, (Action::Issued, Some(&number.text)), desk, issued_at)
        .await?;
    super::invoices::with_number(transaction, &number.text)
        .await?
        .ok_or_else(|| StoreError::unreadable("invoice", &number.text, &"it is not there"))
}

/// What an event says of an invoice.
pub(crate) fn about(document: &InvoiceDocument) -> serde_json::Value {
    json!({
        "number": document.number,
        "invoice_id": document.invoice_id,
        "kind": document.kind,
        "tenant": document.tenant,
        "period": { "from": document.service_period.start(), "to": document.service_period.end() },
        "total": document.total,
        "due_on": document.due_on,
        "corrects": document.corrects.as_ref().map(|corrected| &corrected.number),
    })
}

/// As stored.
pub(crate) const fn kind_as_str(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Invoice => "invoice",
        DocumentKind::CreditNote => "credit_note",
        DocumentKind::CorrectedInvoice => "corrected_invoice",
    }
}

fn zone(document: &InvoiceDocument) -> Result<TimeZone, StoreError> {
    let name = &document.time_zone;
    TimeZone::get(name).map_err(|error| StoreError::unreadable("time zone", name, &error))
}

fn as_json(document: &InvoiceDocument) -> Result<String, StoreError> {
    serde_json::to_string_pretty(document)
        .map_err(|error| StoreError::unreadable("draft of tenant", document.tenant.as_str(), &error))
}

/// The rate, where there is one for all of it.
fn only_rate(document: &InvoiceDocument) -> Option<Decimal> {
    match &document.taxes[..] {
        [only] => Some(only.rate),
        _ => None,
    }
}

fn tax(document: &InvoiceDocument) -> Result<Decimal, StoreError> {
    let tax = document.tax_total();
    Ok(tax
        .map_err(|error| StoreError::unreadable("draft of tenant", document.tenant.as_str(), &error))?
        .amount())
}

async fn insert_lines(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    document: &InvoiceDocument,
) -> Result<(), StoreError> {
    let lines = &document.lines;
    let base_quantities = lines
        .iter()
        .map(|line| {
            let value = i128::try_from(line.base_quantity).ok();
            value.and_then(|value| Decimal::try_from_i128_with_scale(value, 0).ok()).ok_or_else(|| {
                StoreError::unreadable("line", &line.key, &"its quantity has more than 28 digits")
            })
        })
        .collect::<Result<Vec<Decimal>, _>>()?;
    let parameters: Parameters<'_, 16> = [
        &tenant.uuid(),
        &document.invoice_id.uuid(),
        &(1_i32..).take(lines.len()).collect::<Vec<_>>(),
        &lines.iter().map(|line| line.key.as_str()).collect::<Vec<_>>(),
        &lines.iter().map(|line| line.card.as_str()).collect::<Vec<_>>(),
        &lines.iter().map(|line| line.meter.map(|meter| meter.as_str())).collect::<Vec<_>>(),
        &lines.iter().map(|line| line.kind.as_str()).collect::<Vec<_>>(),
        &lines.iter().map(|line| line.service_period.start()).collect::<Vec<_>>(),
        &lines.iter().map(|line| line.service_period.end()).collect::<Vec<_>>(),
        &base_quantities,
        &lines.iter().map(|line| line.quantity).collect::<Vec<_>>(),
        &lines.iter().map(|line| line.unit.as_str()).collect::<Vec<_>>(),
        &lines.iter().map(|line| line.unit_price).collect::<Vec<_>>(),
        &lines.iter().map(|line| line.amount.amount()).collect::<Vec<_>>(),
        &lines.iter().map(|line| line.tax_code.as_str()).collect::<Vec<_>>(),
        &lines.iter().map(|line| line.tax_rate).collect::<Vec<_>>(),
    ];
    transaction.execute(sql::INVOICE_LINE_INSERT, &parameters).await?;
    Ok(())
}
