//! Quotas, budgets, and the running month.

use actix_web::HttpResponse;
use actix_web::http::Method;
use billing::money::{Currency, Money};
use billing::{budget, drafts, plans, quota};
use jiff::Timestamp;
use metering::Window;
use usage::registry::Tenant;

use super::path_tenant;
use crate::api::call::Call;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag};
use crate::api::problem::{Kind, Problem};
use crate::api::revision;
use crate::api::wire::limits::{BudgetBody, BudgetChange, CrossingBody, DraftBody, LimitsBody, QuotaBody};
use crate::api::wire::{self, invoices::InvoiceBody};
use crate::spending;

/// The largest number of instances or vCPUs that a quota may name, against slips: more than any cloud has.
const COUNT_MAX: u32 = 1_000_000;
/// The most memory that a quota may name, in KiB: 1 EiB, and exact in a double.
const MEMORY_KIB_MAX: u64 = 1 << 50;

pub fn operations() -> Vec<Operation> {
    const QUOTA: &str = "/v1/tenants/{tenant}/quota";
    const BUDGET: &str = "/v1/tenants/{tenant}/budget";
    vec![
        Operation::new(
            Method::GET,
            QUOTA,
            "getQuota",
            Tag::Limits,
            "A tenant's quota and what it holds",
            get_quota,
        )
        .answers::<QuotaBody>("The limits, and what is held.")
        .versioned(),
        Operation::new(Method::PUT, QUOTA, "setQuota", Tag::Limits, "Set a tenant's quota", set_quota)
            .saying("What the tenant holds already stays, even if it is more.")
            .access(Access::Provider)
            .takes::<LimitsBody>()
            .answers::<QuotaBody>("As it is now.")
            .versioned()
            .refuses(&[Kind::Unprocessable]),
        Operation::new(Method::GET, BUDGET, "getBudget", Tag::Limits, "A tenant's budget", get_budget)
            .access(Access::Money)
            .answers::<BudgetBody>("The budget.")
            .versioned(),
        Operation::new(Method::PUT, BUDGET, "setBudget", Tag::Limits, "Set a tenant's budget", set_budget)
            .saying("Crossing 50, 80 and 100 % of it sends one mail each, every month. It stops nothing.")
            .access(Access::Money)
            .takes::<BudgetChange>()
            .answers::<BudgetBody>("As it is now.")
            .versioned()
            .refuses(&[Kind::Unprocessable]),
        Operation::new(
            Method::DELETE,
            BUDGET,
            "removeBudget",
            Tag::Limits,
            "Remove a tenant's budget",
            remove_budget,
        )
        .access(Access::Money)
        .versioned(),
        Operation::new(
            Method::GET,
            "/v1/tenants/{tenant}/budget/crossings",
            "listCrossings",
            Tag::Limits,
            "Thresholds that were crossed this month",
            list_crossings,
        )
        .access(Access::Money)
        .lists::<CrossingBody>("The oldest first."),
        Operation::new(
            Method::GET,
            "/v1/tenants/{tenant}/draft",
            "getDraft",
            Tag::Invoices,
            "What the running month's invoice would be",
            get_draft,
        )
        .saying("It is rated anew every minute.")
        .access(Access::Money)
        .answers::<DraftBody>("The draft."),
    ]
}

async fn get_quota(call: Call) -> Result<HttpResponse, Problem> {
    let tenant = path_tenant(&call).await?;
    let quota = quota::get(call.db(), call.scope()?, tenant.id).await?;
    with_held(&call, &tenant, &quota).await
}

async fn set_quota(call: Call) -> Result<HttpResponse, Problem> {
    let expected = call.expected()?;
    let limits: LimitsBody = call.body()?;
    let too_large = |what: &str, max: u64| {
        Err(Problem::new(Kind::InvalidBody, format!("{what} is {max} at most; null is without limit")))
    };
    if [limits.instances, limits.vcpus].into_iter().flatten().any(|limit| COUNT_MAX < limit) {
        return too_large("a number of instances or vCPUs", COUNT_MAX.into());
    }
    if limits.memory_kib.is_some_and(|limit| MEMORY_KIB_MAX < limit) {
        return too_large("memory_kib", MEMORY_KIB_MAX);
    }
    let tenant = path_tenant(&call).await?;
    let now = Timestamp::now();
    let quota = quota::set(call.db(), tenant.id, &limits.into(), expected.revision(), now).await?;
    with_held(&call, &tenant, &quota).await
}

async fn with_held(call: &Call, tenant: &Tenant, quota: &quota::Quota) -> Result<HttpResponse, Problem> {
    let held = quota::held(call.db(), call.scope()?, tenant.id).await?;
    Ok(call.versioned(quota.revision, &QuotaBody::new(quota, held)))
}

