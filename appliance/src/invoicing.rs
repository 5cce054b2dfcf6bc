//! From a period to an invoice: waits for readings, derives usage, cuts the period where prices or taxes change, finds the
//! prices, taxes and exchange rates that hold for the tenant, and lets billing rate and issue. The steps are other crates';
//! the order is this one's. Whole months of all tenants are [`crate::billing_run`]'s matter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use billing::account::assignments::{self, Assignments};
use billing::account::{self, BillingAccount};
use billing::store::tax_tables::{self, TableInForce};
use billing::store::{exchange_rates, terms};
use billing::{
    Basis, Bill as Bills, Buyer, Currency, Desk, ExchangeRate, InvoiceDocument, IssueError, Issued, Party,
    PriceModel, PricePlan, Series, Taxation, issue,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::{Sample, TenantId, UsageRecord, Window, WindowLength};
use migrations::Scope;
use tokio::sync::Mutex;
use usage::readings::Behind;
use usage::registry::Tenant;
use usage::{derivation, readings, registry};

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

/// A tenant that has, had or will have a plan.
pub struct Payer {
    /// Who.
    pub tenant: Tenant,
    /// By which plan when.
    pub plans: Assignments,
}

impl Payer {
    /// The plan that it has when that period begins; `None`: none, so it is not billed for it.
    ///
    /// # Errors
    /// The period is none, or the tenant's zone is not known.
    pub fn plan_for(&self, asked: &PeriodRequest) -> Result<Option<&str>> {
        let (zone, period) = period_of(&self.tenant, asked)?;
        Ok(self.plans.on(period.start().to_zoned(zone).date()))
    }

    /// Whether it is billed for that period.
    ///
    /// # Errors
    /// As [`Self::plan_for`].
    pub fn is_billed_for(&self, asked: &PeriodRequest) -> Result<bool> {
        Ok(self.plan_for(asked)?.is_some())
    }
}

/// All of them.
///
/// # Errors
/// The database failed.
pub async fn payers(parts: &Parts) -> Result<Vec<Payer>> {
    let tenants = registry::tenants(&parts.database, Scope::Provider).await?;
    let mut plans = assignments::of(&parts.database, Scope::Provider, None).await?;
    let payer = |tenant: Tenant| plans.remove(&tenant.id).map(|plans| Payer { tenant, plans });
    Ok(tenants.into_iter().filter(|tenant| tenant.id != TenantId::UNASSIGNED).filter_map(payer).collect())
}

/// The tenants that are to be invoiced for a period: one, or all that have a plan then.
///
/// # Errors
/// There is no such tenant, or the period is none.
pub async fn tenants(parts: &Parts, only: Option<&str>, asked: &PeriodRequest) -> Result<Vec<Tenant>> {
    if let Some(name) = only {
        return Ok(vec![registry::find_tenant(&parts.database, Scope::Provider, name).await?]);
    }
    let mut billed = Vec::new();
    for payer in payers(parts).await? {
        // One whose zone is not known is told so when it is billed.
        if payer.is_billed_for(asked).unwrap_or(true) {
            billed.push(payer.tenant);
        }
    }
    Ok(billed)
}

/// The plan of a period of a tenant's; `None`: none.
///
/// # Errors
/// The plan changes within the period, or the database failed.
pub async fn plan_of(parts: &Parts, tenant: &Tenant, period: Window) -> Result<Option<String>> {
    let zone = period::zone_of(tenant)?;
    let plans = assignments::get(&parts.database, Scope::Provider, tenant.id).await?;
    Ok(plans.during(period, &zone)?.map(str::to_owned))
}

/// What is said of a tenant that has no plan in a period.
///
/// # Errors
/// The tenant's zone is not known to this machine.
pub fn no_plan(tenant: &Tenant, period: Window) -> Result<String> {
    let zone = period::zone_of(tenant)?;
    let first = period.start().to_zoned(zone).date().first_of_month();
    Ok(format!(
        "tenant {0} has no price plan in {period}; give it one: weir tenant set-plan {0} PLAN --from {first}",
        tenant.name
    ))
}

/// What many bills have in common, read once: plans by name, and the tax table.
pub struct Tables {
    plans: Mutex<BTreeMap<String, Arc<PricePlan>>>,
    taxes: Option<TableInForce>,
}

impl Tables {
    /// As they are now.
    ///
    /// # Errors
    /// The database failed.
    pub async fn read(parts: &Parts) -> Result<Self> {
        let taxes = tax_tables::get(&parts.database).await?;
        Ok(Self { plans: Mutex::new(BTreeMap::new()), taxes })
    }

    async fn plan(&self, parts: &Parts, name: &str) -> Result<Arc<PricePlan>> {
        let mut plans = self.plans.lock().await;
        if let Some(plan) = plans.get(name) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(find_plan(parts, name).await?);
        plans.insert(name.to_owned(), Arc::clone(&plan));
        Ok(plan)
    }
}

/// What a tenant is to be billed for: everything that rating needs.
pub struct Bill {
    tenant: Tenant,
    account: BillingAccount,
    /// With the tenant's own terms worked in.
    plan: Arc<PricePlan>,
    basis: Basis,
    taxation: Taxation,
    exchange: Option<ExchangeRate>,
    seller: Party,
    period: Window,
    usage: Vec<UsageRecord>,
    samples: Vec<Sample>,
}

/// The prices that hold for a tenant: the plan's, with its own terms worked in.
pub struct Prices {
    plan: Arc<PricePlan>,
    terms_revision: Option<i32>,
}

impl Prices {
    /// These.
    #[must_use]
    pub const fn given(plan: Arc<PricePlan>, terms_revision: Option<i32>) -> Self {
        Self { plan, terms_revision }
    }

    /// Of a plan, for a tenant.
    ///
    /// # Errors
    /// The terms do not fit the plan.
    pub async fn of(parts: &Parts, tenant: TenantId, plan: Arc<PricePlan>) -> Result<Self> {
        let Some(stored) = terms::get(&parts.database, Scope::Provider, tenant).await? else {
            return Ok(Self { plan, terms_revision: None });
        };
        let plan = Arc::new(plan.for_tenant(&stored.terms)?);
        Ok(Self { plan, terms_revision: Some(stored.revision) })
    }
}

/// Gathers a tenant's bill of a period, under the plan that it is billed by then.
///
/// # Errors
/// The tenant has no plan then, or another one within the period, the period is none, or there is no tax or exchange rate for it.
pub async fn gather(parts: &Parts, tables: &Tables, tenant: Tenant, asked: &PeriodRequest) -> Result<Bill> {
    let (zone, period) = period_of(&tenant, asked)?;
    let prices = prices_of(parts, tables, &tenant, period).await?;
    if matches!(asked, PeriodRequest::Month(_)) {
        // A custom period may cut windows: its edges are derived from the readings. A month never should.
        let cuts = prices.plan.cuts(period);
        billing::period::check_aligned(period, &cuts, &zone, parts.usage.window)?;
    }
    bill_of(parts, tables, tenant, prices, period).await
}

/// The same for a period that is known already.
///
/// # Errors
/// As [`gather`].
pub async fn gather_window(parts: &Parts, tables: &Tables, tenant: Tenant, period: Window) -> Result<Bill> {
    let prices = prices_of(parts, tables, &tenant, period).await?;
    bill_of(parts, tables, tenant, prices, period).await
}

/// The prices that hold for a tenant in a period: those of the plan that it is billed by then.
async fn prices_of(parts: &Parts, tables: &Tables, tenant: &Tenant, period: Window) -> Result<Prices> {
    let Some(plan) = plan_of(parts, tenant, period).await? else { bail!(no_plan(tenant, period)?) };
    Prices::of(parts, tenant.id, tables.plan(parts, &plan).await?).await
}

/// The same under prices that are given.
///
/// # Errors
/// There is no tax or exchange rate for it.
pub async fn bill_of(
    parts: &Parts,
    tables: &Tables,
    tenant: Tenant,
    prices: Prices,
    period: Window,
) -> Result<Bill> {
    let rated_at = Timestamp::now();
    let Prices { plan, terms_revision } = prices;
    let account = account::get(&parts.database, Scope::Provider, tenant.id).await?;
    let table = tables.taxes.as_ref().map(|taxes| &taxes.table);
    let taxation = Taxation::resolve(table, &plan, &account, period, plan.time_zone())?;
    let zone = period::zone_of(&tenant)?;
    // A period has one currency: the one in which it began.
    let currency = account.currencies.on(period.start().to_zoned(zone).date());
    let exchange = exchange(parts, &plan, currency, period).await?;
    let mut cuts = plan.cuts(period);
    cuts.extend(taxation.cuts(period));
    cuts.sort_unstable();
    cuts.dedup();
    let pieces = period.split_at(&cuts);
    let usage = usage::usage_of_period(&parts.database, tenant.id, &pieces, parts.usage, rated_at).await?;
    let samples = samples(parts, &tenant, &plan, period, rated_at).await?;
    let seller = seller(parts, tables);
    let basis = Basis { terms_revision, rated_at: Some(rated_at), cutoff_at: cutoff(parts, period) };
    Ok(Bill { tenant, account, plan, basis, taxation, exchange, seller, period, usage, samples })
}

/// The rate at which the plan's prices become the tenant's currency: the one of the period's last day, so that rating again
/// finds the same one.
async fn exchange(
    parts: &Parts,
    plan: &PricePlan,
    currency: Option<Currency>,
    period: Window,
) -> Result<Option<ExchangeRate>> {
    let Some(currency) = currency.filter(|currency| *currency != plan.currency()) else {
        return Ok(None);
    };
    let last = period.end().to_zoned(plan.time_zone().clone()).date();
    let last = if last == period.start().to_zoned(plan.time_zone().clone()).date() {
        last
    } else {
        last.yesterday()?
    };
    let mut session = parts.database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    Ok(Some(exchange_rates::in_force(&transaction, plan.currency(), currency, last).await??))
}

/// What was used in each interval, for the cards whose price looks at rates.
async fn samples(
    parts: &Parts,
    tenant: &Tenant,
    plan: &PricePlan,
    period: Window,
    now: Timestamp,
) -> Result<Vec<Sample>> {
    let mut wanted = std::collections::BTreeSet::new();
    for piece in period.split_at(&plan.cuts(period)) {
        let Some(version) = plan.version_at(piece.start()) else { continue };
        for card in version.rate_cards() {
            if let PriceModel::Percentile { interval_s, .. } = card.price {
                wanted.insert((card.meter, interval_s));
            }
        }
    }
    let mut all = Vec::new();
    for (meter, interval_s) in wanted {
        let interval = WindowLength::new(Duration::from_secs(interval_s.into()))?;
        let until = Window::new(period.start(), now.clamp(period.start(), period.end()));
        let Ok(until) = until else { continue };
        all.extend(
            usage::samples(&parts.database, tenant.id, meter, until, interval, parts.usage, now).await?,
        );
    }
    Ok(all)
}

/// What became of a bill.
pub enum Outcome {
    /// There is an invoice, new or not.
    Issued(Box<Issued>),
    /// Nothing was used that has a price; why, in a sentence.
    Nothing(String),
}

impl Bill {
    /// What was used.
    #[must_use]
    pub fn usage(&self) -> &[UsageRecord] {
        &self.usage
    }

    /// With more usage, of its period.
    pub fn uses(&mut self, more: Vec<UsageRecord>) {
        self.usage.extend(more);
    }

    /// As billing takes it.
    #[must_use]
    pub fn for_billing(&self) -> Bills<'_> {
        let buyer = Buyer {
            tenant: self.tenant.name.clone(),
            party: Party {
                name: self.tenant.display_name.clone(),
                address: self.tenant.address.clone(),
                country: self.account.terms.country.map(|country| country.code().to_owned()),
                tax_number: self.tenant.tax_number.clone(),
            },
            time_zone: self.tenant.time_zone.clone(),
        };
        Bills {
            invoice_id: billing::InvoiceId::new(),
            seller: &self.seller,
            buyer,
            plan: &self.plan,
            usage: &self.usage,
            samples: &self.samples,
            period: self.period,
            exchange: self.exchange.as_ref(),
            taxation: &self.taxation,
        }
    }

    /// Why there is nothing to invoice whatever the plan says: fees, too, are for those who use something, or whose billing
    /// account says since when they are billed.
    #[must_use]
    pub fn is_for_nobody(&self) -> Option<String> {
        let zone = self.plan.time_zone();
        let (name, period) = (&self.tenant.name, self.period);
        match self.account.terms.starts_on {
            None if self.usage.is_empty() => Some(format!(
                "tenant {name} used nothing in {period}, and its billing account does not say since when it is billed"
            )),
            Some(day) if day.to_zoned(zone.clone()).is_ok_and(|start| period.end() <= start.timestamp()) => {
                Some(format!("tenant {name} is billed from {day} on"))
            }
            _ => None,
        }
    }

    /// What it stands on.
    #[must_use]
    pub const fn basis(&self) -> Basis {
        self.basis
    }

    /// Whose it is.
    #[must_use]
    pub const fn tenant(&self) -> &Tenant {
        &self.tenant
    }
}

