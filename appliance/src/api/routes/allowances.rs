//! Allowances: so much of a meter, or of money, in a month, and what is done when it is reached.

use actix_web::HttpResponse;
use actix_web::http::Method;
use billing::limits::allowances::{self, Allowance, SetError};
use billing::limits::{self, Action, Allowed, Basis, Threshold, actions};
use billing::plans;
use jiff::Timestamp;
use metering::MeterName;
use metering::meter::Visibility;
use usage::registry::Tenant;

use super::limits::{money, running_month};
use super::path_tenant;
use crate::api::call::{Call, cut};
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag};
use crate::api::problem::{Kind, Problem};
use crate::api::revision;
use crate::api::wire::allowances::{AllowanceBody, AllowanceChange, AllowanceCrossingBody, ThresholdBody};

const ALL: &str = "/v1/tenants/{tenant}/allowances";
const ONE: &str = "/v1/tenants/{tenant}/allowances/{name}";

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, ALL, "listAllowances", Tag::Limits, "A tenant's allowances", list)
            .access(Access::Money)
            .lists::<AllowanceBody>("By name."),
        Operation::new(Method::GET, ONE, "getAllowance", Tag::Limits, "An allowance", get)
            .access(Access::Money)
            .answers::<AllowanceBody>("The allowance.")
            .versioned(),
        Operation::new(Method::PUT, ONE, "setAllowance", Tag::Limits, "Set an allowance", set)
            .saying("For a new one, If-Match is \"0\". A tenant sets its own, which notify; those of the provider may throttle, suspend or stop.")
            .access(Access::Money)
            .takes::<AllowanceChange>()
            .answers::<AllowanceBody>("As it is now.")
            .versioned()
            .refuses(&[Kind::Conflict, Kind::Unprocessable]),
        Operation::new(Method::DELETE, ONE, "removeAllowance", Tag::Limits, "Remove an allowance", remove)
            .saying("What it throttled is as before, what it suspended is resumed; what it stopped may be started again.")
            .access(Access::Money)
            .versioned(),
        Operation::new(
            Method::GET,
            "/v1/tenants/{tenant}/allowance-crossings",
            "listAllowanceCrossings",
            Tag::Limits,
            "Thresholds of allowances that were crossed this month",
            crossings,
        )
        .access(Access::Money)
        .lists::<AllowanceCrossingBody>("The oldest first."),
    ]
}

async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let tenant = path_tenant(&call).await?;
    let found = allowances::list(call.db(), call.scope()?, tenant.id).await?;
    let open = actions::open(call.db(), call.scope()?, Some(tenant.id)).await?;
    Ok(call.list(found.iter().map(|allowance| AllowanceBody::new(allowance, &open))))
}

async fn get(call: Call) -> Result<HttpResponse, Problem> {
    let tenant = path_tenant(&call).await?;
    let found = allowances::get(call.db(), call.scope()?, tenant.id, call.path("name")).await?;
    shown(&call, &tenant, &found.ok_or_else(|| Problem::not_found("allowance"))?).await
}

async fn set(call: Call) -> Result<HttpResponse, Problem> {
    let expected = call.expected()?;
    let asked: AllowanceChange = call.body()?;
    let tenant = path_tenant(&call).await?;
    let allowed = allowed(&call, &tenant, &asked).await?;
    let thresholds = asked.thresholds.iter().map(threshold).collect::<Result<_, _>>()?;
    let (scope, name, revision) = (call.scope()?, call.path("name"), expected.revision());
    let now = Timestamp::now();
    let set = allowances::set(call.db(), scope, tenant.id, name, allowed, thresholds, revision, now).await?;
    shown(&call, &tenant, &set).await
}

async fn remove(call: Call) -> Result<HttpResponse, Problem> {
    let expected = call.expected()?;
    let tenant = path_tenant(&call).await?;
    let (scope, name, now) = (call.scope()?, call.path("name"), Timestamp::now());
    // That there is none is what was wanted.
    allowances::remove(call.db(), scope, tenant.id, name, expected.revision(), now).await?;
    Ok(call.done())
}

async fn crossings(call: Call) -> Result<HttpResponse, Problem> {
    let tenant = path_tenant(&call).await?;
    let period = running_month(&tenant)?;
    let found = allowances::crossings(call.db(), call.scope()?, tenant.id, period.start()).await?;
    Ok(call.list(found.iter().map(AllowanceCrossingBody::from)))
}

async fn shown(call: &Call, tenant: &Tenant, allowance: &Allowance) -> Result<HttpResponse, Problem> {
    let open = actions::open(call.db(), call.scope()?, Some(tenant.id)).await?;
    Ok(call.versioned(allowance.revision, &AllowanceBody::new(allowance, &open)))
}

async fn allowed(call: &Call, tenant: &Tenant, asked: &AllowanceChange) -> Result<Allowed, Problem> {
    let unprocessable = |detail: String| Problem::new(Kind::Unprocessable, detail);
    let allowed = match (&asked.amount, &asked.meter, &asked.quantity) {
        (Some(amount), None, None) => Allowed::Money(money(amount)?),
        (None, Some(meter), Some(quantity)) => {
            let meter = MeterName::parse(meter).map_err(|error| unprocessable(error.to_string()))?;
            if meter.meter().visible_to != Visibility::Tenant {
                return Err(limits::Invalid::Meter(meter).into());
            }
            let is_plain = quantity.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let parsed = quantity.parse().ok().filter(|_| is_plain);
            Allowed::Quantity(
                meter,
                parsed.ok_or_else(|| {
                    let detail = format!(
                        "quantity is {:?}; write a decimal number in a string, such as \"500\"",
                        cut(quantity)
                    );
                    Problem::new(Kind::InvalidBody, detail)
                })?,
            )
        }
        _ => {
            let detail = "say either amount, or meter and quantity";
            return Err(Problem::new(Kind::Unprocessable, detail));
        }
    };
    if let Allowed::Money(_) = allowed {
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
        limits::check_currency(allowed, plan.currency()).map_err(|error| unprocessable(error.to_string()))?;
    }
    Ok(allowed)
}

fn threshold(asked: &ThresholdBody) -> Result<Threshold, Problem> {
    let basis = Basis::parse(&asked.basis).ok_or_else(|| {
        Problem::new(
            Kind::Unprocessable,
            format!("basis is {:?}; it is actual or forecast", cut(&asked.basis)),
        )
    })?;
    let action = Action::parse(&asked.action).map_err(|error| match error {
        limits::Invalid::Threshold(_) => Problem::new(
            Kind::Unprocessable,
            format!("action is {:?}; it is notify, throttle, suspend or stop", cut(&asked.action)),
        ),
        other => other.into(),
    })?;
    Ok(Threshold { basis, percent: asked.percent, action })
}

impl From<limits::Invalid> for Problem {
    fn from(error: limits::Invalid) -> Self {
        Self::new(Kind::Unprocessable, error.to_string())
    }
}

impl From<SetError> for Problem {
    fn from(error: SetError) -> Self {
        match error {
            SetError::Invalid(invalid) => invalid.into(),
            SetError::Changed { current } => revision::stale(Some(current)),
            SetError::Providers(_) | SetError::MayNotAct => Self::forbidden(&error.to_string()),
            SetError::TooMany => Self::new(Kind::Conflict, error.to_string()),
            SetError::NoTenant(_) => Self::not_found("tenant"),
            SetError::Store(source) => source.into(),
        }
    }
}
