//! The running month of each tenant: what the invoice would be now, and whether a budget is crossed by it.
//!
//! The steps are other crates'; this is their order. Nothing here is final: an invoice is issued when its month is over.

use anyhow::{Context, Result};
use billing::limits::allowances::{self, MonthToDate};
use billing::{budget, drafts};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use metering::Window;
use tracing::{error, info, warn};
use usage::registry::Tenant;

use crate::control::request::PeriodRequest;
use crate::invoicing::{self, Tables};
use crate::parts::Parts;

/// The month of the tenant's zone in which `now` lies.
///
/// # Errors
/// The tenant's zone is not known to this machine.
pub fn running_month(tenant: &Tenant, now: Timestamp) -> Result<Window> {
    let zone = zone_of(tenant)?;
    Ok(billing::period::month(&month_name(&zone, now), &zone)?)
}

/// The same by name: `2026-11`.
///
/// # Errors
/// The tenant's zone is not known to this machine.
pub fn month_of(tenant: &Tenant, now: Timestamp) -> Result<String> {
    Ok(month_name(&zone_of(tenant)?, now))
}

fn zone_of(tenant: &Tenant) -> Result<TimeZone> {
    TimeZone::get(&tenant.time_zone).context("the tenant's time zone is not known to this machine")
}

/// Rates the running month of every tenant that has a plan. One that fails never stops the rest.
///
/// # Errors
/// The tenants could not be read.
pub async fn rate_running_months(parts: &Parts, now: Timestamp) -> Result<()> {
    let tables = Tables::read(parts).await?;
    for tenant in invoicing::tenants(parts, None).await? {
        let name = tenant.name.clone();
        if let Err(failure) = rate_months_of(parts, &tables, tenant, now).await {
            error!(tenant = %name, "the running month was not rated: {failure:#}");
        }
    }
    Ok(())
}

/// A month that has ended is rated on until its grace period is over: its last readings come in, and they may cross a budget.
async fn rate_months_of(parts: &Parts, tables: &Tables, tenant: Tenant, now: Timestamp) -> Result<()> {
    let zone = TimeZone::get(&tenant.time_zone)?;
    let running = month_name(&zone, now);
    let grace = SignedDuration::try_from(parts.config.billing.grace.0)?;
    let before = month_name(&zone, now.saturating_sub(grace)?);
    if before != running {
        rate_month(parts, tables, tenant.clone(), &before, now).await?;
    }
    rate_month(parts, tables, tenant, &running, now).await
}

async fn rate_month(
    parts: &Parts,
    tables: &Tables,
    tenant: Tenant,
    month: &str,
    now: Timestamp,
) -> Result<()> {
    let (tenant_id, name) = (tenant.id, tenant.name.clone());
    let bill = invoicing::gather(parts, tables, tenant, &PeriodRequest::Month(month.to_owned())).await?;
    let document = invoicing::preview(&bill)?;
    drafts::put(&parts.database, tenant_id, &document, now).await?;
    let noted = budget::note(&parts.database, tenant_id, document.service_period, document.total, now).await;
    match noted {
        Ok(crossings) => {
            for crossing in &crossings {
                info!(tenant = %name, percent = crossing.threshold_percent, spent = %crossing.spent, "a budget was crossed");
            }
            if !crossings.is_empty() {
                parts.mail_due.notify_one();
            }
        }
        Err(failure) => {
            warn!(tenant = %name, "the budget was not looked at: {:#}", anyhow::Error::from(failure))
        }
    }
    let month = MonthToDate { period: document.service_period, spent: document.total, usage: bill.usage() };
    match allowances::note(&parts.database, tenant_id, &month, now).await {
        Ok(crossings) => {
            for crossing in &crossings {
                info!(tenant = %name, allowance = crossing.name, threshold = %crossing.threshold, "an allowance was crossed");
            }
            if !crossings.is_empty() {
                parts.mail_due.notify_one();
            }
        }
        Err(failure) => {
            warn!(tenant = %name, "the allowances were not looked at: {:#}", anyhow::Error::from(failure))
        }
    }
    Ok(())
}

/// `2026-11`
pub fn month_name(zone: &TimeZone, at: Timestamp) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m").to_string()
}
