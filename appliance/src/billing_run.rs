//! Billing runs: brings the invoices of a month of all tenants to where somebody (or the setting) wants them, with two
//! workers, each tenant for itself. Which tenants are left stands in the database, so that a run goes on where it was when
//! Weir is killed and starts again; a tenant that fails is named with its reason and stops nobody.
//!
//! It also puts months up for review whose grace period is over. How one invoice is made is [`crate::invoicing`]'s matter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use billing::invoice::lifecycle::{self, Stands};
use billing::runs::{self, Became, Goal, NewRun, Run, RunOrigin};
use billing::{Basis, Desk, Held, InvoiceId, IssueError, Stage, hold};
use jiff::{SignedDuration, Timestamp, ToSpan};
use metering::{TenantId, Window};
use migrations::Scope;
use tokio::sync::{Mutex, watch};
use tracing::{error, info, warn};
use usage::registry::{self, Tenant};
use uuid::Uuid;

use crate::control::request::PeriodRequest;
use crate::invoicing::{self, Outcome, Payer, Tables};
use crate::parts::Parts;

/// Tenants that are worked on at the same time: one for each core of a small machine, and two connections each.
const WORKERS: usize = 2;
/// What failed in an automatic run is tried again after this: nodes come back, operators mend plans.
const RETRY_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// How often a worker whose connection is lost begins anew before it leaves the run to the next look.
const RECONNECTS: u32 = 10;
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);
/// The actor of what Weir does by itself.
pub const AUTOMATIC: &str = "automatic";

/// What somebody wants.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The month, `2026-10`.
    pub period: String,
    /// How far.
    pub goal: Goal,
    /// Without waiting for the grace period.
    pub before_cutoff: bool,
    /// Only this tenant.
    pub tenant: Option<String>,
    /// Who asks.
    pub actor: String,
}

/// Writes down a run under `run_id` and wakes those who work on runs.
///
/// # Errors
/// The period is no month, the tenant is none, or nobody has a plan.
pub async fn start(parts: &Parts, run_id: Uuid, asked: &Asked) -> Result<Uuid> {
    // Some zone: only the text is checked. Whether it is over is each tenant's zone's matter.
    billing::period::month(&asked.period, &jiff::tz::TimeZone::UTC)?;
    let month = PeriodRequest::Month(asked.period.clone());
    let tenants = invoicing::tenants(parts, asked.tenant.as_deref(), &month).await?;
    if let [only] = &tenants[..] {
        let (_, period) = invoicing::period_of(only, &month)?;
        if invoicing::plan_of(parts, only, period).await?.is_none() {
            bail!(invoicing::no_plan(only, period)?);
        }
    }
    if tenants.is_empty() {
        bail!(
            "no tenant has a price plan in {0}, so there is nobody to bill; give one: weir tenant set-plan TENANT PLAN --from {0}-01",
            asked.period
        );
    }
    let new = NewRun {
        run_id,
        period: asked.period.clone(),
        goal: asked.goal,
        origin: RunOrigin::Operator,
        before_cutoff: asked.before_cutoff,
        asked_by: asked.actor.clone(),
    };
    let tenants: Vec<TenantId> = tenants.iter().map(|tenant| tenant.id).collect();
    let run = runs::create(&parts.database, &new, &tenants, Timestamp::now()).await?;
    parts.billing_due.notify_one();
    Ok(run)
}

/// Puts the last month of every tenant into its automatic run whose grace period is over.
///
/// # Errors
/// The database failed.
pub async fn schedule(parts: &Parts, now: Timestamp) -> Result<()> {
    let grace = SignedDuration::try_from(parts.config.billing.grace.0)?;
    let mut months = BTreeMap::<String, Vec<TenantId>>::new();
    for Payer { tenant, plans } in invoicing::payers(parts).await? {
        let Ok(zone) = jiff::tz::TimeZone::get(&tenant.time_zone) else { continue };
        let first = now.saturating_sub(grace)?.to_zoned(zone.clone()).date().first_of_month();
        let before = first.checked_sub(1.month())?;
        if plans.on(before).is_some() {
            months.entry(before.strftime("%Y-%m").to_string()).or_default().push(tenant.id);
        }
    }
    for (period, tenants) in months {
        let missing = runs::missing(&parts.database, &period, &tenants).await?;
        if missing.is_empty() {
            continue;
        }
        let goal = if parts.config.billing.auto_issue { Goal::Issued } else { Goal::Review };
        let new = NewRun {
            run_id: Uuid::now_v7(),
            period,
            goal,
            origin: RunOrigin::Automatic,
            before_cutoff: false,
            asked_by: AUTOMATIC.to_owned(),
        };
        runs::create(&parts.database, &new, &missing, now).await?;
    }
    Ok(())
}

