//! What the pages are about: the history of `usage::bench`, some guests that are read, plans, invoices, drafts, limits and
//! people. It measures nothing.

use std::time::{Duration, Instant};

use accounts::{Role, UserName, sessions, users};
use anyhow::{Context, Result};
use billing::{
    Basis, Bill, Buyer, Currency, Desk, InvoiceId, IssueError, Money, Party, PricePlan, Series, Taxation,
    budget, drafts, issue, period, plans, quota,
};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use metering::{TenantId, Window, WindowLength};
use migrations::{Database, Scope};
use usage::registry::{self, Tenant};
use usage::{UsageSettings, records};

use super::{Size, guests};

/// The tenant whose pages are asked for: the first of the history, and whoever has the guests.
pub const TENANT: &str = "bench-0001";

const PROVIDER: &str = "bench-provider";
const PLANNER: &str = "bench-planner";
const TENANTS_USER: &str = "bench-tenant";

/// Everybody's; the bench's server is closed to others and ends with it.
const PASSWORD: &str = "only for this measurement";

/// How far back there may be usage to invoice.
const MONTHS: i32 = 3;

/// Before their first usage.
const TENANTS_SINCE: SignedDuration = SignedDuration::from_hours(24 * 220);

/// Every meter has a price, so that an invoice is as long as it can be.
const PLAN: &str = r#"
name = "bench"
currency = "EUR"
time_zone = "Europe/Berlin"
[tax]
name = "VAT"
rate = "0.19"
[[version]]
from = "2026-01-01"
"#;

/// Sessions of those who look at pages.
pub struct People {
    pub provider: String,
    pub planner: String,
    pub tenant: String,
}

/// How usage is cut: windows of an hour, and two readings may be lost.
pub fn usage_settings() -> UsageSettings {
    UsageSettings { window: WindowLength::HOUR, tolerance: Duration::from_secs(150) }
}

/// Loads usage into an empty, migrated database, and says how it goes on.
///
/// # Errors
/// The database fails.
pub async fn meter(database: &Database, size: Size, now: Timestamp) -> Result<()> {
    let begun = Instant::now();
    let say = |what: String| eprintln!("  {:>4} s: {what}", begun.elapsed().as_secs());
    say("loading usage".to_owned());
    let loaded = usage::bench::load_history(database, size.tenants, size.instances, size.days, now).await?;
    say(format!("{loaded} usage records; now {} days of readings", size.reading_days));
    come_early(database, now).await?;
    let looks = guests::load(database, TENANT, size.reading_days, usage_settings(), now).await?;
    say(format!("{looks} looks at {} instances", guests::GUESTS));
    Ok(())
}

/// Adds invoices, drafts, limits and people.
///
/// # Errors
/// The database fails.
pub async fn bill(database: &Database, now: Timestamp) -> Result<()> {
    let begun = Instant::now();
    let plan = plan()?;
    plans::apply(database, &plan, now).await?;
    let tenants = registry::tenants(database, Scope::Provider).await?;
    let mut invoices = 0;
    for tenant in tenants.iter().filter(|tenant| tenant.id != TenantId::UNASSIGNED) {
        for months_ago in (1..=MONTHS).rev() {
            invoices += usize::from(invoice(database, tenant, &plan, months_ago, now).await?);
        }
        rate(database, tenant, &plan, now).await?;
        limit(database, tenant, now).await?;
    }
    eprintln!("  {:>4} s: {invoices} invoices, {} drafts", begun.elapsed().as_secs(), tenants.len());
    let own = tenants.iter().find(|tenant| tenant.name.as_str() == TENANT).context("no tenant was loaded")?;
    person(database, PROVIDER, Role::Provider, None, now).await?;
    person(database, PLANNER, Role::Planner, None, now).await?;
    person(database, TENANTS_USER, Role::Tenant, Some(own.id), now).await
}

/// Logs everybody in.
///
/// # Errors
/// The database fails, or what it holds was not loaded here.
pub async fn people(database: &Database, now: Timestamp) -> Result<People> {
    Ok(People {
        provider: log_in(database, PROVIDER, now).await?,
        planner: log_in(database, PLANNER, now).await?,
        tenant: log_in(database, TENANTS_USER, now).await?,
    })
}

