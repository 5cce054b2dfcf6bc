//! Billing runs, review, and what becomes of invoices.

use anyhow::{Context, Result, bail};
use billing::invoice::compare::{Difference, Side};
use billing::invoice::lifecycle::{self, StepError};
use billing::runs::{self, Goal, ItemState, Run};
use billing::store::waiting::{WAITING_MAX, Waiting, WaitingQuery};
use billing::{Desk, DocumentKind, InvoiceId, Stage, empty_periods, invoices, rechecks};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::TenantId;
use migrations::Scope;
use serde_json::{Value, json};
use usage::registry;
use uuid::Uuid;

use super::invoices::COMMAND_LINE;
use crate::billing_run::{self, Asked};
use crate::causes;
use crate::control::request::{BillingRequest, Chosen, PeriodRequest};
use crate::invoicing::{self, Tables};
use crate::parts::Parts;
use crate::rerating;

/// Tenants of a run that are named: what somebody can look through.
const NAMED_MAX: u32 = 1_000;
/// What waits in a month and is approved or issued at once: every tenant of a large provider.
const CHOSEN_MAX: usize = 100_000;

/// Answers.
///
/// # Errors
/// What is wrong, where, and how to mend it.
pub async fn value(parts: &Parts, request: BillingRequest) -> Result<Value> {
    match request {
        BillingRequest::Run { period, goal, early, tenant } => run(parts, period, &goal, early, tenant).await,
        BillingRequest::Status { run_id } => status(parts, run_id).await,
        BillingRequest::Runs {} => {
            let runs = runs::list(&parts.database, None, NAMED_MAX).await?;
            Ok(json!({ "runs": runs.iter().map(run_value).collect::<Result<Vec<_>>>()? }))
        }
        BillingRequest::Review { period, tenant } => {
            review(parts, period.as_deref(), tenant.as_deref()).await
        }
        BillingRequest::Approve(chosen) => step(parts, &chosen, Step::Approve).await,
        BillingRequest::Issue(chosen) => step(parts, &chosen, Step::Issue).await,
        BillingRequest::SendBack(chosen) => step(parts, &chosen, Step::SendBack).await,
        BillingRequest::Rerate { number, reason: None } => rerate(parts, &number).await,
        BillingRequest::Rerate { number, reason: Some(reason) } => correct(parts, &number, &reason).await,
        BillingRequest::RerateMonth { period, tenant } => {
            rerate_month(parts, &period, tenant.as_deref()).await
        }
        BillingRequest::RerateTenant { tenant, period, reason } => {
            rerate_tenant(parts, (&tenant, &period), reason.as_deref()).await
        }
        BillingRequest::Late { look } => late(parts, look).await,
        BillingRequest::Void { number, reason } => void(parts, &number, &reason).await,
        BillingRequest::Sent { number } => sent(parts, &number).await,
        BillingRequest::History { number } => history(parts, &number).await,
    }
}

async fn run(
    parts: &Parts,
    period: String,
    goal: &str,
    before_cutoff: bool,
    tenant: Option<String>,
) -> Result<Value> {
    let goal = Goal::parse(goal).context("a run goes to review, approved or issued")?;
    let asked = Asked { period, goal, before_cutoff, tenant, actor: COMMAND_LINE.to_owned() };
    let id = billing_run::start(parts, Uuid::now_v7(), &asked).await?;
    status(parts, Some(id)).await
}

async fn status(parts: &Parts, run: Option<Uuid>) -> Result<Value> {
    let run = match run {
        Some(id) => runs::get(&parts.database, id)
            .await?
            .context("there is no such billing run; weir billing list shows all")?,
        None => {
            let latest = runs::list(&parts.database, None, 1).await?.into_iter().next();
            latest.context("there was no billing run yet; begin one: weir billing run --period YYYY-MM")?
        }
    };
    let mut value = run_value(&run)?;
    let failed = runs::items(&parts.database, run.run_id, Some(ItemState::Failed), None, NAMED_MAX).await?;
    value["failures"] = failed
        .iter()
        .map(|item| json!({ "tenant": item.tenant, "reason": item.detail, "attempts": item.attempts }))
        .collect();
    if run.finished_at.is_some() {
        let items = runs::items(&parts.database, run.run_id, None, None, NAMED_MAX).await?;
        let items: Vec<Value> = items
            .iter()
            .map(|item| {
                json!({
                    "tenant": item.tenant,
                    "state": item.state,
                    "invoice": item.number.clone().or_else(|| item.status.clone()),
                    "total": item.total,
                    "total_shown": item.total.map(|total| total.to_string()),
                    "detail": item.detail,
                })
            })
            .collect();
        value["items"] = items.into();
    }
    Ok(value)
}