/// Works on every run that is not finished, until nothing is left to do now or `stop` turns true.
///
/// # Errors
/// The database failed.
pub async fn work_off(parts: &Arc<Parts>, stop: &watch::Receiver<bool>) -> Result<()> {
    for id in runs::open(&parts.database).await? {
        let Some(run) = runs::get(&parts.database, id).await? else { continue };
        let shift = Arc::new(Shift {
            parts: Arc::clone(parts),
            tables: Tables::read(parts).await?,
            run,
            derived: Mutex::new(BTreeMap::new()),
        });
        let _closing = parts.begin_closing();
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..WORKERS {
            workers.spawn(worker(Arc::clone(&shift), stop.clone()));
        }
        while let Some(ended) = workers.join_next().await {
            ended.context("a worker of a billing run failed")??;
        }
        if runs::finish(&parts.database, id, Timestamp::now()).await? {
            info!(run = %id, period = shift.run.period, "billing run finished");
        }
        parts.mail_due.notify_one();
        if *stop.borrow() {
            return Ok(());
        }
    }
    Ok(())
}

/// A run, and what its workers share.
struct Shift {
    parts: Arc<Parts>,
    tables: Tables,
    run: Run,
    /// Ends of months up to which usage was derived, and what went wrong.
    derived: Mutex<BTreeMap<Timestamp, Option<String>>>,
}

