//! From a period to an invoice: waits for readings, derives usage, cuts the period at price changes, and lets
//! billing rate and issue. The steps are other crates'; the order is this one's.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use billing::{Buyer, InvoiceDocument, IssueError, Issued, Party, PricePlan, draft, issue};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::{TenantId, UsageRecord, Window};
use migrations::Scope;
use usage::readings::Behind;
use usage::registry::Tenant;
use usage::{derivation, readings, records, registry};

use crate::answers::tenants::find_plan;
use crate::control::request::PeriodRequest;
use crate::parts::Parts;
use crate::period;

/// How often is looked whether the nodes have reported.
const LOOK: Duration = Duration::from_millis(200);
/// The longest wait for them that makes sense to ask for.
const WAIT_MAX: Duration = Duration::from_secs(3_600);
/// Nodes that are named when they hold an invoice up: as many as somebody looks at.
const NAMED_MAX: usize = 5;
/// A connection that was lost in the middle of an issue is tried again so often: issuing twice is issuing once.
const ISSUE_TRIES: u32 = 5;

/// The tenants that are to be invoiced: one, or all that have a plan.
///
/// # Errors
/// There is no such tenant.
pub async fn tenants(parts: &Parts, only: Option<&str>) -> Result<Vec<Tenant>> {
    if let Some(name) = only {
        return Ok(vec![registry::find_tenant(&parts.database, Scope::Provider, name).await?]);
    }
    let mut tenants = registry::tenants(&parts.database, Scope::Provider).await?;
    tenants.retain(|tenant| tenant.id != TenantId::UNASSIGNED && tenant.plan_name.is_some());
    Ok(tenants)
}

/// What a tenant is to be billed for: everything that rating needs.
pub struct Bill {
    tenant: Tenant,
    plan: PricePlan,
    period: Window,
    usage: Vec<UsageRecord>,
}

/// Gathers a tenant's bill of a period.
///
/// # Errors
/// The tenant has no plan, or the period is none.
pub async fn gather(parts: &Parts, tenant: Tenant, asked: &PeriodRequest) -> Result<Bill> {
    let (_, plan, period, pieces) = cut(parts, &tenant, asked).await?;
    let usage = records::usage_of(&parts.database, tenant.id, &pieces, parts.usage, Timestamp::now()).await?;
    Ok(Bill { tenant, plan, period, usage })
}

/// The same for a month that still runs: from the sums by day, which is a hundredth of the work.
///
/// # Errors
/// The tenant has no plan, or the period is none.
pub async fn gather_running(parts: &Parts, tenant: Tenant, month: &str) -> Result<Bill> {
    let asked = PeriodRequest::Month(month.to_owned());
    let (zone, plan, period, pieces) = cut(parts, &tenant, &asked).await?;
    let now = Timestamp::now();
    let usage = records::usage_by_days(&parts.database, tenant.id, &zone, &pieces, parts.usage, now).await?;
    Ok(Bill { tenant, plan, period, usage })
}

/// The period, and its pieces between changes of prices.
async fn cut(
    parts: &Parts,
    tenant: &Tenant,
    asked: &PeriodRequest,
) -> Result<(TimeZone, PricePlan, Window, Vec<Window>)> {
    let (zone, period) = period_of(tenant, asked)?;
    let Some(plan_name) = &tenant.plan_name else {
        bail!("tenant {0} has no price plan; give it one: weir tenant set-plan {0} PLAN", tenant.name);
    };
    let plan = find_plan(parts, plan_name).await?;
    let cuts = plan.cuts(period);
    if matches!(asked, PeriodRequest::Month(_)) {
        // A custom period may cut windows: its edges are derived from the readings. A month never should.
        billing::period::check_aligned(period, &cuts, &zone, parts.usage.window)?;
    }
    let pieces = period.split_at(&cuts);
    Ok((zone, plan, period, pieces))
}

/// What became of a bill.
pub enum Outcome {
    /// There is an invoice, new or not.
    Issued(Box<Issued>),
    /// Nothing was used that has a price; why, in a sentence.
    Nothing(String),
}

/// Issues it, or finds that it was issued before.
///
/// # Errors
/// See [`billing::IssueError`].
pub async fn issue_bill(parts: &Parts, bill: &Bill) -> Result<Outcome> {
    let seller = seller(parts);
    let mut tries = 0;
    loop {
        tries += 1;
        let (tenant, now) = (bill.tenant.id, Timestamp::now());
        match issue(&parts.database, tenant, &bill.plan, &bill.usage, bill.period, &seller, now).await {
            Err(error) if error.is_transient() && tries < ISSUE_TRIES => {
                tokio::time::sleep(LOOK * tries).await
            }
            Err(nothing @ IssueError::Nothing { .. }) => return Ok(Outcome::Nothing(nothing.to_string())),
            issued => return Ok(Outcome::Issued(Box::new(issued?))),
        }
    }
}

