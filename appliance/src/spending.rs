//! The running month of each tenant: what the invoice would be now, and whether a budget is crossed by it.
//!
//! The steps are other crates'; this is their order. Nothing here is final: an invoice is issued when its month is over.

use anyhow::{Context, Result};
use billing::{budget, drafts};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use metering::Window;
use tracing::{error, info, warn};
use usage::registry::Tenant;

use crate::invoicing;
use crate::parts::Parts;

/// A month that has just ended is rated on for so long: its last readings come in, and they may cross a budget.
const AFTER_THE_MONTH: SignedDuration = SignedDuration::from_hours(24);

/// The month of the tenant's zone in which `now` lies.
///
/// # Errors
/// The tenant's zone is not known to this machine.
pub fn running_month(tenant: &Tenant, now: Timestamp) -> Result<Window> {
    let zone =
        TimeZone::get(&tenant.time_zone).context("the tenant's time zone is not known to this machine")?;
    Ok(billing::period::month(&month_name(&zone, now), &zone)?)
}

/// Rates the running month of every tenant that has a plan. One that fails never stops the rest.
///
/// # Errors
/// The tenants could not be read.
pub async fn rate_running_months(parts: &Parts, now: Timestamp) -> Result<()> {
    for tenant in invoicing::tenants(parts, None).await? {
        let name = tenant.name.clone();
        if let Err(failure) = rate_months_of(parts, tenant, now).await {
            error!(tenant = %name, "the running month was not rated: {failure:#}");
        }
    }
    Ok(())
}

async fn rate_months_of(parts: &Parts, tenant: Tenant, now: Timestamp) -> Result<()> {
    let zone = TimeZone::get(&tenant.time_zone)?;
    let running = month_name(&zone, now);
    let before = month_name(&zone, now.saturating_sub(AFTER_THE_MONTH)?);
    if before != running {
        rate_month(parts, tenant.clone(), &before, now).await?;
    }
    rate_month(parts, tenant, &running, now).await
}

async fn rate_month(parts: &Parts, tenant: Tenant, month: &str, now: Timestamp) -> Result<()> {
    let (tenant_id, name) = (tenant.id, tenant.name.clone());
    let bill = invoicing::gather_running(parts, tenant, month).await?;
    let document = invoicing::preview(parts, &bill)?;
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
    Ok(())
}

/// `2026-11`
fn month_name(zone: &TimeZone, at: Timestamp) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m").to_string()
}
