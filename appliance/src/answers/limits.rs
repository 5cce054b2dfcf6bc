//! Quotas and budgets, by the command line.

use anyhow::{Context, Result};
use billing::quota::{self, Limits};
use billing::{Money, budget, drafts};
use compute::ByteSize;
use jiff::Timestamp;
use migrations::Scope;
use serde_json::{Value, json};
use usage::registry::{self, Tenant};

use super::tenants::find_plan;
use crate::control::request::LimitRequest;
use crate::parts::Parts;
use crate::spending;

/// Does what is asked of quotas and budgets.
pub async fn value(parts: &Parts, request: LimitRequest) -> Result<Value> {
    let (db, now) = (&parts.database, Timestamp::now());
    match request {
        LimitRequest::QuotaShow { tenant } => {
            let tenant = registry::find_tenant(db, Scope::Provider, &tenant).await?;
            let (quota, held) = (
                quota::get(db, Scope::Provider, tenant.id).await?,
                quota::held(db, Scope::Provider, tenant.id).await?,
            );
            let limit = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
            let memory = |kib: u64| ByteSize::from_bytes(kib.saturating_mul(1_024)).to_string();
            Ok(json!({
                "tenant": tenant.name,
                "instances": { "held": held.instances, "allowed": quota.instances },
                "vcpus": { "held": held.vcpus, "allowed": quota.vcpus },
                "memory_kib": { "held": held.memory_kib, "allowed": quota.memory_kib },
                "revision": quota.revision,
                "message": format!(
                    "{} holds {} of {} instances, {} of {} vCPUs, memory: {} of {}.",
                    tenant.name,
                    held.instances,
                    limit(quota.instances.map(u64::from)),
                    held.vcpus,
                    limit(quota.vcpus.map(u64::from)),
                    memory(held.memory_kib),
                    quota.memory_kib.map_or_else(|| "unlimited".to_owned(), memory),
                ),
            }))
        }
        LimitRequest::QuotaSet { tenant, instances, vcpus, memory } => {
            let tenant = registry::find_tenant(db, Scope::Provider, &tenant).await?;
            let memory = memory.map(|size| size.parse::<ByteSize>()).transpose()?;
            if let Some(odd) = memory.filter(|size| ByteSize::from_bytes(size.kib() * 1_024) != *size) {
                anyhow::bail!("{odd} is no whole number of KiB: name the unit, such as 512MiB or 64GiB");
            }
            let memory_kib = memory.map(ByteSize::kib);
            let limits = Limits { instances, vcpus, memory_kib };
            let quota = quota::set(db, tenant.id, &limits, None, now).await?;
            let message = format!("{} has a new quota; what it holds already stays.", tenant.name);
            Ok(json!({ "message": message, "revision": quota.revision }))
        }
        other => of_budget(parts, other, now).await,
    }
}

async fn of_budget(parts: &Parts, request: LimitRequest, now: Timestamp) -> Result<Value> {
    let db = &parts.database;
    match request {
        LimitRequest::BudgetShow { tenant } => {
            let tenant = registry::find_tenant(db, Scope::Provider, &tenant).await?;
            show_budget(parts, &tenant, now).await
        }
        LimitRequest::BudgetSet { tenant, amount } => {
            let tenant = registry::find_tenant(db, Scope::Provider, &tenant).await?;
            let plan = tenant.plan_name.as_deref().with_context(|| {
                format!(
                    "tenant {0} has no price plan, so no currency; weir tenant set-plan {0} PLAN",
                    tenant.name
                )
            })?;
            let currency = find_plan(parts, plan).await?.currency();
            let shown: String = amount.chars().take(80).collect();
            let amount = amount
                .parse()
                .with_context(|| format!("{shown:?} is no amount; write it like 250.00 (in {currency})"))?;
            let amount = Money::exact(amount, currency)?;
            let budget = budget::set(db, Scope::Provider, tenant.id, amount, None, now).await?;
            let message = format!("{} expects to spend {} in a month.", tenant.name, budget.amount);
            Ok(json!({ "message": message, "revision": budget.revision }))
        }
        LimitRequest::BudgetRemove { tenant } => {
            let tenant = registry::find_tenant(db, Scope::Provider, &tenant).await?;
            let was_there = budget::remove(db, Scope::Provider, tenant.id, None, now).await?;
            let message = if was_there { "The budget was removed." } else { "There was no budget." };
            Ok(json!({ "message": message }))
        }
        _ => anyhow::bail!("this request is not about budgets"),
    }
}

async fn show_budget(parts: &Parts, tenant: &Tenant, now: Timestamp) -> Result<Value> {
    let db = &parts.database;
    let period = spending::running_month(tenant, now)?;
    let found = budget::get(db, Scope::Provider, tenant.id).await?;
    let draft = drafts::get(db, Scope::Provider, tenant.id, period.start()).await?;
    let crossings = budget::crossings(db, Scope::Provider, tenant.id, period).await?;
    let spent = draft.as_ref().map(|draft| draft.document.total);
    let message = match (&found, spent) {
        (None, _) => format!("{} has no budget.", tenant.name),
        (Some(budget), None) => {
            format!("{} expects to spend {}; nothing is rated yet.", tenant.name, budget.amount)
        }
        (Some(budget), Some(spent)) => {
            format!(
                "{} has spent {spent} of {} in the month from {}.",
                tenant.name,
                budget.amount,
                period.start()
            )
        }
    };
    let crossed: Vec<u32> = crossings.iter().map(|crossing| crossing.threshold_percent).collect();
    Ok(json!({
        "tenant": tenant.name,
        "budget": found.as_ref().map(|budget| budget.amount),
        "revision": found.as_ref().map(|budget| budget.revision),
        "spent": spent,
        "computed_at": draft.map(|draft| draft.computed_at),
        "crossed_percent": crossed,
        "message": message,
    }))
}
