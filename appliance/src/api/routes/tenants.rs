//! Tenants.

use actix_web::HttpResponse;
use actix_web::http::Method;
use billing::account::assignments::{self, Asked, AssignError, Assignments};
use billing::account::fit::Misfit;
use billing::{PricePlan, plans};
use jiff::Timestamp;
use jiff::civil::Date;
use metering::{TenantId, TenantName};
use migrations::Scope;
use serde::{Deserialize, Serialize};
use usage::registry::{self, RegistryError, TenantChange, TenantCursor, TenantQuery};

use super::path_tenant;
use crate::answers;
use crate::api::call::Call;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag, text};
use crate::api::problem::{Kind, Problem};
use crate::api::revision::{self, Expected};
use crate::api::wire::tenants::{NewTenant, TenantBody, TenantPatch};

/// The last tenant of a page.
#[derive(Serialize, Deserialize)]
struct After(String);

/// How often a change that may overwrite anything is tried against others who change the same.
const OVERWRITES_MAX: u32 = 5;

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/tenants", "listTenants", Tag::Tenants, "Tenants", list)
            .saying("A tenant's user sees its own.")
            .query(text("search", "Part of a name."))
            .pages::<TenantBody>(),
        Operation::new(Method::POST, "/v1/tenants", "createTenant", Tag::Tenants, "Add a tenant", create)
            .saying("Instances whose metadata names it and that are nobody's become its own.")
            .access(Access::Provider)
            .takes::<NewTenant>()
            .creates::<TenantBody>("The tenant.")
            .once()
            .versioned()
            .refuses(&[Kind::Conflict, Kind::Unprocessable]),
        Operation::new(Method::GET, "/v1/tenants/{tenant}", "getTenant", Tag::Tenants, "A tenant", get)
            .answers::<TenantBody>("The tenant.")
            .versioned(),
        Operation::new(
            Method::PATCH,
            "/v1/tenants/{tenant}",
            "changeTenant",
            Tag::Tenants,
            "Change a tenant",
            change,
        )
        .saying(
            "What is left out stays. Another plan begins with a month: what ended before is billed by the plan of then.",
        )
        .access(Access::Provider)
        .takes::<TenantPatch>()
        .answers::<TenantBody>("The tenant as it is now.")
        .versioned()
        .refuses(&[Kind::Conflict, Kind::Unprocessable]),
    ]
}

async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let paging = call.paging("tenants")?;
    let after = paging.after::<After>()?;
    let mut query = TenantQuery {
        search: call.text("search"),
        after: after.map(|After(name)| TenantCursor { name }),
        limit: paging.limit as usize,
    };
    let mut page = registry::tenants_page(call.db(), call.scope()?, &query).await?;
    page.items.retain(|tenant| tenant.id != TenantId::UNASSIGNED);
    // The one that is nobody must not make a page that looks like an empty last one.
    while page.items.is_empty()
        && let Some(next) = page.next.take()
    {
        query.after = Some(next);
        page = registry::tenants_page(call.db(), call.scope()?, &query).await?;
        page.items.retain(|tenant| tenant.id != TenantId::UNASSIGNED);
    }
    let next = page.next.map(|next| After(next.name));
    let ids: Vec<TenantId> = page.items.iter().map(|tenant| tenant.id).collect();
    let plans = assignments::of(call.db(), call.scope()?, Some(&ids)).await?;
    let (none, items) = (Assignments::default(), page.items.iter());
    let bodies = items.map(|tenant| TenantBody::new(tenant, plans.get(&tenant.id).unwrap_or(&none)));
    Ok(paging.answer(bodies.collect(), next.as_ref()))
}

async fn create(call: Call) -> Result<HttpResponse, Problem> {
    let new: NewTenant = call.body()?;
    let name = TenantName::new(&new.name).map_err(RegistryError::from)?;
    if let Some(plan) = &new.plan {
        find_plan(&call, plan).await?;
    }
    let address: Vec<String> = new.address.into_iter().map(|line| line.0).collect();
    let actor = call.who()?.user.name.to_string();
    let wanted = registry::NewTenant {
        plan_name: new.plan.as_deref(),
        added_by: Some(&actor),
        address: &address,
        tax_number: new.tax_number.as_deref(),
        ..registry::NewTenant::new(
            name,
            new.display_name.as_deref().unwrap_or(&new.name),
            new.time_zone.as_deref().unwrap_or("UTC"),
        )
    };
    let tenant = registry::create_tenant(call.db(), &wanted, call.parts.usage).await?;
    call.parts.ingested.notify_one();
    let mut answer = call.created(format!("/v1/tenants/{}", tenant.name), &body(&call, &tenant).await?);
    let (name, value) = revision::etag(tenant.revision);
    answer.headers_mut().insert(name, value);
    Ok(answer)
}

async fn get(call: Call) -> Result<HttpResponse, Problem> {
    let tenant = path_tenant(&call).await?;
    Ok(call.versioned(tenant.revision, &body(&call, &tenant).await?))
}

