//! Billing runs: months of all tenants, from usage to invoices.

use actix_web::HttpResponse;
use actix_web::http::Method;
use billing::runs::{self, Goal, ItemState, Run};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::TenantId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::tenant;
use crate::api::call::Call;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag, one_of};
use crate::api::problem::{Kind, Problem};
use crate::api::wire::runs::{ItemBody, NewRunBody, RunBody};
use crate::billing_run::{self, Asked};

const STATES: [(&str, ItemState); 4] = [
    ("waiting", ItemState::Waiting),
    ("done", ItemState::Done),
    ("nothing", ItemState::Nothing),
    ("failed", ItemState::Failed),
];

/// The last run of a page.
#[derive(Serialize, Deserialize)]
struct After(Timestamp, Uuid);

/// The last tenant of a page.
#[derive(Serialize, Deserialize)]
struct AfterItem(Uuid);

pub fn operations() -> Vec<Operation> {
    const RUNS: &str = "/v1/billing-runs";
    vec![
        Operation::new(Method::GET, RUNS, "listBillingRuns", Tag::Invoices, "Billing runs", list)
            .saying("The newest first.")
            .access(Access::Provider)
            .pages::<RunBody>(),
        Operation::new(Method::POST, RUNS, "createBillingRun", Tag::Invoices, "Begin a billing run", create)
            .saying(
                "It works on by itself, and goes on after a crash; get it again to see how far it is. A tenant that has an invoice for the month keeps it, so that running twice is running once.",
            )
            .access(Access::Provider)
            .takes::<NewRunBody>()
            .creates::<RunBody>("The run.")
            .once()
            .refuses(&[Kind::NotFound, Kind::Unprocessable]),
        Operation::new(
            Method::GET,
            "/v1/billing-runs/{id}",
            "getBillingRun",
            Tag::Invoices,
            "A billing run",
            get,
        )
        .access(Access::Provider)
        .answers::<RunBody>("The run."),
        Operation::new(
            Method::GET,
            "/v1/billing-runs/{id}/items",
            "listBillingRunItems",
            Tag::Invoices,
            "The tenants of a billing run",
            items,
        )
        .access(Access::Provider)
        .query(one_of("state", &STATES.map(|(word, _)| word), "Only those that stand there."))
        .pages::<ItemBody>()
        .refuses(&[Kind::NotFound]),
    ]
}

async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let paging = call.paging("billing-runs")?;
    let after = paging.after::<After>()?.map(|After(at, id)| (at, id));
    // One more than asked for tells whether there is another page.
    let mut found = runs::list(call.db(), after, paging.limit + 1).await?;
    let next = next(&mut found, paging.limit, |run| After(run.created_at, run.run_id));
    Ok(paging.answer(found.iter().map(RunBody::from).collect(), next.as_ref()))
}

async fn create(call: Call) -> Result<HttpResponse, Problem> {
    let asked: NewRunBody = call.body()?;
    let id = call.thing_id();
    if runs::get(call.db(), id).await?.is_none() {
        begin(&call, id, asked).await?;
    }
    let run = find(&call, id).await?;
    Ok(call.created(format!("/v1/billing-runs/{id}"), &RunBody::from(&run)))
}

async fn begin(call: &Call, id: Uuid, asked: NewRunBody) -> Result<(), Problem> {
    let refused = |detail: String| Problem::new(Kind::Unprocessable, detail);
    billing::period::month(&asked.period, &TimeZone::UTC).map_err(|error| refused(error.to_string()))?;
    let only = match &asked.tenant {
        None => None,
        Some(name) => Some(tenant(call, name).await?.name.to_string()),
    };
    let asked = Asked {
        period: asked.period,
        goal: asked.goal.map_or(Goal::Review, Goal::from),
        before_cutoff: asked.before_cutoff,
        tenant: only,
        actor: call.who()?.user.name.to_string(),
    };
    match billing_run::start(&call.parts, id, &asked).await {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.downcast::<billing::invoices::StoreError>() {
            Ok(store) => store.into(),
            Err(error) => refused(format!("{error:#}")),
        }),
    }
}

async fn get(call: Call) -> Result<HttpResponse, Problem> {
    let run = find(&call, call.id("id", "billing run")?).await?;
    Ok(call.ok(&RunBody::from(&run)))
}

async fn items(call: Call) -> Result<HttpResponse, Problem> {
    let run = find(&call, call.id("id", "billing run")?).await?;
    let paging = call.paging("billing-run-items")?;
    let after = paging.after::<AfterItem>()?.map(|AfterItem(id)| TenantId::from_uuid(id));
    let only = call.one_of("state", &STATES)?;
    let mut found = runs::items(call.db(), run.run_id, only, after, paging.limit + 1).await?;
    let next = next(&mut found, paging.limit, |item| AfterItem(item.tenant_id.uuid()));
    Ok(paging.answer(found.iter().map(ItemBody::from).collect(), next.as_ref()))
}

async fn find(call: &Call, id: Uuid) -> Result<Run, Problem> {
    runs::get(call.db(), id).await?.ok_or_else(|| Problem::not_found("billing run"))
}

/// Cuts what is too much, and says where the next page begins.
fn next<T, A>(found: &mut Vec<T>, limit: u32, after: impl Fn(&T) -> A) -> Option<A> {
    let limit = limit as usize;
    let has_more = limit < found.len();
    found.truncate(limit);
    found.last().filter(|_| has_more).map(after)
}
