//! Tenants and price plans.

use anyhow::{Context, Result, bail};
use billing::account::assignments::{self, Asked, Assigned, Assignment, EVER};
use billing::{PlanVersion, PricePlan, plans};
use jiff::Timestamp;
use jiff::civil::Date;
use metering::TenantName;
use migrations::Scope;
use serde_json::{Value, json};
use usage::registry;

use super::invoices::COMMAND_LINE;
use crate::parts::Parts;

/// A tenant to add, as typed.
pub struct New {
    pub name: String,
    pub display_name: Option<String>,
    pub address: Vec<String>,
    pub tax_number: Option<String>,
    pub time_zone: String,
    pub plan: Option<String>,
}

/// Adds a tenant.
pub async fn create(parts: &Parts, new: New) -> Result<Value> {
    let name = TenantName::new(&new.name)?;
    if let Some(plan) = &new.plan {
        find_plan(parts, plan).await?;
    }
    let display_name = new.display_name.unwrap_or_else(|| new.name.clone());
    let wanted = registry::NewTenant {
        plan_name: new.plan.as_deref(),
        added_by: Some(COMMAND_LINE),
        address: &new.address,
        tax_number: new.tax_number.as_deref(),
        ..registry::NewTenant::new(name, &display_name, &new.time_zone)
    };
    let tenant = registry::create_tenant(&parts.database, &wanted, parts.usage).await?;
    parts.ingested.notify_one();
    let message = format!("Tenant {} was added.", tenant.name);
    Ok(json!({ "message": message, "tenant_id": tenant.id, "name": tenant.name, "plan": new.plan }))
}

/// Bills a tenant by another plan, from a month on.
pub async fn set_plan(parts: &Parts, name: &str, plan: &str, from: Option<&str>) -> Result<Value> {
    let tenant = registry::find_tenant(&parts.database, Scope::Provider, name).await?;
    let new = find_plan(parts, plan).await?;
    let day = |text: &str| {
        let shown: String = text.chars().take(80).collect();
        text.parse::<Date>().with_context(|| format!("{shown:?} is no day; write it like --from 2026-12-01"))
    };
    let from = from.map(day).transpose()?;
    let asked = Asked { plan: Some(plan), from, by: COMMAND_LINE };
    let mut session = parts.database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let assigned = assignments::assign(&transaction, tenant.id, asked, Timestamp::now()).await?;
    super::plans::check_change(parts, &tenant, &new, assigned.from).await?;
    transaction.commit().await?;
    let words: Vec<Value> = assigned.assignments.all().iter().map(assignment_value).collect();
    Ok(json!({
        "message": in_words(tenant.name.as_str(), Some(plan), &assigned)?,
        "tenant": tenant.name,
        "plan": plan,
        "from": assigned.from,
        "changed": assigned.is_new,
        "before": before(&assigned)?,
        "assignments": words,
    }))
}

/// The plan of the day before.
fn before(assigned: &Assigned) -> Result<Option<&str>> {
    if assigned.from <= EVER { Ok(None) } else { Ok(assigned.assignments.on(assigned.from.yesterday()?)) }
}

/// From when on it holds, and what the time before is billed by.
fn in_words(tenant: &str, plan: Option<&str>, assigned: &Assigned) -> Result<String> {
    let day = assigned.from;
    let holds = match (plan, assigned.is_new) {
        (Some(plan), true) => format!("Tenant {tenant} is billed by {plan} from {day} on"),
        (Some(plan), false) => {
            format!("Tenant {tenant} is billed by {plan} from {day} on already; nothing was changed")
        }
        (None, _) => format!("Tenant {tenant} is not billed from {day} on"),
    };
    let ended = if day <= EVER { return Ok(holds + ".") } else { day.yesterday()?.strftime("%Y-%m") };
    let earlier = match before(assigned)? {
        Some(before) if Some(before) == plan => return Ok(format!("{holds}. {ended} is billed by it, too.")),
        Some(before) => format!("{ended} by {before}"),
        None => format!("{ended} by no plan, so it is not invoiced (--from {}-01 would include it)", ended),
    };
    Ok(format!("{holds}, {earlier}."))
}

fn assignment_value(one: &Assignment) -> Value {
    json!({ "from": one.from, "plan": one.plan, "recorded_at": one.recorded_at, "recorded_by": one.recorded_by })
}

/// Says what invoices print of a tenant besides its name.
pub async fn set_party(
    parts: &Parts,
    name: &str,
    address: &[String],
    tax_number: Option<&str>,
) -> Result<Value> {
    let tenant = registry::find_tenant(&parts.database, Scope::Provider, name).await?;
    registry::set_party(&parts.database, tenant.id, address, tax_number).await?;
    Ok(json!({ "message": format!("Invoices of {} show the new address from now on.", tenant.name) }))
}