fn run_value(run: &Run) -> Result<Value> {
    let mut value = serde_json::to_value(run)?;
    value["state"] = if run.finished_at.is_some() { "finished" } else { "running" }.into();
    Ok(value)
}

/// What waits of a month, or of all; in the order of months and tenants.
async fn waiting(parts: &Parts, period: Option<&str>, tenant: Option<&str>) -> Result<Vec<Waiting>> {
    if let Some(period) = period {
        billing::period::month(period, &TimeZone::UTC)?;
    }
    let tenant: Option<TenantId> = match tenant {
        None => None,
        Some(name) => Some(registry::find_tenant(&parts.database, Scope::Provider, name).await?.id),
    };
    let mut query = WaitingQuery { tenant, after: None, limit: WAITING_MAX };
    let mut all: Vec<Waiting> = Vec::new();
    loop {
        let page = invoices::waiting(&parts.database, &query).await?;
        let Some(last) = page.last() else { return Ok(all) };
        query.after = Some((last.service_period.start(), last.tenant_id));
        all.extend(page.into_iter().filter(|one| period.is_none_or(|period| is_of(one, period))));
        if CHOSEN_MAX < all.len() {
            bail!("more than {CHOSEN_MAX} invoices wait; name a month or a tenant");
        }
    }
}

/// Whether it is the invoice of that month in its tenant's zone.
fn is_of(one: &Waiting, period: &str) -> bool {
    let zone = TimeZone::get(&one.time_zone).unwrap_or(TimeZone::UTC);
    billing::period::month(period, &zone).is_ok_and(|month| month == one.service_period)
}

async fn review(parts: &Parts, period: Option<&str>, tenant: Option<&str>) -> Result<Value> {
    let rows: Vec<Value> = waiting(parts, period, tenant)
        .await?
        .iter()
        .map(|one| {
            let before = one.before.as_ref();
            json!({
                "invoice_id": one.invoice_id,
                "tenant": one.tenant,
                "from": one.service_period.start(),
                "to": one.service_period.end(),
                "stage": one.stage,
                "cutoff_at": one.cutoff_at,
                "rated_at": one.rated_at,
                "total": one.total,
                "total_shown": one.total.to_string(),
                "missing_ms": one.document.completeness.missing_ms,
                "before": before.map(|before| json!({
                    "number": before.number,
                    "total": before.total,
                    "difference": difference_value(&before.difference),
                })),
                "before_shown": before.map_or_else(|| "-".to_owned(), |before| before.total.to_string()),
                "lines_changed": before.map_or(0, |before| before.difference.lines.len()),
            })
        })
        .collect();
    Ok(json!({ "waiting": rows }))
}

/// What is done to invoices that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// They may be issued.
    Approve,
    /// They get their numbers. Issued is final.
    Issue,
    /// They are drafts again.
    SendBack,
}

/// What became of a step.
#[derive(Debug, Default)]
pub struct Stepped {
    /// How many waited.
    pub all: usize,
    /// Those that it was done to, with the number, if they have one now.
    pub done: Vec<(Waiting, Option<String>)>,
    /// Those that it could not be done to, and why.
    pub failed: Vec<(Waiting, String)>,
}