async fn worker(shift: Arc<Shift>, stop: watch::Receiver<bool>) -> Result<()> {
    let mut lost = 0;
    while !*stop.borrow() {
        match next(&shift).await {
            Ok(true) => lost = 0,
            Ok(false) => return Ok(()),
            Err(failure) if lost < RECONNECTS => {
                lost += 1;
                warn!("a tenant of a billing run was given back: {failure:#}");
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Bills the next tenant; `false`: there is none. Its row stays locked meanwhile: whoever dies gives it back.
async fn next(shift: &Arc<Shift>) -> Result<bool> {
    let (run, database) = (shift.run.run_id, &shift.parts.database);
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let Some((tenant, _)) = runs::take(&transaction, run, Timestamp::now()).await? else {
        return Ok(false);
    };
    let working = Arc::clone(shift);
    // In a task of its own, so that not even a fault in our own code stops the rest.
    let became = match tokio::spawn(async move { working.bill(tenant).await }).await {
        Ok(Ok(became)) => became,
        Ok(Err(failure)) => shift.failed(&failure),
        Err(panic) => {
            error!(%tenant, "billing a tenant failed: {panic}");
            Became::Failed("Weir failed at this tenant; its log says why".to_owned(), None)
        }
    };
    if let Became::Failed(why, _) = &became {
        warn!(%tenant, period = shift.run.period, "not billed: {why}");
    }
    runs::record(&transaction, run, tenant, &became, Timestamp::now()).await?;
    transaction.commit().await?;
    Ok(true)
}

impl Shift {
    fn failed(&self, failure: &anyhow::Error) -> Became {
        let overlaps = matches!(failure.downcast_ref::<IssueError>(), Some(IssueError::Overlaps { .. }));
        // What overlaps was invoiced by other means: that does not pass.
        let is_retried = self.run.origin == RunOrigin::Automatic && !overlaps;
        let retry_at = Timestamp::now().checked_add(RETRY_AFTER).ok().filter(|_| is_retried);
        Became::Failed(format!("{failure:#}"), retry_at)
    }

    async fn bill(&self, tenant: TenantId) -> Result<Became> {
        let parts = &self.parts;
        let tenant = registry::find_tenant(&parts.database, Scope::Provider, &tenant.to_string()).await?;
        let asked = PeriodRequest::Month(self.run.period.clone());
        let (_, period) = invoicing::period_of(&tenant, &asked)?;
        match lifecycle::standing(&parts.database, tenant.id, period).await? {
            Some(Stands::Issued(id, _)) => Ok(Became::Done(id)),
            Some(Stands::Waits(id, stage @ (Stage::Review | Stage::Approved))) => {
                self.promote(id, stage).await
            }
            Some(Stands::Waits(_, Stage::Draft)) | None => self.rate(tenant, period, &asked).await,
        }
    }

    /// What somebody could look at goes on as it is.
    async fn promote(&self, id: InvoiceId, stage: Stage) -> Result<Became> {
        let (parts, now) = (&self.parts, Timestamp::now());
        let series = invoicing::series(parts)?;
        let desk = Desk { actor: &self.run.asked_by, series: &series };
        if self.run.goal != Goal::Review && stage == Stage::Review {
            lifecycle::approve(&parts.database, id, &desk, now).await?;
        }
        if self.run.goal == Goal::Issued {
            lifecycle::issue_approved(&parts.database, id, &desk, now).await?;
        }
        Ok(Became::Done(id))
    }

    async fn rate(&self, tenant: Tenant, period: Window, asked: &PeriodRequest) -> Result<Became> {
        let (parts, now) = (&self.parts, Timestamp::now());
        billing::period::check_over(period, now)?;
        let cutoff =
            invoicing::cutoff(parts, period).filter(|cutoff| now < *cutoff && !self.run.before_cutoff);
        if cutoff.is_none() {
            self.settle(tenant.id, period).await?;
        }
        let bill = invoicing::gather(parts, &self.tables, tenant, asked).await?;
        if let Some(why) = bill.is_for_nobody() {
            return Ok(Became::Nothing(why));
        }
        let goal = self.run.goal;
        if goal == Goal::Issued && cutoff.is_none() {
            return Ok(match invoicing::issue_bill(parts, &bill, &self.run.asked_by).await? {
                Outcome::Issued(issued) => Became::Done(issued.invoice().invoice_id),
                Outcome::Nothing(why) => Became::Nothing(why),
            });
        }
        let stage = match (cutoff, goal) {
            (Some(_), _) => Stage::Draft,
            (None, Goal::Review) => Stage::Review,
            (None, Goal::Approved | Goal::Issued) => Stage::Approved,
        };
        let series = invoicing::series(parts)?;
        let desk = Desk { actor: &self.run.asked_by, series: &series };
        let basis = Basis { cutoff_at: invoicing::cutoff(parts, period), ..bill.basis() };
        let held =
            hold(&parts.database, bill.tenant().id, bill.for_billing(), (basis, stage), &desk, now).await;
        let id = match held {
            Ok(Held::Waits(id, _) | Held::Kept(id, _)) => id,
            Ok(Held::Issued(invoice)) => invoice.invoice_id,
            Err(nothing @ IssueError::Nothing { .. }) => return Ok(Became::Nothing(nothing.to_string())),
            Err(failure) => return Err(failure.into()),
        };
        match cutoff {
            Some(cutoff) if goal != Goal::Review => bail!(
                "it stays a draft until {cutoff}, because late readings may still come in; wait for that, or say --early"
            ),
            _ => Ok(Became::Done(id)),
        }
    }

    /// Whether all readings of the tenant's period are in. What is dirty is derived once for each end.
    async fn settle(&self, tenant: TenantId, period: Window) -> Result<()> {
        if let Some(awaited) = invoicing::still_to_come(&self.parts, tenant, period).await? {
            bail!(awaited);
        }
        let mut derived = self.derived.lock().await;
        let found = match derived.get(&period.end()) {
            Some(found) => found.clone(),
            None => {
                let outcome = invoicing::derive(&self.parts).await;
                let found = outcome.err().map(|failure| format!("{failure:#}"));
                derived.insert(period.end(), found.clone());
                found
            }
        };
        match found {
            None => Ok(()),
            Some(why) => bail!(why),
        }
    }
}
