//! Rating issued invoices again, from the usage as it is now and by the prices that they were rated by: what differs is
//! shown, and corrected when somebody says so. A job looks by itself and raises an alert. Periods that were closed with nothing are
//! looked at, too: what comes into them later is invoiced when somebody says so.
//!
//! By the same prices, because a plan that was changed since is no reason to change what was issued. Taxes and exchange rates
//! are those that hold for the period now.

use std::sync::Arc;

use anyhow::{Context, Result};
use billing::empty_periods::{self, EmptyCursor, EmptyPeriod, EmptyRecheck};
use billing::invoice::compare::Difference;
use billing::invoice::correct::{self, Correcting, Correction};
use billing::invoice::document::DocumentKind;
use billing::invoice::issue::issue_late;
use billing::invoices::{self, Invoice};
use billing::rechecks::{self, LISTED_MAX, Recheck, Standing};
use billing::terms::TenantTerms;
use billing::{Desk, InvoiceDocument, InvoiceId, Money, PricePlan};
use jiff::{SignedDuration, Timestamp};
use metering::{TenantId, Window};
use migrations::Scope;
use nodes::alerts::{self, Alert, Kind};
use tracing::warn;
use usage::derivation;
use usage::registry::{self, Tenant};

use crate::invoicing::{self, Bill, Prices, Tables};
use crate::parts::Parts;

/// Invoices are looked at for so long after their period: late readings come within days, and further back the books are
/// closed.
const LOOKED_AT: SignedDuration = SignedDuration::from_hours(92 * 24);
/// A fresh invoice is left alone for so long: it was rated a moment ago.
const FRESH: SignedDuration = SignedDuration::from_hours(1);
/// Invoices that are held in memory at once.
const CHUNK: u32 = 200;

/// An issued invoice, rated again.
pub struct Rerated {
    /// As it was issued.
    pub invoice: Invoice,
    /// As it would be now.
    pub fresh: InvoiceDocument,
    /// What differs.
    pub difference: Difference,
    bill: Bill,
}

/// Rates an issued invoice again. Nothing is stored.
///
/// # Errors
/// There is no such invoice, it is a credit note, or its usage cannot be rated.
pub async fn rerate(parts: &Parts, tables: &Tables, number: &str) -> Result<Rerated> {
    let found = invoices::find(&parts.database, Scope::Provider, number).await?;
    let invoice = found.with_context(|| {
        let shown: String = number.chars().take(80).collect();
        format!("there is no invoice {shown:?}; `weir invoice list` shows all")
    })?;
    if invoice.document.kind == DocumentKind::CreditNote {
        anyhow::bail!(
            "{number} is a credit note: rate what it takes back again, or what stands in its place"
        );
    }
    let id = invoice.tenant_id.to_string();
    let tenant = registry::find_tenant(&parts.database, Scope::Provider, &id).await?;
    let rated_by = correct::rated_by(&parts.database, invoice.invoice_id).await?;
    let rated_by = rated_by.with_context(|| format!("{number} has no plan on record"))?;
    let file = format!("plan {}", rated_by.plan_name);
    let mut plan = PricePlan::parse(&file, rated_by.plan_text.as_bytes())?;
    if let Some(text) = &rated_by.terms_text {
        plan =
            plan.for_tenant(&TenantTerms::parse(&format!("terms of {}", tenant.name), text.as_bytes())?)?;
    }
    let prices = Prices::given(Arc::new(plan), rated_by.terms_revision);
    let period = invoice.document.service_period;
    let bill = invoicing::bill_of(parts, tables, tenant, prices, period).await?;
    let fresh = invoicing::preview(&bill)?;
    let difference = Difference::between(&invoice.document, &fresh);
    Ok(Rerated { invoice, fresh, difference, bill })
}