/// The same step for all that are chosen. One that fails stops nobody.
///
/// # Errors
/// The month or the tenant is none, or the database failed altogether.
pub async fn step_all(parts: &Parts, chosen: &Chosen, step: Step, actor: &str) -> Result<Stepped> {
    let series = invoicing::series(parts)?;
    let desk = Desk { actor, series: &series };
    let all = waiting(parts, Some(&chosen.period), chosen.tenant.as_deref()).await?;
    let fits = |one: &Waiting| match step {
        Step::Approve => one.stage != Stage::Approved,
        Step::Issue => one.stage == Stage::Approved,
        Step::SendBack => one.stage != Stage::Draft,
    };
    let mut stepped = Stepped { all: all.len(), ..Stepped::default() };
    for one in all.into_iter().filter(fits) {
        let (id, now) = (one.invoice_id, Timestamp::now());
        let outcome = match step {
            Step::Approve => lifecycle::approve(&parts.database, id, &desk, now).await.map(|()| None),
            Step::SendBack => lifecycle::send_back(&parts.database, id, &desk, now).await.map(|()| None),
            Step::Issue => lifecycle::issue_approved(&parts.database, id, &desk, now)
                .await
                .map(|invoice| invoice.document.number),
        };
        match outcome {
            Ok(number) => stepped.done.push((one, number)),
            Err(error) => stepped.failed.push((one, causes::chain(&error))),
        }
    }
    parts.mail_due.notify_one();
    Ok(stepped)
}

async fn step(parts: &Parts, chosen: &Chosen, step: Step) -> Result<Value> {
    let Stepped { all, done, failed } = step_all(parts, chosen, step, COMMAND_LINE).await?;
    let word = match step {
        Step::Approve => "approved",
        Step::Issue => "issued",
        Step::SendBack => "sent back",
    };
    let message = format!("{} of {all}: {word} {}, failed {}.", chosen.period, done.len(), failed.len());
    let invoices = done.iter().map(|(one, number)| {
        json!({
            "tenant": one.tenant,
            "number": number,
            "total": one.total,
            "total_shown": one.total.to_string(),
        })
    });
    let failures = failed.iter().map(|(one, why)| json!({ "tenant": one.tenant, "reason": why }));
    Ok(json!({
        "message": message,
        "invoices": invoices.collect::<Vec<_>>(),
        "failures": failures.collect::<Vec<_>>(),
    }))
}

async fn rerate(parts: &Parts, number: &str) -> Result<Value> {
    let tables = Tables::read(parts).await?;
    usage::derive_dirty(&parts.database, parts.usage, Timestamp::now()).await?;
    let rerated = rerating::rerate(parts, &tables, number).await?;
    Ok(rerated_value(number, &rerated.difference))
}

async fn correct(parts: &Parts, number: &str, reason: &str) -> Result<Value> {
    let actor = (COMMAND_LINE, reason);
    let corrected = rerating::correct_it(parts, number, actor, InvoiceId::new()).await?;
    let credit_note = corrected.credit_note.document.number;
    let new = corrected.corrected.and_then(|invoice| invoice.document.number);
    let by = new.as_ref().map_or_else(String::new, |new| format!("; {new} stands in its place"));
    let mut value = rerated_value(number, &corrected.difference);
    value["message"] =
        format!("{number} was taken back by {}{by}.", credit_note.as_deref().unwrap_or_default()).into();
    value["credit_note"] = credit_note.into();
    value["corrected"] = new.into();
    Ok(value)
}

/// A month of a tenant: its invoice, or what it was not invoiced for.
async fn rerate_tenant(parts: &Parts, (tenant, month): (&str, &str), reason: Option<&str>) -> Result<Value> {
    let payer = registry::find_tenant(&parts.database, Scope::Provider, tenant).await?;
    let (_, period) = invoicing::period_of(&payer, &PeriodRequest::Month(month.to_owned()))?;
    match lifecycle::standing(&parts.database, payer.id, period).await? {
        Some(lifecycle::Stands::Issued(_, number)) => {
            return match reason {
                Some(reason) => correct(parts, &number, reason).await,
                None => rerate(parts, &number).await,
            };
        }
        Some(lifecycle::Stands::Waits(_, stage)) => bail!(
            "the invoice of {tenant} for {month} is in {}: approve and issue it (weir billing review), there is nothing to correct",
            stage.as_str()
        ),
        None => {}
    }
    if let Some(reason) = reason {
        let (invoice, difference) =
            rerating::invoice_late(parts, (payer, period), (COMMAND_LINE, reason)).await?;
        let number = invoice.document.number.unwrap_or_default();
        let mut value = difference_value(&difference);
        value["message"] = format!("{tenant} is invoiced for {month} by {number}.").into();
        value["number"] = number.into();
        value["changed"] = true.into();
        return Ok(value);
    }
    let tables = Tables::read(parts).await?;
    usage::derive_dirty(&parts.database, parts.usage, Timestamp::now()).await?;
    let rated = rerating::rate_late(parts, &tables, payer, period).await?;
    Ok(late_value((tenant, month), &rated.difference))
}

