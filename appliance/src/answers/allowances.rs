//! Allowances, by the command line.

use anyhow::{Context, Result, bail};
use billing::Money;
use billing::limits::{Allowed, Threshold, actions, allowances, throttled};
use jiff::Timestamp;
use metering::MeterName;
use migrations::Scope;
use serde_json::{Value, json};
use usage::registry::{self, Tenant};

use super::tenants::find_plan;
use crate::control::request::AllowanceRequest;
use crate::parts::Parts;
use crate::spending;

/// Does what is asked of allowances.
pub async fn value(parts: &Parts, request: AllowanceRequest) -> Result<Value> {
    let (db, now) = (&parts.database, Timestamp::now());
    match request {
        AllowanceRequest::List { tenant } => {
            let tenant = registry::find_tenant(db, Scope::Provider, &tenant).await?;
            list(parts, &tenant, now).await
        }
        AllowanceRequest::Set { tenant, name, amount, meter, quantity, thresholds } => {
            let tenant = registry::find_tenant(db, Scope::Provider, &tenant).await?;
            let allowed = allowed(parts, &tenant, amount, meter, quantity).await?;
            let thresholds: Vec<Threshold> =
                thresholds.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
            let set = allowances::set(db, Scope::Provider, tenant.id, &name, allowed, thresholds, None, now)
                .await?;
            let when: Vec<String> = set.thresholds.iter().map(ToString::to_string).collect();
            let message =
                format!("{} may consume {} in a month ({}).", tenant.name, set.allowed, when.join(", "));
            Ok(json!({ "message": message, "revision": set.revision }))
        }
        AllowanceRequest::Remove { tenant, name } => {
            let tenant = registry::find_tenant(db, Scope::Provider, &tenant).await?;
            if !allowances::remove(db, Scope::Provider, tenant.id, &name, None, now).await? {
                bail!("{0} has no allowance {name:?}; weir allowance list {0} shows them", tenant.name);
            }
            Ok(json!({ "message": "The allowance was removed." }))
        }
    }
}

async fn allowed(
    parts: &Parts,
    tenant: &Tenant,
    amount: Option<String>,
    meter: Option<String>,
    quantity: Option<String>,
) -> Result<Allowed> {
    let number = |text: &str, like: &str| {
        let shown: String = text.chars().take(80).collect();
        text.parse().with_context(|| format!("{shown:?} is no number; write it like {like}"))
    };
    match (amount, meter, quantity) {
        (Some(amount), None, None) => {
            let plan = tenant.plan_name.as_deref().with_context(|| {
                format!(
                    "tenant {0} has no price plan, so no currency; weir tenant set-plan {0} PLAN",
                    tenant.name
                )
            })?;
            let currency = find_plan(parts, plan).await?.currency();
            Ok(Allowed::Money(Money::exact(number(&amount, "250.00")?, currency)?))
        }
        (None, Some(meter), Some(quantity)) => {
            Ok(Allowed::Quantity(MeterName::parse(&meter)?, number(&quantity, "500")?))
        }
        _ => bail!("say either --amount, or --meter and --quantity"),
    }
}

async fn list(parts: &Parts, tenant: &Tenant, now: Timestamp) -> Result<Value> {
    let db = &parts.database;
    let period = spending::running_month(tenant, now)?;
    let found = allowances::list(db, Scope::Provider, tenant.id).await?;
    let crossed = allowances::crossings(db, Scope::Provider, tenant.id, period.start()).await?;
    let open = actions::open(db, Scope::Provider, Some(tenant.id)).await?;
    // What an operator should know of throttled instances: what this host cannot bound.
    let bound = throttled::list(db).await?;
    let notices: Vec<String> = bound
        .iter()
        .filter(|one| one.tenant_id == tenant.id)
        .flat_map(|one| one.notices.iter().map(move |notice| format!("{}: {notice}", one.instance_id)))
        .collect();
    let rows = found.iter().map(|allowance| {
        let crossings = crossed
            .iter()
            .filter(|crossing| (&crossing.name, crossing.revision) == (&allowance.name, allowance.revision));
        let crossings: Vec<String> = crossings
            .map(|crossing| format!("{} at {} {}", crossing.threshold, crossing.consumed, crossing.unit))
            .collect();
        let in_force = open.iter().find(|action| action.allowance == allowance.name);
        let when: Vec<String> = allowance.thresholds.iter().map(ToString::to_string).collect();
        json!({
            "name": allowance.name,
            "owner": allowance.owner.as_str(),
            "allowed": allowance.allowed.to_string(),
            "thresholds": when.join(", "),
            "crossed": crossings.join(", "),
            "in_force": in_force.map(|action| action.threshold.action.as_str()),
            "revision": allowance.revision,
        })
    });
    Ok(json!({ "tenant": tenant.name, "allowances": rows.collect::<Vec<_>>(), "notices": notices }))
}
