//! Price plans that are looked at before they hold, and tenants' own terms.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use billing::account::{assignments, fit};
use billing::plan::diff::diff;
use billing::store::terms;
use billing::terms::TenantTerms;
use billing::{InvoiceDocument, Money, PricePlan, plans};
use jiff::Timestamp;
use jiff::civil::Date;
use metering::Window;
use migrations::Scope;
use serde_json::{Value, json};
use usage::registry::{self, Tenant};

use super::tenants::find_plan;
use crate::control::request::{PeriodRequest, PlanRequest, TermsRequest};
use crate::invoicing::{self, Payer, Prices, Tables};
use crate::parts::Parts;
use crate::period;

/// What a tenant would have paid under a plan.
pub struct Simulated {
    /// Its name.
    pub tenant: String,
    /// For which time.
    pub period: Window,
    /// The plan that was tried.
    pub plan: String,
    /// The day whose prices were taken for all of it; `None`: those that held when.
    pub version: Option<Date>,
    /// Under the plan that it is billed by then, if it has one.
    pub old: Option<InvoiceDocument>,
    /// Under the plan that was tried.
    pub new: InvoiceDocument,
    /// What it would pay more, or (below zero) less; `None`: the currencies differ, or it has no plan.
    pub difference: Option<Money>,
    /// How many things differ between the plans.
    pub changes: usize,
}

/// Does what is asked of plans.
pub async fn value(parts: &Parts, request: PlanRequest) -> Result<Value> {
    match request {
        PlanRequest::Show { name } => {
            let plan = find_plan(parts, &name).await?;
            Ok(json!({ "message": plan.source(), "name": plan.name(), "text": plan.source() }))
        }
        PlanRequest::Tenants { file, text, period } => {
            let plan = PricePlan::parse(&file, text.as_bytes())?;
            let billed = billed_by(parts, plan.name(), &period).await?;
            let names: Vec<_> = billed.into_iter().map(|tenant| tenant.name).collect();
            Ok(json!({ "tenants": names, "message": format!("{} tenant(s)", names.len()) }))
        }
        PlanRequest::Simulate { file, text, period, tenant, as_of } => {
            let plan = PricePlan::parse(&file, text.as_bytes())?;
            let tables = Tables::read(parts).await?;
            Ok(simulated_value(&simulate(parts, &tables, plan, &period, &tenant, as_of.as_deref()).await?))
        }
    }
}

/// Does what is asked of terms.
pub async fn of_terms(parts: &Parts, request: TermsRequest) -> Result<Value> {
    match request {
        TermsRequest::Apply { tenant, file, text } => apply_terms(parts, &tenant, &file, &text).await,
        TermsRequest::Show { tenant, with_plan } => show_terms(parts, &tenant, with_plan).await,
    }
}

/// Refuses a plan for a tenant, from a day on, that it does not go with: see [`fit::check`].
///
/// # Errors
/// It is so.
pub async fn check_change(parts: &Parts, tenant: &Tenant, plan: &PricePlan, from: Date) -> Result<()> {
    Ok(fit::check(&parts.database, tenant.id, &period::zone_of(tenant)?, plan, from).await?)
}

/// Refuses a new revision of a plan that does not go with the tenants that it bills: with their terms, or with the currency
/// of their running periods.
///
/// # Errors
/// It is so; the first that it does not go with is named.
pub async fn check_tenants(parts: &Parts, plan: &PricePlan) -> Result<()> {
    for (tenant, terms) in terms::of_plan(&parts.database, plan.name()).await? {
        plan.for_tenant(&terms).with_context(|| {
            format!("tenant {tenant} has terms of its own (weir terms show {tenant}), which this plan breaks")
        })?;
    }
    let old = plans::get(&parts.database, plan.name()).await?;
    if old.is_some_and(|old| old.currency() != plan.currency()) {
        for Payer { tenant, plans } in invoicing::payers(parts).await? {
            if plans.from(today(&tenant)?).contains(&plan.name()) {
                let zone = period::zone_of(&tenant)?;
                fit::check_currency(&parts.database, tenant.id, &zone, plan, Date::MIN).await?;
            }
        }
    }
    Ok(())
}

/// The tenant's plan with its terms worked in, as TOML; `None`: it has no plan.
///
/// # Errors
/// They do not go together, or the database failed.
pub async fn effective(parts: &Parts, tenant: &Tenant, own: &TenantTerms) -> Result<Option<String>> {
    let Some(plan) = &tenant.plan_name else { return Ok(None) };
    Ok(Some(find_plan(parts, plan).await?.for_tenant(own)?.to_toml()))
}

/// Refuses terms that do not go with the tenant's plan: the one of today, and those that were assigned from later days on.
///
/// # Errors
/// It is so, or the tenant has no plan.
pub async fn check_terms(parts: &Parts, tenant: &Tenant, own: &TenantTerms) -> Result<()> {
    let plans = assignments::get(&parts.database, Scope::Provider, tenant.id).await?;
    let names = plans.from(today(tenant)?);
    if names.is_empty() {
        bail!(
            "tenant {0} has no price plan that terms could change; give it one: weir tenant set-plan {0} PLAN",
            tenant.name
        );
    }
    for name in names {
        find_plan(parts, name).await?.for_tenant(own)?;
    }
    Ok(())
}

/// The day that it is for a tenant.
fn today(tenant: &Tenant) -> Result<Date> {
    Ok(Timestamp::now().to_zoned(period::zone_of(tenant)?).date())
}