async fn get_budget(call: Call) -> Result<HttpResponse, Problem> {
    let tenant = path_tenant(&call).await?;
    let body = BudgetBody::from(budget::get(call.db(), call.scope()?, tenant.id).await?);
    Ok(call.versioned(body.revision, &body))
}

async fn set_budget(call: Call) -> Result<HttpResponse, Problem> {
    let expected = call.expected()?;
    let asked: BudgetChange = call.body()?;
    let amount = money(&asked.budget)?;
    let tenant = path_tenant(&call).await?;
    let unprocessable = |detail: String| Problem::new(Kind::Unprocessable, detail);
    let plan = match &tenant.plan_name {
        Some(name) => plans::get(call.db(), name).await?,
        None => None,
    };
    let plan = plan.ok_or_else(|| {
        unprocessable(format!(
            "tenant {} has no price plan, so nothing can be spent; give it one first",
            tenant.name
        ))
    })?;
    budget::check_currency(amount.currency(), plan.currency())
        .map_err(|error| unprocessable(error.to_string()))?;
    let (scope, now) = (call.scope()?, Timestamp::now());
    let set = budget::set(call.db(), scope, tenant.id, amount, expected.revision(), now).await?;
    let body = BudgetBody::from(Some(set));
    Ok(call.versioned(body.revision, &body))
}

async fn remove_budget(call: Call) -> Result<HttpResponse, Problem> {
    let expected = call.expected()?;
    let tenant = path_tenant(&call).await?;
    // That there is none is what was wanted.
    budget::remove(call.db(), call.scope()?, tenant.id, expected.revision(), Timestamp::now()).await?;
    Ok(call.done())
}

async fn list_crossings(call: Call) -> Result<HttpResponse, Problem> {
    let tenant = path_tenant(&call).await?;
    let period = running_month(&tenant)?;
    let crossings = budget::crossings(call.db(), call.scope()?, tenant.id, period).await?;
    Ok(call.list(crossings.iter().map(CrossingBody::from)))
}

async fn get_draft(call: Call) -> Result<HttpResponse, Problem> {
    let tenant = path_tenant(&call).await?;
    let period = running_month(&tenant)?;
    let draft = drafts::get(call.db(), call.scope()?, tenant.id, period.start()).await?;
    let draft = draft.ok_or_else(|| {
        Problem::new(
            Kind::NotFound,
            "nothing is rated of this month yet: the tenant has no price plan, or a minute has not passed",
        )
    })?;
    let invoice = InvoiceBody::new(&draft.document, draft.document.status);
    Ok(call.ok(&DraftBody { computed_at: draft.computed_at, invoice }))
}

pub(super) fn running_month(tenant: &Tenant) -> Result<Window, Problem> {
    spending::running_month(tenant, Timestamp::now()).map_err(|error| Problem::internal(error.as_ref()))
}

/// An amount as the document describes it: digits and one point, nothing else that a decimal may be written as.
pub(super) fn money(asked: &wire::Money) -> Result<Money, Problem> {
    let refused = |detail: String| Problem::new(Kind::InvalidBody, detail);
    let digits = asked.amount.strip_prefix('-').unwrap_or(&asked.amount);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str, max: usize| {
        (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(whole, 20) || !is_number(fraction, 4) {
        return Err(refused("an amount is a decimal number in a string, such as \"250.00\"".to_owned()));
    }
    let amount = asked.amount.parse().map_err(|_| refused("the amount is too large".to_owned()))?;
    let currency = Currency::parse(&asked.currency);
    let currency = currency.map_err(|error| Problem::new(Kind::Unprocessable, error.to_string()))?;
    Money::exact(amount, currency).map_err(|error| Problem::new(Kind::Unprocessable, error.to_string()))
}

impl From<quota::SetError> for Problem {
    fn from(error: quota::SetError) -> Self {
        match error {
            quota::SetError::Changed { current } => revision::stale(Some(current.revision)),
            quota::SetError::TooLarge { .. } => Self::new(Kind::Unprocessable, error.to_string()),
            quota::SetError::NoTenant(_) => Self::not_found("tenant"),
            quota::SetError::Store(source) => source.into(),
        }
    }
}

impl From<budget::SetError> for Problem {
    fn from(error: budget::SetError) -> Self {
        match error {
            budget::SetError::Changed { current } => {
                revision::stale(Some(current.map_or(0, |budget| budget.revision)))
            }
            budget::SetError::NotPositive { .. } => Self::new(Kind::Unprocessable, error.to_string()),
            budget::SetError::NoTenant(_) => Self::not_found("tenant"),
            budget::SetError::Store(source) => source.into(),
        }
    }
}
