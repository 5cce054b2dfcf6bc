//! Tenants and price plans.

use anyhow::{Context, Result, bail};
use billing::{PricePlan, plans};
use jiff::Timestamp;
use metering::TenantName;
use migrations::Scope;
use serde_json::{Value, json};
use usage::registry;

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
    let wanted = registry::NewTenant { name, display_name: &display_name, time_zone: &new.time_zone };
    let tenant = registry::create_tenant(&parts.database, &wanted, parts.usage).await?;
    if !new.address.is_empty() || new.tax_number.is_some() {
        registry::set_party(&parts.database, tenant.id, &new.address, new.tax_number.as_deref()).await?;
    }
    if new.plan.is_some() {
        registry::set_plan(&parts.database, tenant.id, new.plan.as_deref()).await?;
    }
    let message = format!("Tenant {} was added.", tenant.name);
    Ok(json!({ "message": message, "tenant_id": tenant.id, "name": tenant.name, "plan": new.plan }))
}

/// Bills a tenant by another plan.
pub async fn set_plan(parts: &Parts, name: &str, plan: &str) -> Result<Value> {
    let tenant = registry::find_tenant(&parts.database, Scope::Provider, name).await?;
    find_plan(parts, plan).await?;
    registry::set_plan(&parts.database, tenant.id, Some(plan)).await?;
    Ok(json!({ "message": format!("Tenant {} is billed by {plan} from its next invoice on.", tenant.name) }))
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
            })
        })
        .collect();
    Ok(json!({ "tenants": rows }))
}

/// Checks a plan and stores it.
pub async fn apply_plan(parts: &Parts, file: &str, text: &str) -> Result<Value> {
    let plan = PricePlan::parse(file, text.as_bytes())?;
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
    found.with_context(|| {
        let shown: String = name.chars().take(80).collect();
        format!(
            "there is no plan {shown:?}; store it first: weir plan apply FILE.toml (weir plan list shows all)"
        )
    })
}