async fn apply_terms(parts: &Parts, tenant: &str, file: &str, text: &str) -> Result<Value> {
    let tenant = registry::find_tenant(&parts.database, Scope::Provider, tenant).await?;
    let own = TenantTerms::parse(file, text.as_bytes())?;
    check_terms(parts, &tenant, &own).await?;
    let applied = terms::apply(&parts.database, tenant.id, &own, Timestamp::now()).await?;
    let (revision, how) = match applied {
        plans::Applied::New { revision } => (revision, "were stored"),
        plans::Applied::Unchanged { revision } => (revision, "are stored already"),
    };
    let message = format!("The terms of {} {how} as revision {revision}.", tenant.name);
    Ok(json!({ "message": message, "tenant": tenant.name, "revision": revision, "days": own.days() }))
}

async fn show_terms(parts: &Parts, tenant: &str, with_plan: bool) -> Result<Value> {
    let tenant = registry::find_tenant(&parts.database, Scope::Provider, tenant).await?;
    let stored = terms::get(&parts.database, Scope::Provider, tenant.id).await?;
    let text = stored.as_ref().map_or("", |stored| stored.terms.source());
    let own = stored.as_ref().map(|stored| stored.terms.clone()).unwrap_or_default();
    let effective = if with_plan { effective(parts, &tenant, &own).await? } else { None };
    let message = match (&effective, &stored) {
        (Some(effective), _) => effective.clone(),
        (None, Some(_)) if !text.trim().is_empty() => text.to_owned(),
        (None, _) => format!("{} pays what its plan says.", tenant.name),
    };
    Ok(json!({
        "message": message,
        "tenant": tenant.name,
        "revision": stored.as_ref().map(|stored| stored.revision),
        "applied_at": stored.as_ref().map(|stored| stored.applied_at),
        "text": text,
        "plan": tenant.plan_name,
        "effective": effective,
    }))
}

/// The tenants that a plan of this name bills in a period; of a new name, all that are billed for it at all.
///
/// # Errors
/// The database failed.
pub async fn billed_by(parts: &Parts, name: &str, asked: &PeriodRequest) -> Result<Vec<Tenant>> {
    let (mut of_it, mut of_any) = (Vec::new(), Vec::new());
    for payer in invoicing::payers(parts).await? {
        match payer.plan_for(asked)? {
            Some(plan) if plan == name => of_it.push(payer.tenant),
            Some(_) => of_any.push(payer.tenant),
            None => {}
        }
    }
    Ok(if of_it.is_empty() { of_any } else { of_it })
}

/// What a period of a tenant would have cost under `plan`.
///
/// # Errors
/// There is no such tenant or period, or it cannot be rated.
pub async fn simulate(
    parts: &Parts,
    tables: &Tables,
    plan: PricePlan,
    asked: &PeriodRequest,
    tenant: &str,
    as_of: Option<&str>,
) -> Result<Simulated> {
    let tenant = registry::find_tenant(&parts.database, Scope::Provider, tenant).await?;
    let (_, period) = invoicing::period_of(&tenant, asked)?;
    let (plan, version) = as_if(plan, period, as_of)?;
    let (old, changes) = match invoicing::plan_of(parts, &tenant, period).await? {
        Some(name) => {
            let old = Arc::new(find_plan(parts, &name).await?);
            let changes = diff(&old, &plan).len();
            (Some(rated(parts, tables, &tenant, old, period).await?), changes)
        }
        None => (None, 0),
    };
    let name = plan.name().to_owned();
    let new = rated(parts, tables, &tenant, Arc::new(plan), period).await?;
    let old_total = old.as_ref().map(|old| old.total).filter(|old| old.currency() == new.total.currency());
    let difference =
        old_total.and_then(|old| Money::exact(new.total.amount() - old.amount(), old.currency()).ok());
    let tenant = tenant.name.to_string();
    Ok(Simulated { tenant, period, plan: name, version, old, new, difference, changes })
}

fn simulated_value(one: &Simulated) -> Value {
    json!({
        "tenant": one.tenant,
        "period": one.period,
        "plan": one.plan,
        "version": one.version,
        "old_total": one.old.as_ref().map(|old| old.total),
        "new_total": one.new.total,
        "difference": one.difference,
        "changes": one.changes,
        "old_lines": one.old.as_ref().map(|old| old.lines.len()),
        "new_lines": one.new.lines.len(),
    })
}

/// The plan as it is to be tried: prices of a day for all of the period, when that is meant.
fn as_if(plan: PricePlan, period: Window, as_of: Option<&str>) -> Result<(PricePlan, Option<Date>)> {
    let day = match as_of {
        Some(text) => Some(
            text.parse::<Date>().with_context(|| format!("{text:?} is no day; write --as-of 2026-11-01"))?,
        ),
        // Prices that begin after the period are what somebody wants to see: it is last month that is rated.
        None => plan
            .versions()
            .last()
            .filter(|last| period.end() <= last.starts_at())
            .map(billing::PlanVersion::from),
    };
    let Some(day) = day else { return Ok((plan, None)) };
    let tried = plan.as_if(day, period.start()).with_context(|| {
        format!("plan {} has no prices on {day}: its first version starts later", plan.name())
    })?;
    Ok((tried, Some(day)))
}

async fn rated(
    parts: &Parts,
    tables: &Tables,
    tenant: &Tenant,
    plan: Arc<PricePlan>,
    period: Window,
) -> Result<InvoiceDocument> {
    let prices = Prices::of(parts, tenant.id, plan).await?;
    let bill = invoicing::bill_of(parts, tables, tenant.clone(), prices, period).await?;
    invoicing::preview(&bill)
}
