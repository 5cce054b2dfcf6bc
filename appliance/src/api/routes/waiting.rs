//! Invoices on their way: what waits for somebody, moved on month by month; single ones previewed and issued; those whose
//! usage has changed since; and who did what to one. Months of all tenants are begun in `runs`.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::Method;
use billing::invoice::lifecycle;
use billing::rechecks;
use billing::store::waiting::WaitingQuery;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::TenantId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{asked_period, invoices, of_answer, path_tenant, query_tenant, tenant};
use crate::answers::billing::{Step, step_all};
use crate::api::call::Call;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag, text};
use crate::api::problem::{Kind, Problem};
use crate::api::wire::invoices::InvoiceBody;
use crate::api::wire::waiting::{EventBody, IssueRequest, LateBody, StepBody, StepRequest, WaitingBody};
use crate::control::request::Chosen;
use crate::invoicing::{self, Outcome, Tables};

/// The last one of a page.
#[derive(Serialize, Deserialize)]
struct After(Timestamp, Uuid);

pub fn operations() -> Vec<Operation> {
    [of_steps(), of_single()].concat()
}

fn of_steps() -> Vec<Operation> {
    let step = |path, id, summary| match id {
        "approveInvoices" => Operation::new(Method::POST, path, id, Tag::Invoices, summary, approve),
        "issueInvoices" => Operation::new(Method::POST, path, id, Tag::Invoices, summary, issue_approved),
        _ => Operation::new(Method::POST, path, id, Tag::Invoices, summary, send_back),
    };
    let step = |path, id, summary, saying| {
        step(path, id, summary)
            .saying(saying)
            .access(Access::Provider)
            .takes::<StepRequest>()
            .answers::<StepBody>("What became of them. Doing it again finds nothing left to do.")
            .once()
            .refuses(&[Kind::NotFound, Kind::Unprocessable])
    };
    vec![
        Operation::new(
            Method::GET,
            "/v1/waiting-invoices",
            "listWaitingInvoices",
            Tag::Invoices,
            "Invoices that wait for somebody",
            list,
        )
        .saying("By period and tenant, each beside the invoice of the time right before.")
        .access(Access::Provider)
        .query(text("tenant", "Only this tenant's, by name or id."))
        .pages::<WaitingBody>()
        .refuses(&[Kind::NotFound]),
        step(
            "/v1/waiting-invoices/approve",
            "approveInvoices",
            "Approve the invoices of a month",
            "As they stand: they may be issued then.",
        ),
        step(
            "/v1/waiting-invoices/issue",
            "issueInvoices",
            "Issue the approved invoices of a month",
            "Each takes its number. Issued is final.",
        ),
        step(
            "/v1/waiting-invoices/send-back",
            "sendBackInvoices",
            "Make drafts again of the invoices of a month",
            "The next billing run rates them anew.",
        ),
    ]
}

fn of_single() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/late-invoices",
            "listLateInvoices",
            Tag::Invoices,
            "Issued invoices whose usage has changed since",
            late,
        )
        .saying("As a job has noticed that looks every ten minutes.")
        .access(Access::Provider)
        .lists::<LateBody>("Those that would be others now."),
        Operation::new(
            Method::GET,
            "/v1/invoices/{number}/history",
            "listInvoiceEvents",
            Tag::Invoices,
            "Who did what to an invoice, and when",
            history,
        )
        .access(Access::Provider)
        .lists::<EventBody>("The oldest first."),
        Operation::new(
            Method::GET,
            "/v1/tenants/{tenant}/preview",
            "previewInvoice",
            Tag::Invoices,
            "What the invoice of a period would be",
            preview,
        )
        .saying("Rated now from the usage that there is, by the plan in force. Nothing is stored. Say period, or from and to.")
        .access(Access::Provider)
        .query(text("period", "A month in the tenant's zone, such as 2026-10."))
        .query(text("from", "From this day or instant on."))
        .query(text("to", "Up to, and without, this one."))
        .answers::<InvoiceBody>("The invoice, without a number."),
        Operation::new(Method::POST, "/v1/invoices", "issueInvoice", Tag::Invoices, "Issue an invoice", issue)
            .saying(
                "Of one tenant and one period that is over, at once and without review. Issued is final; what was issued for \
                 the period before is answered as it is.",
            )
            .access(Access::Provider)
            .takes::<IssueRequest>()
            .creates::<InvoiceBody>("The invoice.")
            .once()
            .refuses(&[Kind::NotFound, Kind::Conflict, Kind::Unprocessable]),
    ]
}

