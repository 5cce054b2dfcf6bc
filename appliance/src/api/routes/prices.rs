//! Price plans and tenants' own terms: kept, checked, compared and tried on what was used already. Texts are TOML, as in files.

use actix_web::HttpResponse;
use actix_web::http::Method;
use billing::PricePlan;
use billing::plan::diff::diff;
use billing::plans::{self, ReplaceError};
use billing::store::terms;
use billing::terms::TenantTerms;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{asked_period, of_answer, path_tenant, tenant};
use crate::answers::plans as shared;
use crate::answers::tenants::check_plan;
use crate::api::call::{Call, TEXT_BYTES_MAX};
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag};
use crate::api::problem::{Kind, Problem};
use crate::api::revision::{self, Expected};
use crate::api::wire::prices::{
    ChangeBody, ComparisonBody, ComparisonRequest, FactsBody, OwnTermsBody, PlanBody, PlanSource, PlanText,
    SimulationBody, SimulationRequest, SummaryBody, TermsText, count,
};
use crate::invoicing::Tables;

/// The last tenant of a page.
#[derive(Serialize, Deserialize)]
struct After(String);

pub fn operations() -> Vec<Operation> {
    [of_plans(), of_questions(), of_terms()].concat()
}

fn of_plans() -> Vec<Operation> {
    const ONE: &str = "/v1/plans/{name}";
    vec![
        Operation::new(Method::GET, "/v1/plans", "listPlans", Tag::Prices, "Price plans in force", list)
            .access(Access::Provider)
            .lists::<SummaryBody>("By name."),
        Operation::new(Method::GET, ONE, "getPlan", Tag::Prices, "A price plan", get)
            .access(Access::Provider)
            .answers::<PlanBody>("The plan, as it was sent.")
            .versioned(),
        Operation::new(Method::PUT, ONE, "setPlan", Tag::Prices, "Put a price plan in force", set)
            .saying(
                "For a new one, If-Match is \"0\". The plan is checked as a whole, and against the terms and the running \
                 months of the tenants that it bills. Every text is kept; sending the one in force again changes nothing.",
            )
            .access(Access::Provider)
            .takes::<PlanText>()
            .up_to(TEXT_BYTES_MAX)
            .answers::<PlanBody>("As it is now.")
            .versioned()
            .refuses(&[Kind::Conflict, Kind::Unprocessable]),
    ]
}

fn of_questions() -> Vec<Operation> {
    let post = |path, id, summary| match id {
        "checkPlan" => Operation::new(Method::POST, path, id, Tag::Prices, summary, check),
        "comparePlans" => Operation::new(Method::POST, path, id, Tag::Prices, summary, compare),
        _ => Operation::new(Method::POST, path, id, Tag::Prices, summary, simulate),
    };
    vec![
        post("/v1/plan-checks", "checkPlan", "Whether a price plan is right")
            .saying("Nothing is stored. What is wrong is listed, each with its line and how to mend it.")
            .access(Access::Provider)
            .takes::<PlanText>()
            .up_to(TEXT_BYTES_MAX)
            .answers::<FactsBody>("It is right."),
        post("/v1/plan-comparisons", "comparePlans", "What changes between two price plans")
            .access(Access::Provider)
            .takes::<ComparisonRequest>()
            .up_to(2 * TEXT_BYTES_MAX)
            .answers::<ComparisonBody>("What changes, from the first day on."),
        post("/v1/plan-simulations", "simulatePlan", "What tenants would have paid under a price plan")
            .saying(
                "Rated from the usage that is stored, tenant by tenant and by name. Nothing is stored. One that cannot be \
                 rated says why and stops nobody.",
            )
            .access(Access::Provider)
            .takes::<SimulationRequest>()
            .up_to(TEXT_BYTES_MAX)
            .pages::<SimulationBody>()
            .refuses(&[Kind::NotFound]),
    ]
}

fn of_terms() -> Vec<Operation> {
    const TERMS: &str = "/v1/tenants/{tenant}/terms";
    vec![
        Operation::new(Method::GET, TERMS, "getTerms", Tag::Prices, "A tenant's own terms", get_terms)
            .saying("And the prices that hold for it.")
            .access(Access::Money)
            .answers::<OwnTermsBody>("The terms.")
            .versioned()
            .refuses(&[Kind::Conflict]),
        Operation::new(Method::PUT, TERMS, "setTerms", Tag::Prices, "Set a tenant's own terms", set_terms)
            .saying("An empty text ends them. Every text is kept; sending the one in force again changes nothing.")
            .access(Access::Provider)
            .takes::<TermsText>()
            .up_to(TEXT_BYTES_MAX)
            .answers::<OwnTermsBody>("As they are now.")
            .versioned()
            .refuses(&[Kind::Conflict, Kind::Unprocessable]),
    ]
}

async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let found = plans::list(call.db()).await?;
    Ok(call.list(found.iter().map(SummaryBody::from)))
}

async fn get(call: Call) -> Result<HttpResponse, Problem> {
    let found = plans::find(call.db(), call.path("name")).await?;
    let body = PlanBody::from(&found.ok_or_else(|| Problem::not_found("price plan"))?);
    Ok(call.versioned(body.revision, &body))
}

async fn set(call: Call) -> Result<HttpResponse, Problem> {
    let expected = call.expected()?;
    let asked: PlanText = call.body()?;
    let plan = parsed("text", &asked.text)?;
    if plan.name() != call.path("name") {
        let detail = format!(
            "the text is plan {:?}, and the path says {:?}: send it to /v1/plans/{}, or change its name",
            plan.name(),
            crate::api::call::cut(call.path("name")),
            plan.name()
        );
        return Err(Problem::new(Kind::Unprocessable, detail).at("body", "text"));
    }
    let checked = check_plan(&call.parts, "text", &plan, asked.rewrite_past).await;
    checked.map_err(|error| of_answer(error, Kind::Conflict))?;
    let now = Timestamp::now();
    match expected {
        Expected::Any => plans::apply(call.db(), &plan, now).await?,
        Expected::Revision(revision) => plans::replace(call.db(), &plan, known(revision)?, now).await?,
    };
    get(call).await
}