/// Rates an issued invoice again from usage that is up to date, and takes it back if it differs: a credit note over all of
/// it, and a corrected invoice.
///
/// # Errors
/// See [`correct::CorrectError`].
pub async fn correct_it(
    parts: &Parts,
    number: &str,
    (actor, reason): (&str, &str),
    credit_note_id: InvoiceId,
) -> Result<Correction> {
    derivation::derive_dirty(&parts.database, parts.usage, Timestamp::now()).await?;
    let tables = Tables::read(parts).await?;
    let rerated = rerate(parts, &tables, number).await?;
    let series = invoicing::series(parts)?;
    let correcting = Correcting { desk: Desk { actor, series: &series }, reason, credit_note_id };
    let (bill, basis) = (rerated.bill.for_billing(), rerated.bill.basis());
    let corrected =
        correct::correct(&parts.database, number, bill, basis, correcting, Timestamp::now()).await?;
    alerts::end(&parts.database, Kind::LateUsage, &subject(rerated.invoice.invoice_id), Timestamp::now())
        .await?;
    parts.mail_due.notify_one();
    Ok(corrected)
}

/// A period that was closed with nothing, rated.
pub struct RatedLate {
    /// What it would be now.
    pub fresh: InvoiceDocument,
    /// The same, beside nothing.
    pub difference: Difference,
    bill: Bill,
}

/// Rates a period for which there is no invoice, by the prices that hold for its days. Nothing is stored.
///
/// # Errors
/// It cannot be rated.
pub async fn rate_late(parts: &Parts, tables: &Tables, tenant: Tenant, period: Window) -> Result<RatedLate> {
    billing::period::check_over(period, Timestamp::now())?;
    let bill = invoicing::gather_window(parts, tables, tenant, period).await?;
    let mut fresh = invoicing::preview(&bill)?;
    if bill.is_for_nobody().is_some() {
        fresh = InvoiceDocument {
            lines: Vec::new(),
            taxes: Vec::new(),
            subtotal: Money::zero(fresh.currency),
            total: Money::zero(fresh.currency),
            ..fresh
        };
    }
    let difference = Difference::from_nothing(&fresh);
    Ok(RatedLate { fresh, difference, bill })
}

/// Invoices a period that was closed with nothing, from usage that is up to date.
///
/// # Errors
/// It still comes to nothing, or see [`billing::IssueError`].
pub async fn invoice_late(
    parts: &Parts,
    (tenant, period): (Tenant, Window),
    (actor, reason): (&str, &str),
) -> Result<(Invoice, Difference)> {
    derivation::derive_dirty(&parts.database, parts.usage, Timestamp::now()).await?;
    let tables = Tables::read(parts).await?;
    let rated = rate_late(parts, &tables, tenant, period).await?;
    if let Some(why) = rated.bill.is_for_nobody() {
        anyhow::bail!("there is still nothing to invoice: {why}");
    }
    let series = invoicing::series(parts)?;
    let (desk, now) = (Desk { actor, series: &series }, Timestamp::now());
    let (bill, id) = (&rated.bill, rated.bill.tenant().id);
    let issued =
        issue_late(&parts.database, (id, reason), bill.for_billing(), bill.basis(), &desk, now).await?;
    alerts::end(&parts.database, Kind::LateUsage, &period_subject(id, period), now).await?;
    parts.mail_due.notify_one();
    Ok((issued.invoice().clone(), rated.difference))
}

/// Looks which issued invoices would be others now. Only those whose tenant's sums by day have changed are rated again.
///
/// # Errors
/// The database failed.
pub async fn look_for_late_usage(parts: &Parts, now: Timestamp) -> Result<()> {
    let tables = Tables::read(parts).await?;
    let during = (now.saturating_sub(LOOKED_AT)?, now);
    let mut after = None;
    loop {
        let chunk = rechecks::standing(&parts.database, during, after, CHUNK).await?;
        let Some(last) = chunk.last() else { break };
        after = Some(last.invoice_id);
        for standing in &chunk {
            if standing.issued_at.saturating_add(FRESH)? <= now
                && let Err(failure) = recheck(parts, &tables, standing, now).await
            {
                warn!(number = standing.number, "it was not rated again: {failure:#}");
            }
        }
    }
    look_at_empty_periods(parts, &tables, during.0, now).await
}