fn late_value((tenant, month): (&str, &str), difference: &Difference) -> Value {
    let mut value = difference_value(difference);
    value["number"] = Value::Null;
    value["changed"] = (!difference.is_none()).into();
    value["message"] = match difference.is_none() {
        true => format!("Nothing changed: there is nothing to invoice {tenant} for in {month}."),
        false => format!(
            "{month} was not invoiced and would be over {} now. To invoice it: weir invoice rerate --tenant {tenant} --period \
             {month} --issue --reason TEXT",
            difference.total_after
        ),
    }
    .into();
    value
}

/// All issued invoices of a month that stand, rated again, and what is not invoiced.
async fn rerate_month(parts: &Parts, period: &str, tenant: Option<&str>) -> Result<Value> {
    let tables = Tables::read(parts).await?;
    usage::derive_dirty(&parts.database, parts.usage, Timestamp::now()).await?;
    let (mut changed, mut failures, mut looked_at) = (Vec::new(), Vec::new(), 0);
    let month = PeriodRequest::Month(period.to_owned());
    for payer in invoicing::tenants(parts, tenant, &month).await? {
        let (_, window) = invoicing::period_of(&payer, &month)?;
        let stands = lifecycle::standing(&parts.database, payer.id, window).await?;
        let name = payer.name.clone();
        let rated = match stands {
            Some(lifecycle::Stands::Waits(..)) => continue,
            Some(lifecycle::Stands::Issued(_, number)) => {
                looked_at += 1;
                let rerated = rerating::rerate(parts, &tables, &number).await;
                rerated.map(|one| (rerated_value(&number, &one.difference), one.difference.is_none()))
            }
            None => {
                let rated = rerating::rate_late(parts, &tables, payer, window).await;
                let value = |one: &Difference| late_value((name.as_str(), period), one);
                rated.map(|one| (value(&one.difference), one.difference.is_none()))
            }
        };
        match rated {
            Ok((_, true)) => {}
            Ok((mut value, false)) => {
                value["tenant"] = json!(name);
                changed.push(value);
            }
            Err(failure) => failures.push(json!({ "tenant": name, "reason": format!("{failure:#}") })),
        }
    }
    let message = match (changed.len(), failures.len()) {
        (0, 0) => format!("Nothing changed: {looked_at} invoice(s) of {period} are what they were."),
        (differ, failed) => {
            format!("{period}: {looked_at} invoice(s) rated again, {differ} would differ, {failed} failed.")
        }
    };
    Ok(json!({ "message": message, "looked_at": looked_at, "changed": changed, "failures": failures }))
}

async fn late(parts: &Parts, look: bool) -> Result<Value> {
    if look {
        usage::derive_dirty(&parts.database, parts.usage, Timestamp::now()).await?;
        rerating::look_for_late_usage(parts, Timestamp::now()).await?;
    }
    let mut rows: Vec<Value> = rechecks::late(&parts.database, rechecks::LISTED_MAX)
        .await?
        .iter()
        .map(|one| {
            json!({
                "number": one.number,
                "tenant": one.tenant,
                "from": one.service_period.start(),
                "to": one.service_period.end(),
                "total": one.total,
                "total_shown": one.total.to_string(),
                "total_now": one.total_now,
                "total_now_shown": one.total_now.to_string(),
                "checked_at": one.checked_at,
            })
        })
        .collect();
    let empty = empty_periods::late(&parts.database, false, rechecks::LISTED_MAX).await?;
    rows.extend(empty.iter().map(|one| {
        json!({
            "number": null,
            "tenant": one.tenant,
            "from": one.period.start(),
            "to": one.period.end(),
            "total": null,
            "total_shown": "-",
            "total_now": one.total_now,
            "total_now_shown": one.total_now.to_string(),
            "checked_at": one.checked_at,
        })
    }));
    Ok(json!({ "late": rows }))
}