async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let paging = call.paging("waiting-invoices")?;
    let only = query_tenant(&call).await?.map(|tenant| tenant.id);
    let after = paging.after::<After>()?.map(|After(start, id)| (start, TenantId::from_uuid(id)));
    // One more than the page holds says whether there is another one.
    let query = WaitingQuery { tenant: only, after, limit: paging.limit + 1 };
    let mut found = billing::invoices::waiting(call.db(), &query).await?;
    let limit = usize::try_from(paging.limit).unwrap_or(usize::MAX);
    let has_more = limit < found.len();
    found.truncate(limit);
    let last = found.last().filter(|_| has_more);
    let last = last.map(|last| After(last.service_period.start(), last.tenant_id.uuid()));
    Ok(paging.answer(found.iter().map(WaitingBody::from).collect(), last.as_ref()))
}

async fn approve(call: Call) -> Result<HttpResponse, Problem> {
    step(call, Step::Approve).await
}

async fn issue_approved(call: Call) -> Result<HttpResponse, Problem> {
    step(call, Step::Issue).await
}

async fn send_back(call: Call) -> Result<HttpResponse, Problem> {
    step(call, Step::SendBack).await
}

async fn step(call: Call, step: Step) -> Result<HttpResponse, Problem> {
    let asked: StepRequest = call.body()?;
    let refused = |error| of_answer(error, Kind::Unprocessable);
    billing::period::month(&asked.period, &TimeZone::UTC).map_err(|error| refused(error.into()))?;
    let only = match &asked.tenant {
        None => None,
        Some(name) => Some(tenant(&call, name).await?.name.to_string()),
    };
    let chosen = Chosen { period: asked.period, tenant: only };
    let stepped = step_all(&call.parts, &chosen, step, call.who()?.user.name.as_str()).await;
    Ok(call.ok(&StepBody::from(&stepped.map_err(refused)?)))
}

async fn late(call: Call) -> Result<HttpResponse, Problem> {
    let found = rechecks::late(call.db(), rechecks::LISTED_MAX).await?;
    Ok(call.list(found.iter().map(LateBody::from)))
}

async fn history(call: Call) -> Result<HttpResponse, Problem> {
    let invoice = invoices::find(&call).await?;
    let events = lifecycle::events(call.db(), invoice.invoice_id).await?;
    Ok(call.list(events.iter().map(EventBody::from)))
}

async fn preview(call: Call) -> Result<HttpResponse, Problem> {
    let period = asked_period(call.text("period"), call.text("from"), call.text("to"))?;
    let tenant = path_tenant(&call).await?;
    let refused = |error| of_answer(error, Kind::Unprocessable);
    let tables = Tables::read(&call.parts).await.map_err(refused)?;
    let bill = invoicing::gather(&call.parts, &tables, tenant, &period).await.map_err(refused)?;
    let document = invoicing::preview(&bill).map_err(refused)?;
    let status = document.status;
    Ok(call.ok(&InvoiceBody::new(&document, status)))
}

async fn issue(call: Call) -> Result<HttpResponse, Problem> {
    let asked: IssueRequest = call.body()?;
    let period = asked_period(asked.period.as_deref(), asked.from.as_deref(), asked.to.as_deref())?;
    let payer = tenant(&call, &asked.tenant).await?;
    if payer.id == TenantId::UNASSIGNED {
        return Err(Problem::not_found("tenant"));
    }
    let refused = |error| of_answer(error, Kind::Unprocessable);
    let (_, window) = invoicing::period_of(&payer, &period).map_err(refused)?;
    // Nobody waits for readings in a request: whoever asks too early is told so, and asks again.
    let settled = invoicing::settle_usage(&call.parts, payer.id, window, Duration::ZERO).await;
    settled.map_err(|error| of_answer(error, Kind::Conflict))?;
    let tables = Tables::read(&call.parts).await.map_err(refused)?;
    let bill = invoicing::gather(&call.parts, &tables, payer, &period).await.map_err(refused)?;
    let actor = call.who()?.user.name.to_string();
    let outcome = invoicing::issue_bill(&call.parts, &bill, &actor).await;
    match outcome.map_err(|error| of_answer(error, Kind::Conflict))? {
        Outcome::Nothing(why) => Err(Problem::new(Kind::Conflict, why)),
        Outcome::Issued(issued) => {
            call.parts.mail_due.notify_one();
            let invoice = issued.invoice();
            let number = invoice.document.number.as_deref().unwrap_or_default();
            Ok(call.created(format!("/v1/invoices/{number}"), &InvoiceBody::of(invoice)))
        }
    }
}