/// Says where a tenant's mail goes.
pub async fn set_email(parts: &Parts, name: &str, email: Option<&str>) -> Result<Value> {
    let tenant = registry::find_tenant(&parts.database, Scope::Provider, name).await?;
    let change = registry::TenantChange {
        display_name: &tenant.display_name,
        address: &tenant.address,
        tax_number: tenant.tax_number.as_deref(),
        email,
    };
    registry::update_tenant(&parts.database, tenant.id, tenant.revision, &change).await?;
    let message = match email {
        Some(email) => format!("Mail for {} goes to {email}.", tenant.name),
        None => format!("{} has no address now: its mail goes to the operator.", tenant.name),
    };
    Ok(json!({ "message": message }))
}

/// All tenants but the built-in one.
pub async fn list(parts: &Parts) -> Result<Value> {
    let tenants = registry::tenants(&parts.database, Scope::Provider).await?;
    let rows: Vec<Value> = tenants
        .iter()
        .filter(|tenant| tenant.id != metering::TenantId::UNASSIGNED)
        .map(|tenant| {
            json!({
                "tenant_id": tenant.id,
                "name": tenant.name,
                "display_name": tenant.display_name,
                "time_zone": tenant.time_zone,
                "plan": tenant.plan_name,
                "email": tenant.email,
            })
        })
        .collect();
    Ok(json!({ "tenants": rows }))
}

/// Checks a plan and stores it.
pub async fn apply_plan(parts: &Parts, file: &str, text: &str, rewrites_past: bool) -> Result<Value> {
    let plan = PricePlan::parse(file, text.as_bytes())?;
    check_plan(parts, file, &plan, rewrites_past).await?;
    let applied = plans::apply(&parts.database, &plan, Timestamp::now()).await?;
    let message = match applied {
        plans::Applied::New { revision } => {
            format!("Plan {} was stored as revision {revision}.", plan.name())
        }
        plans::Applied::Unchanged { revision } => {
            format!("Plan {} is stored already, as revision {revision}.", plan.name())
        }
    };
    Ok(json!({ "message": message, "name": plan.name(), "currency": plan.currency().to_string() }))
}

/// Refuses a plan that cannot be put in force here, now: it cuts usage windows, changes what was, or breaks what tenants it
/// bills were promised.
///
/// # Errors
/// It is so; the error says how to mend it.
pub async fn check_plan(parts: &Parts, file: &str, plan: &PricePlan, rewrites_past: bool) -> Result<()> {
    for version in plan.versions() {
        let start = version.starts_at();
        if !parts.usage.window.aligns_with(start) {
            bail!(
                "{file}: version {} starts at {start}, in the middle of a usage window of {} s; set metering.window so that it divides the zone's offset, such as \"15m\"",
                version.from(),
                parts.usage.window.seconds()
            );
        }
    }
    if !rewrites_past && let Some(old) = plans::get(&parts.database, plan.name()).await? {
        refuse_new_past(file, &old, plan, Timestamp::now())?;
    }
    super::plans::check_tenants(parts, plan).await
}

/// Refuses a plan that changes what time that has begun costs: somebody was shown those prices.
fn refuse_new_past(file: &str, old: &PricePlan, new: &PricePlan, now: Timestamp) -> Result<()> {
    let begun = |plan: &PricePlan| -> Vec<PlanVersion> {
        plan.versions().iter().filter(|version| version.starts_at() <= now).cloned().collect()
    };
    let changed = [
        (old.currency() != new.currency(), "the currency"),
        (old.tax() != new.tax(), "the tax"),
        (old.time_zone_name() != new.time_zone_name(), "the time zone"),
        (begun(old) != begun(new), "a version that has begun"),
    ];
    if let Some((_, what)) = changed.into_iter().find(|(is_changed, _)| *is_changed) {
        bail!(
            "{file}: plan {} is in force, and {what} is changed; add a [[version]] that begins later, choose another name, or say that you mean it: --rewrite-past, rewrite_past over HTTP (issued invoices stay as they are)",
            new.name()
        );
    }
    Ok(())
}

/// All plans.
pub async fn plans(parts: &Parts) -> Result<Value> {
    let rows: Vec<Value> = plans::list(&parts.database)
        .await?
        .iter()
        .map(|plan| {
            json!({
                "name": plan.name,
                "currency": plan.currency.to_string(),
                "revision": plan.revision,
                "applied_at": plan.applied_at,
            })
        })
        .collect();
    Ok(json!({ "plans": rows }))
}

/// A stored plan.
pub async fn find_plan(parts: &Parts, name: &str) -> Result<PricePlan> {
    let found = plans::get(&parts.database, name).await?;
    found.with_context(|| no_plan(name))
}

/// What is said of a name that no plan has.
pub fn no_plan(name: &str) -> String {
    let shown: String = name.chars().take(80).collect();
    format!(
        "there is no plan {shown:?}; store it first: weir plan apply FILE.toml (weir plan list shows all)"
    )
}

/// The scope of a list: the tenant's that was named, or the provider's.
pub async fn scope_of(parts: &Parts, tenant: Option<&str>) -> Result<Scope> {
    let Some(name) = tenant else { return Ok(Scope::Provider) };
    let found = registry::find_tenant(&parts.database, Scope::Provider, name).await?;
    Ok(Scope::Tenant(found.id.uuid()))
}