async fn void(parts: &Parts, number: &str, reason: &str) -> Result<Value> {
    let series = invoicing::series(parts)?;
    let desk = Desk { actor: COMMAND_LINE, series: &series };
    if reason.trim().is_empty() {
        bail!("say why, for the audit trail: --reason TEXT");
    }
    let invoice = lifecycle::void(&parts.database, number, reason.trim(), &desk, Timestamp::now()).await?;
    let message = format!("{number} is void. Its period may be invoiced again.");
    Ok(
        json!({ "message": message, "number": number, "status": invoice.status, "settled_at": invoice.settled_at }),
    )
}

async fn sent(parts: &Parts, number: &str) -> Result<Value> {
    let is_new = lifecycle::mark_sent(&parts.database, number, Timestamp::now()).await?;
    let found = invoices::find(&parts.database, Scope::Provider, number).await?;
    let found = found.ok_or_else(|| StepError::None(number.chars().take(80).collect()))?;
    let message =
        if is_new { format!("{number} is noted as sent.") } else { format!("{number} was sent before.") };
    Ok(json!({ "message": message, "number": number, "sent_at": found.sent_at }))
}

async fn history(parts: &Parts, number: &str) -> Result<Value> {
    let found = invoices::find(&parts.database, Scope::Provider, number).await?;
    let found = found.ok_or_else(|| StepError::None(number.chars().take(80).collect()))?;
    let events: Vec<Value> = lifecycle::events(&parts.database, found.invoice_id)
        .await?
        .iter()
        .map(|event| json!({ "at": event.at, "actor": event.actor, "action": event.action, "note": event.note }))
        .collect();
    let kind = match found.document.kind {
        DocumentKind::Invoice => "invoice",
        DocumentKind::CreditNote => "credit_note",
        DocumentKind::CorrectedInvoice => "corrected_invoice",
    };
    Ok(json!({
        "number": number,
        "kind": kind,
        "status": found.status,
        "is_overdue": found.is_overdue(Timestamp::now()),
        "due_at": found.due_at,
        "sent_at": found.sent_at,
        "corrects": found.document.corrects.map(|corrected| corrected.number),
        "replaced_by": found.replaced_by,
        "events": events,
    }))
}

fn rerated_value(number: &str, difference: &Difference) -> Value {
    let mut value = difference_value(difference);
    value["number"] = number.into();
    value["changed"] = (!difference.is_none()).into();
    value["message"] = match difference.is_none() {
        true => format!("Nothing changed: {number} is what its period costs."),
        false => format!(
            "{number} would be over {} instead of {}. To correct it: weir invoice rerate {number} --issue --reason TEXT",
            difference.total_after, difference.total_before
        ),
    }
    .into();
    value
}

/// Decimals as text, and a column for people.
fn difference_value(difference: &Difference) -> Value {
    let side = |side: Option<&Side>| {
        side.map(|side| {
            json!({
                "quantity": side.quantity.to_string(),
                "unit_price": side.unit_price.to_string(),
                "amount": side.amount,
            })
        })
    };
    let shown = |side: Option<&Side>, unit: &str| {
        side.map_or_else(|| "-".to_owned(), |side| format!("{} {unit}: {}", side.quantity, side.amount))
    };
    let lines: Vec<Value> = difference
        .lines
        .iter()
        .map(|line| {
            json!({
                "key": line.key,
                "title": line.title,
                "unit": line.unit,
                "before": side(line.before.as_ref()),
                "after": side(line.after.as_ref()),
                "before_shown": shown(line.before.as_ref(), &line.unit),
                "after_shown": shown(line.after.as_ref(), &line.unit),
            })
        })
        .collect();
    json!({
        "lines": lines,
        "taxes_differ": difference.taxes_differ,
        "total_before": difference.total_before,
        "total_after": difference.total_after,
    })
}