async fn check(call: Call) -> Result<HttpResponse, Problem> {
    let asked: PlanText = call.body()?;
    Ok(call.ok(&FactsBody::from(&parsed("text", &asked.text)?)))
}

async fn compare(call: Call) -> Result<HttpResponse, Problem> {
    let asked: ComparisonRequest = call.body()?;
    let (old, new) = (plan_of(&call, "old", &asked.old).await?, plan_of(&call, "new", &asked.new).await?);
    Ok(call.ok(&ComparisonBody { changes: diff(&old, &new).iter().map(ChangeBody::from).collect() }))
}

async fn simulate(call: Call) -> Result<HttpResponse, Problem> {
    let paging = call.paging("plan-simulations")?;
    let asked: SimulationRequest = call.body()?;
    let period = asked_period(asked.period.as_deref(), asked.from.as_deref(), asked.to.as_deref())?;
    let plan = plan_of(&call, "plan", &asked.plan).await?;
    let mut names: Vec<String> = match &asked.tenant {
        Some(only) => vec![tenant(&call, only).await?.name.to_string()],
        None => {
            let billed = shared::billed_by(&call.parts, plan.name(), &period).await;
            let billed = billed.map_err(|error| of_answer(error, Kind::Unprocessable))?;
            billed.into_iter().map(|tenant| tenant.name.to_string()).collect()
        }
    };
    names.sort_unstable();
    if let Some(After(last)) = paging.after()? {
        names.retain(|name| last < *name);
    }
    let limit = usize::try_from(paging.limit).unwrap_or(usize::MAX);
    let has_more = limit < names.len();
    names.truncate(limit);
    let refused = |error| of_answer(error, Kind::Unprocessable);
    let tables = Tables::read(&call.parts).await.map_err(refused)?;
    let as_of = asked.as_of.map(|day| day.to_string());
    let mut items = Vec::with_capacity(names.len());
    for name in &names {
        let tried =
            shared::simulate(&call.parts, &tables, plan.clone(), &period, name, as_of.as_deref()).await;
        items.push(match tried.map_err(refused) {
            Ok(simulated) => SimulationBody::from(&simulated),
            Err(problem) if problem.kind() == Kind::Unavailable => return Err(problem),
            Err(problem) => SimulationBody::failed(name, problem.to_string()),
        });
    }
    let last = names.last().filter(|_| has_more).map(|name| After(name.clone()));
    Ok(paging.answer(items, last.as_ref()))
}

async fn get_terms(call: Call) -> Result<HttpResponse, Problem> {
    let tenant = path_tenant(&call).await?;
    let stored = terms::get(call.db(), call.scope()?, tenant.id).await?;
    let own = stored.as_ref().map(|stored| stored.terms.clone()).unwrap_or_default();
    let effective = shared::effective(&call.parts, &tenant, &own).await;
    let body = OwnTermsBody {
        revision: stored.as_ref().map_or(0, |stored| count(stored.revision)),
        applied_at: stored.as_ref().map(|stored| stored.applied_at),
        text: own.source().to_owned(),
        plan: tenant.plan_name,
        effective: effective.map_err(|error| of_answer(error, Kind::Conflict))?,
    };
    Ok(call.versioned(body.revision, &body))
}

async fn set_terms(call: Call) -> Result<HttpResponse, Problem> {
    let expected = call.expected()?;
    let asked: TermsText = call.body()?;
    let own = TenantTerms::parse("text", asked.text.as_bytes());
    let own = own.map_err(|errors| Problem::text("text", &errors))?;
    let tenant = path_tenant(&call).await?;
    let checked = shared::check_terms(&call.parts, &tenant, &own).await;
    checked.map_err(|error| of_answer(error, Kind::Conflict))?;
    let now = Timestamp::now();
    match expected {
        Expected::Any => terms::apply(call.db(), tenant.id, &own, now).await?,
        Expected::Revision(revision) => {
            terms::replace(call.db(), tenant.id, &own, known(revision)?, now).await?
        }
    };
    get_terms(call).await
}

/// A plan by its text, or by the name of one in force.
async fn plan_of(call: &Call, member: &str, source: &PlanSource) -> Result<PricePlan, Problem> {
    match (&source.name, &source.text) {
        (None, Some(text)) => parsed(&format!("{member}.text"), text),
        (Some(name), None) => plans::get(call.db(), name).await?.ok_or_else(|| {
            let shown = crate::api::call::cut(name);
            let detail = format!("there is no plan {shown:?} in force; /v1/plans lists them");
            Problem::new(Kind::Unprocessable, detail).at("body", &format!("{member}.name"))
        }),
        _ => {
            let detail = format!("say of {member} either the name of a plan in force or the text of one");
            Err(Problem::new(Kind::Unprocessable, detail).at("body", member))
        }
    }
}

fn parsed(member: &str, text: &str) -> Result<PricePlan, Problem> {
    PricePlan::parse(member, text.as_bytes()).map_err(|errors| Problem::text(member, &errors))
}

/// The revision as it is stored; one that cannot be is not the present one.
pub(super) fn known(revision: u64) -> Result<i32, Problem> {
    i32::try_from(revision).map_err(|_| revision::stale(None))
}

impl From<ReplaceError> for Problem {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Changed { current } => revision::stale(Some(count(current))),
            ReplaceError::Store(source) => source.into(),
        }
    }
}
