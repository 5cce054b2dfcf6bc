//! The running month of each tenant: what the invoice would be now, and whether a budget is crossed by it.
//!
//! The steps are other crates'; this is their order. Nothing here is final: an invoice is issued when its month is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Plain, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use billing::invoice::lifecycle::{self, Stands};
use billing::limits::allowances::{self, MonthToDate};
use billing::{Stage, budget, drafts};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use metering::{TenantId, Window};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tracing::{error, info, warn};
use usage::registry::Tenant;

use crate::control::request::PeriodRequest;
use crate::invoicing::{self, Payer, Tables};
use crate::parts::Parts;
use crate::period;

/// A round that is not through by then gets a second worker: half of what it may take, so that two of them, who do twice as much,
/// are through in three quarters of a minute where one would have taken a whole one.
const HELP_AFTER: Duration = Duration::from_secs(30);

/// When the running month of each tenant was rated last.
#[derive(Default)]
pub struct Freshness(Plain<HashMap<TenantId, Timestamp>>);

impl Freshness {
    /// From now on it is about these. Who is new counts from `now`.
    fn begin(&self, tenants: impl Iterator<Item = TenantId>, now: Timestamp) {
        let mut rated = self.rated();
        let before = std::mem::take(&mut *rated);
        rated.extend(tenants.map(|tenant| (tenant, before.get(&tenant).copied().unwrap_or(now))));
    }

    fn note(&self, tenant: TenantId, at: Timestamp) {
        self.rated().insert(tenant, at);
    }

    /// The oldest of them; `None`: there is nobody to rate. One that cannot be rated counts from when that began.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.rated().values().min().copied()
    }

    fn rated(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, Timestamp>> {
        // Each change is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The month of the tenant's zone in which `now` lies.
///
/// # Errors
/// The tenant's zone is not known to this machine.
pub fn running_month(tenant: &Tenant, now: Timestamp) -> Result<Window> {
    let zone = period::zone_of(tenant)?;
    Ok(billing::period::month(&month_name(&zone, now), &zone)?)
}

/// The same by name: `2026-11`.
///
/// # Errors
/// The tenant's zone is not known to this machine.
pub fn month_of(tenant: &Tenant, now: Timestamp) -> Result<String> {
    Ok(month_name(&period::zone_of(tenant)?, now))
}

/// Rates the running month of every tenant that has a plan, and of the last one until its grace period is over or it was put up
/// for review. One that fails never stops the rest. One worker does it, and a second one helps when the round is not through
/// after [`HELP_AFTER`]; not while a billing run works, for which somebody waits.
///
/// # Errors
/// The tenants could not be read.
pub async fn rate_running_months(parts: &Arc<Parts>) -> Result<()> {
    let payers = invoicing::payers(parts).await?;
    parts.freshness.begin(payers.iter().map(|payer| payer.tenant.id), Timestamp::now());
    let tables = Tables::read(parts).await?;
    let round = Arc::new(Round { parts: Arc::clone(parts), tables, left: Mutex::new(payers.into_iter()) });
    // Dropped with this future, which ends them.
    let mut workers = JoinSet::new();
    workers.spawn(Arc::clone(&round).work(false));
    let help = tokio::time::sleep(HELP_AFTER);
    tokio::pin!(help);
    let mut is_helped = false;
    loop {
        tokio::select! {
            ended = workers.join_next() => match ended {
                Some(ended) => ended.context("a worker that rates running months failed")?,
                None => return Ok(()),
            },
            () = &mut help, if !is_helped => {
                is_helped = true;
                workers.spawn(Arc::clone(&round).work(true));
            }
        }
    }
}

/// The tenants that are left in a round, and what they have in common.
struct Round {
    parts: Arc<Parts>,
    tables: Tables,
    left: Mutex<std::vec::IntoIter<Payer>>,
}

impl Round {
    async fn work(self: Arc<Self>, is_help: bool) {
        while !(is_help && self.parts.is_closing()) {
            // Taken in a statement of its own: the lock is not held while one is rated.
            let next = self.left.lock().await.next();
            let Some(payer) = next else { return };
            let (id, name, now) = (payer.tenant.id, payer.tenant.name.clone(), Timestamp::now());
            match rate_months_of(&self.parts, &self.tables, payer, now).await {
                Ok(()) => self.parts.freshness.note(id, now),
                Err(failure) => error!(tenant = %name, "the running month was not rated: {failure:#}"),
            }
        }
    }
}

/// A month that has ended is rated on until its grace period is over: its last readings come in, and they may cross a budget.
/// Months in which the tenant has no plan are not rated.
async fn rate_months_of(parts: &Parts, tables: &Tables, payer: Payer, now: Timestamp) -> Result<()> {
    let zone = period::zone_of(&payer.tenant)?;
    let running = month_name(&zone, now);
    let grace = SignedDuration::try_from(parts.config.billing.grace.0)?;
    let before = month_name(&zone, now.saturating_sub(grace)?);
    let is_billed = |month: &str| payer.is_billed_for(&PeriodRequest::Month(month.to_owned()));
    if before != running && is_billed(&before)? && !is_closed(parts, &payer.tenant, &before).await? {
        rate_month(parts, tables, payer.tenant.clone(), &before, now).await?;
    }
    if is_billed(&running)? {
        rate_month(parts, tables, payer.tenant, &running, now).await?;
    }
    Ok(())
}

/// Whether somebody was shown the month's invoice or it was issued: usage that comes in later is late, and told as such.
async fn is_closed(parts: &Parts, tenant: &Tenant, month: &str) -> Result<bool> {
    let (_, period) = invoicing::period_of(tenant, &PeriodRequest::Month(month.to_owned()))?;
    let stands = lifecycle::standing(&parts.database, tenant.id, period).await?;
    Ok(match stands {
        Some(Stands::Issued(..) | Stands::Waits(_, Stage::Review | Stage::Approved)) => true,
        Some(Stands::Waits(_, Stage::Draft)) | None => false,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_is_not_rated_any_more_makes_what_is_shown_old_until_it_is_no_payer() {
        let freshness = Freshness::default();
        let at = |second| Timestamp::from_second(second).expect("a time");
        let (acme, globex) =
            (TenantId::from_uuid(uuid::Uuid::from_u128(1)), TenantId::from_uuid(uuid::Uuid::from_u128(2)));
        assert_eq!(freshness.oldest(), None, "nobody pays");
        freshness.begin([acme, globex].into_iter(), at(100));
        freshness.note(acme, at(101));
        assert_eq!(freshness.oldest(), Some(at(100)), "globex was not rated");
        freshness.begin([acme, globex].into_iter(), at(150));
        freshness.note(acme, at(151));
        assert_eq!(freshness.oldest(), Some(at(100)), "nor a second time");
        freshness.begin([acme].into_iter(), at(200));
        assert_eq!(freshness.oldest(), Some(at(151)));
    }
}