/// What the invoice would be.
///
/// # Errors
/// The usage cannot be rated.
pub fn preview(parts: &Parts, bill: &Bill) -> Result<InvoiceDocument> {
    let buyer = Buyer {
        tenant: bill.tenant.name.clone(),
        party: Party {
            name: bill.tenant.display_name.clone(),
            address: bill.tenant.address.clone(),
            country: None,
            tax_number: bill.tenant.tax_number.clone(),
        },
        time_zone: bill.tenant.time_zone.clone(),
    };
    let id = billing::InvoiceId::new();
    Ok(draft(id, &seller(parts), buyer, &bill.plan, &bill.usage, bill.period)?)
}

/// Waits until every node that was not removed has reported past the period's end (and is given up on after `wait`), then
/// derives what is dirty.
///
/// # Errors
/// The nodes are behind: an invoice now would lack readings that are under way.
pub async fn settle_usage(parts: &Parts, end: Timestamp, wait: Duration) -> Result<()> {
    let give_up = tokio::time::Instant::now() + wait.min(WAIT_MAX);
    loop {
        let now = Timestamp::now();
        if now < end {
            let to_come = Duration::try_from(now.duration_until(end)).unwrap_or(WAIT_MAX);
            if give_up < tokio::time::Instant::now() + to_come {
                bail!(
                    "the period ends at {end}, which is still to come; only what is over can be invoiced (see weir invoice preview)"
                );
            }
            tokio::time::sleep(to_come).await;
            continue;
        }
        let behind = readings::behind(&parts.database, end, now).await?;
        // None is behind: nothing is under way that could be waited for, but for this node's own readings.
        if behind.is_empty() && own_node_has_reported(parts, end).await? {
            break;
        }
        if give_up <= tokio::time::Instant::now() {
            bail!(still_to_come(&behind, end));
        }
        tokio::time::sleep(LOOK).await;
    }
    let derived = derivation::derive_dirty(&parts.database, parts.usage, Timestamp::now()).await?;
    if 0 < derived.failed {
        bail!("the usage of {} resource(s) could not be derived; see the log of `weir up`", derived.failed);
    }
    Ok(())
}

/// Who is waited for, and what an operator can do.
fn still_to_come(behind: &[Behind], end: Timestamp) -> String {
    let names: Vec<String> = behind
        .iter()
        .take(NAMED_MAX)
        .map(|node| match node.reported_until {
            Some(until) => format!("{} (reported up to {until:.0})", node.name),
            None => format!("{} (never reported)", node.name),
        })
        .collect();
    let more = match behind.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let who = if names.is_empty() { "this machine".to_owned() } else { names.join(", ") + more.as_str() };
    format!(
        "the period ends at {end}, and readings up to then are still to come from {who}; an invoice without them would be \
         too low. Wait for the next reading (--wait SECONDS), see why with weir node list, or, if a machine is gone for \
         good with what it had not delivered: weir node remove NAME"
    )
}

/// Whether this process's own collector has reported past `end`. After a long outage no node counts as live until it has,
/// and what it is about to report belongs into the period.
async fn own_node_has_reported(parts: &Parts, end: Timestamp) -> Result<bool> {
    let Some(own) = parts.node_id().await else { return Ok(true) };
    let nodes = registry::nodes(&parts.database, Scope::Provider).await?;
    let reported = nodes.iter().find(|node| node.id == own).and_then(|node| node.last_observed_at);
    Ok(reported.is_some_and(|until| end <= until))
}

/// The end of the period in the tenant's zone.
///
/// # Errors
/// The period is none.
pub fn end_of(tenant: &Tenant, asked: &PeriodRequest) -> Result<Timestamp> {
    Ok(period_of(tenant, asked)?.1.end())
}

/// The tenant's zone, and the period in it.
fn period_of(tenant: &Tenant, asked: &PeriodRequest) -> Result<(TimeZone, Window)> {
    let zone =
        TimeZone::get(&tenant.time_zone).context("the tenant's time zone is not known to this machine")?;
    let period = period::window(asked, &zone)?;
    Ok((zone, period))
}

fn seller(parts: &Parts) -> Party {
    let seller = &parts.config.billing.seller;
    Party {
        name: seller.name.clone(),
        address: seller.address.clone(),
        country: None,
        tax_number: seller.tax_number.clone(),
    }
}