async fn body(call: &Call, tenant: &registry::Tenant) -> Result<TenantBody, Problem> {
    Ok(TenantBody::new(tenant, &assignments::get(call.db(), call.scope()?, tenant.id).await?))
}

async fn change(call: Call) -> Result<HttpResponse, Problem> {
    let expected = call.expected()?;
    let patch: TenantPatch = call.body()?;
    let plan = match &patch.plan {
        Some(Some(plan)) => Some(find_plan(&call, plan).await?),
        _ => None,
    };
    if patch.plan_from.is_some() && patch.plan.is_none() {
        let detail = "plan_from says from when on a plan holds; say which, too: plan";
        return Err(Problem::new(Kind::Unprocessable, detail).at("body", "plan_from"));
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let tenant = path_tenant(&call).await?;
        let based_on = match expected {
            Expected::Any => tenant.revision,
            Expected::Revision(revision) if revision == tenant.revision => revision,
            Expected::Revision(_) => return Err(revision::stale(Some(tenant.revision))),
        };
        match apply(&call, &tenant, based_on, (&patch, plan.as_ref())).await {
            Err(Refused::Tenant(RegistryError::Changed { .. }))
                if expected == Expected::Any && tries < OVERWRITES_MAX => {}
            changed => {
                changed?;
                let tenant = path_tenant(&call).await?;
                return Ok(call.versioned(tenant.revision, &body(&call, &tenant).await?));
            }
        }
    }
}

/// Why a change was not made.
enum Refused {
    Tenant(RegistryError),
    Other(Problem),
}

/// Puts a change on top of what the tenant is at that revision, all or nothing.
async fn apply(
    call: &Call,
    tenant: &registry::Tenant,
    based_on: u64,
    (patch, plan): (&TenantPatch, Option<&PricePlan>),
) -> Result<(), Refused> {
    let address: Option<Vec<String>> =
        patch.address.as_ref().map(|lines| lines.iter().map(|line| line.0.clone()).collect());
    let change = TenantChange {
        display_name: patch.display_name.as_deref().unwrap_or(&tenant.display_name),
        address: address.as_deref().unwrap_or(&tenant.address),
        tax_number: patch.tax_number.as_ref().unwrap_or(&tenant.tax_number).as_deref(),
        email: patch.email.as_ref().unwrap_or(&tenant.email).as_deref(),
    };
    let mut session = call.db().session().await.map_err(RegistryError::from)?;
    let transaction = session.begin(Scope::Provider).await.map_err(RegistryError::from)?;
    registry::update_tenant_within(&transaction, tenant.id, based_on, &change).await?;
    if let Some(name) = &patch.plan {
        let actor = call.who()?.user.name.to_string();
        let asked = Asked { plan: name.as_deref(), from: patch.plan_from, by: &actor };
        let assigned = assignments::assign(&transaction, tenant.id, asked, Timestamp::now()).await;
        let assigned = assigned.map_err(unassigned)?;
        if let Some(plan) = plan {
            check_change(call, tenant, plan, assigned.from).await?;
        }
    }
    transaction.commit().await.map_err(RegistryError::from)?;
    Ok(())
}

fn unassigned(error: AssignError) -> Problem {
    match error {
        AssignError::Store(error) => error.into(),
        AssignError::NoTenant(_) => Problem::not_found("tenant"),
        AssignError::Issued { .. } | AssignError::UnderReview { .. } => {
            Problem::new(Kind::Conflict, error.to_string()).at("body", "plan_from")
        }
        AssignError::MidMonth { .. } | AssignError::Zone(_) | AssignError::Calendar(_) => {
            Problem::new(Kind::Unprocessable, error.to_string()).at("body", "plan_from")
        }
    }
}

impl From<RegistryError> for Refused {
    fn from(error: RegistryError) -> Self {
        Self::Tenant(error)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Other(problem)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Tenant(error) => error.into(),
            Refused::Other(problem) => problem,
        }
    }
}

/// The plan of that name.
async fn find_plan(call: &Call, name: &str) -> Result<PricePlan, Problem> {
    plans::get(call.db(), name).await?.ok_or_else(|| {
        Problem::new(
            Kind::Unprocessable,
            format!(
                "there is no plan {:?}; store it first: weir plan apply FILE.toml",
                crate::api::call::cut(name)
            ),
        )
    })
}

/// Refuses a plan that does not go with the tenant's terms, or with the currency of the month that runs.
async fn check_change(
    call: &Call,
    tenant: &registry::Tenant,
    plan: &PricePlan,
    from: Date,
) -> Result<(), Problem> {
    let checked = answers::plans::check_change(&call.parts, tenant, plan, from).await;
    checked.map_err(|error| match error.downcast::<Misfit>() {
        Ok(Misfit::Store(error)) => error.into(),
        Ok(misfit) => Problem::new(Kind::Conflict, misfit.to_string()),
        Err(error) => Problem::new(Kind::Conflict, format!("{error:#}")),
    })
}