/// Before its tenants' first invoices.
async fn come_early(database: &Database, now: Timestamp) -> Result<()> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let then = now.checked_sub(TENANTS_SINCE)?;
    transaction.execute("UPDATE tenant SET created_at = $1", &[&then]).await?;
    Ok(transaction.commit().await?)
}

fn plan() -> Result<PricePlan> {
    let cards = metering::catalog()
        .iter()
        .map(|meter| format!("[[version.rate_card]]\nmeter = \"{}\"\nunit_price = \"0.0031\"\n", meter.name));
    let text = format!("{PLAN}{}", cards.collect::<String>());
    Ok(PricePlan::parse("bench.toml", text.as_bytes())?)
}

fn month(tenant: &Tenant, now: Timestamp, months_ago: i32) -> Result<Window> {
    let zone = TimeZone::get(&tenant.time_zone)?;
    let first =
        now.to_zoned(zone.clone()).date().first_of_month().checked_sub(Span::new().months(months_ago))?;
    Ok(period::month(&first.strftime("%Y-%m").to_string(), &zone)?)
}

/// Whether there was something to invoice.
async fn invoice(
    database: &Database,
    tenant: &Tenant,
    plan: &PricePlan,
    months_ago: i32,
    now: Timestamp,
) -> Result<bool> {
    let month = month(tenant, now, months_ago)?;
    let pieces = month.split_at(&plan.cuts(month));
    let usage = records::usage_of(database, tenant.id, &pieces, usage_settings(), now).await?;
    let (seller, series) = (seller(), Series::default());
    let taxation = plan.tax().map(Taxation::fixed).context("the plan has no tax")?;
    let bill = Bill {
        invoice_id: InvoiceId::new(),
        seller: &seller,
        buyer: buyer(tenant),
        plan,
        usage: &usage,
        samples: &[],
        period: month,
        exchange: None,
        taxation: &taxation,
    };
    let desk = Desk { actor: "bench", series: &series };
    match issue(database, tenant.id, bill, Basis::default(), &desk, now).await {
        Ok(_) => Ok(true),
        Err(IssueError::Nothing { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The running month, as the job rates it each minute.
async fn rate(database: &Database, tenant: &Tenant, plan: &PricePlan, now: Timestamp) -> Result<()> {
    let month = month(tenant, now, 0)?;
    let pieces = month.split_at(&plan.cuts(month));
    let usage = records::usage_of(database, tenant.id, &pieces, usage_settings(), now).await?;
    let document = billing::draft(InvoiceId::new(), &seller(), buyer(tenant), plan, &usage, month)?;
    drafts::put(database, tenant.id, &document, now).await?;
    Ok(())
}

fn buyer(tenant: &Tenant) -> Buyer {
    Buyer {
        tenant: tenant.name.clone(),
        party: Party { name: tenant.display_name.clone(), ..Party::default() },
        time_zone: tenant.time_zone.clone(),
    }
}

async fn limit(database: &Database, tenant: &Tenant, now: Timestamp) -> Result<()> {
    let amount = Money::exact("5000.00".parse()?, Currency::EUR)?;
    budget::set(database, Scope::Provider, tenant.id, amount, None, now).await?;
    let limits = quota::Limits { instances: Some(100), vcpus: Some(400), memory_kib: Some(1 << 30) };
    quota::set(database, tenant.id, &limits, None, now).await?;
    Ok(())
}

fn seller() -> Party {
    Party { name: "Seller".to_owned(), address: vec!["1 Sample Street".to_owned()], ..Party::default() }
}

/// Makes a user.
async fn person(
    database: &Database,
    name: &str,
    role: Role,
    tenant: Option<TenantId>,
    now: Timestamp,
) -> Result<()> {
    let user_name = UserName::new(name)?;
    let new = users::NewUser { name: user_name, display_name: name, role, tenant, password: PASSWORD };
    users::create(database, &new, now).await?;
    Ok(())
}

/// A session's secret.
async fn log_in(database: &Database, name: &str, now: Timestamp) -> Result<String> {
    let (secret, _) = sessions::log_in(database, name, PASSWORD, "127.0.0.1", now).await?;
    Ok(secret.expose().to_owned())
}