/// Looks which periods that were closed with nothing would come to something now.
async fn look_at_empty_periods(
    parts: &Parts,
    tables: &Tables,
    since: Timestamp,
    now: Timestamp,
) -> Result<()> {
    let mut after = Some(EmptyCursor::default());
    while let Some(behind) = &after {
        let (chunk, next) = empty_periods::closed(&parts.database, since, behind, CHUNK).await?;
        for one in &chunk {
            if let Err(failure) = recheck_empty(parts, tables, one, now).await {
                warn!(tenant = %one.tenant, period = %one.period, "it was not rated: {failure:#}");
            }
        }
        after = next;
    }
    for done in empty_periods::late(&parts.database, true, LISTED_MAX).await? {
        let subject = period_subject(done.tenant_id, done.period);
        alerts::end(&parts.database, Kind::LateUsage, &subject, now).await?;
    }
    Ok(())
}

async fn recheck_empty(parts: &Parts, tables: &Tables, one: &EmptyPeriod, now: Timestamp) -> Result<()> {
    let (id, period) = (one.tenant_id, one.period);
    // Before the usage is read: what changes in between is seen the next time.
    let usage_digest = rechecks::digest(&parts.database, id, period).await?;
    let before = empty_periods::get(&parts.database, id, period).await?;
    if before.as_ref().is_some_and(|before| before.usage_digest == usage_digest) {
        return Ok(());
    }
    let tenant = registry::find_tenant(&parts.database, Scope::Provider, &id.to_string()).await?;
    let (total_now, failure) = match rate_late(parts, tables, tenant, period).await {
        Ok(rated) if rated.difference.is_none() => (None, None),
        Ok(rated) => (Some(rated.fresh.total), None),
        Err(failure) => (None, Some(format!("{failure:#}"))),
    };
    let subject = period_subject(id, period);
    match total_now {
        Some(total) => {
            let alert = Alert {
                kind: Kind::LateUsage,
                subject,
                title: Kind::LateUsage.title().to_owned(),
                detail: format!(
                    "{} was not invoiced for {period}, because nothing had been used, and would be over {total} now. \
                     See what it is: weir billing late",
                    one.tenant
                ),
                node_id: None,
                instance_id: None,
            };
            alerts::raise(&parts.database, &alert, now).await?;
        }
        None => {
            alerts::end(&parts.database, Kind::LateUsage, &subject, now).await?;
        }
    }
    let found = EmptyRecheck { usage_digest, total_now, failure };
    Ok(empty_periods::put(&parts.database, (id, period), &found, now).await?)
}

async fn recheck(parts: &Parts, tables: &Tables, standing: &Standing, now: Timestamp) -> Result<()> {
    let (id, tenant) = (standing.invoice_id, standing.tenant_id);
    // Before the usage is read: what changes in between is seen the next time.
    let digest = rechecks::digest(&parts.database, tenant, standing.service_period).await?;
    let before = rechecks::get(&parts.database, id).await?;
    if before.as_ref().is_some_and(|before| before.usage_digest == digest) {
        return Ok(());
    }
    let (total_now, failure) = match rerate(parts, tables, &standing.number).await {
        Ok(rerated) if rerated.difference.is_none() => (None, None),
        Ok(rerated) => (Some(rerated.fresh.total), None),
        Err(failure) => (None, Some(format!("{failure:#}"))),
    };
    let subject = subject(id);
    match total_now {
        Some(total) => {
            let alert = Alert {
                kind: Kind::LateUsage,
                subject,
                title: Kind::LateUsage.title().to_owned(),
                detail: format!(
                    "{} would be over {total} now. See what differs: weir invoice rerate {}",
                    standing.number, standing.number
                ),
                node_id: None,
                instance_id: None,
            };
            alerts::raise(&parts.database, &alert, now).await?;
        }
        None => {
            alerts::end(&parts.database, Kind::LateUsage, &subject, now).await?;
        }
    }
    let total_now = total_now.map(Money::amount);
    let found = Recheck { usage_digest: digest, total_now, failure };
    Ok(rechecks::put(&parts.database, (id, tenant), &found, now).await?)
}

fn subject(invoice: InvoiceId) -> String {
    format!("invoice/{invoice}")
}

fn period_subject(tenant: TenantId, period: Window) -> String {
    format!("period/{tenant}/{}", period.start())
}