/// How invoices are numbered here.
///
/// # Errors
/// The setting is not right, which the start has checked.
pub fn series(parts: &Parts) -> Result<Series> {
    let billing = &parts.config.billing;
    Ok(Series::new(&billing.series, &billing.credit_note_series)?)
}

/// Issues it, or finds that it was issued before.
///
/// # Errors
/// See [`billing::IssueError`].
pub async fn issue_bill(parts: &Parts, bill: &Bill, actor: &str) -> Result<Outcome> {
    let series = series(parts)?;
    let desk = Desk { actor, series: &series };
    let mut tries = 0;
    loop {
        tries += 1;
        let (tenant, now) = (bill.tenant.id, Timestamp::now());
        match issue(&parts.database, tenant, bill.for_billing(), bill.basis, &desk, now).await {
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
pub fn preview(bill: &Bill) -> Result<InvoiceDocument> {
    Ok(bill.for_billing().draft()?)
}

/// When the grace period of `period` is over: until then late readings flow in by themselves.
#[must_use]
pub fn cutoff(parts: &Parts, period: Window) -> Option<Timestamp> {
    period.end().checked_add(parts.config.billing.grace.0).ok()
}

/// Waits until every node that may still have readings of the tenant's period has reported past its end (and is given up on
/// after `wait`), then derives what is dirty.
///
/// # Errors
/// The nodes are behind: an invoice now would lack readings that are under way.
pub async fn settle_usage(parts: &Parts, tenant: TenantId, period: Window, wait: Duration) -> Result<()> {
    let end = period.end();
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
        let awaited = still_to_come(parts, tenant, period).await?;
        let Some(awaited) = awaited else { break };
        if give_up <= tokio::time::Instant::now() {
            bail!(awaited);
        }
        tokio::time::sleep(LOOK).await;
    }
    derive(parts).await
}

/// Derives what is dirty.
///
/// # Errors
/// Some of it could not be derived.
pub async fn derive(parts: &Parts) -> Result<()> {
    let derived = derivation::derive_dirty(&parts.database, parts.usage, Timestamp::now()).await?;
    if 0 < derived.failed {
        bail!("the usage of {} resource(s) could not be derived; see the log of `weir up`", derived.failed);
    }
    Ok(())
}

/// Who is waited for before the tenant can be invoiced, for what of it, and what an operator can do. `None`: for nobody. Nodes that
/// have nothing of this tenant's hold up others' invoices, not this one.
///
/// # Errors
/// The database failed.
pub async fn still_to_come(parts: &Parts, tenant: TenantId, period: Window) -> Result<Option<String>> {
    let (own, now) = (parts.node_id().await, Timestamp::now());
    let behind = readings::behind_of(&parts.database, tenant, period, own, now).await?;
    // A control plane that has never heard its own node does not know what runs there.
    if !behind.is_empty() {
        return Ok(Some(who_is_behind(&behind, period.end())));
    }
    let is_known = match own {
        Some(own) => {
            registry::nodes(&parts.database, Scope::Provider).await?.iter().any(|node| node.id == own)
        }
        None => true,
    };
    Ok((!is_known).then(|| who_is_behind(&[], period.end())))
}

fn who_is_behind(behind: &[Behind], end: Timestamp) -> String {
    let names: Vec<String> = behind
        .iter()
        .take(NAMED_MAX)
        .map(|node| {
            let about = listed(&node.about);
            match node.reported_until {
                Some(until) => format!("{} (reported up to {until:.0}; about {about})", node.name),
                None => format!("{} (never reported; about {about})", node.name),
            }
        })
        .collect();
    let more = match behind.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let who = if names.is_empty() { "this machine".to_owned() } else { names.join(", ") + more.as_str() };
    format!(
        "the period ends at {end}, and readings of this tenant up to then are still to come from {who}; an invoice without \
         them would be too low. Wait for the next reading (--wait SECONDS), see why with weir node list, or, if a machine is gone for \
         good with what it had not delivered: weir node remove NAME"
    )
}

/// The first few names.
fn listed(names: &[String]) -> String {
    let few = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => few,
        more => format!("{few} and {more} more"),
    }
}

/// The tenant's zone, and the period in it.
///
/// # Errors
/// The period is none.
pub fn period_of(tenant: &Tenant, asked: &PeriodRequest) -> Result<(TimeZone, Window)> {
    let zone = period::zone_of(tenant)?;
    let period = period::window(asked, &zone)?;
    Ok((zone, period))
}

/// Who sells, as documents name it.
pub fn seller(parts: &Parts, tables: &Tables) -> Party {
    let seller = &parts.config.billing.seller;
    Party {
        name: seller.name.clone(),
        address: seller.address.clone(),
        country: tables.taxes.as_ref().map(|taxes| taxes.table.seller().country.code().to_owned()),
        tax_number: seller.tax_number.clone(),
    }
}
