//! A month close: from stored usage to issued invoices, as a billing run does it tenant by tenant, beside a bare binary COPY
//! of the same usage rows in the same run. Two workers, as on two cores. Each size has a PostgreSQL of its own, which goes
//! when it was measured.
//!
//! It does NOT wait for readings or derive usage (nothing is dirty), and makes no PDF.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use billing::runs::{self, Became, Goal, NewRun, RunOrigin};
use billing::store::{tax_tables, terms};
use billing::{
    Basis, Bill, Buyer, Desk, InvoiceId, Party, PricePlan, Series, Taxation, account, issue, plans,
};
use futures_util::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use metering::{TenantId, Window};
use migrations::{Database, PoolLimits, Scope};
use tokio_postgres::Client;
use usage::bench::{MONTH_DAYS, MONTH_METERS, load_month};
use usage::registry::{self, Tenant};
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::pages::usage_settings;
use crate::report::Report;

/// Instances of one tenant: 500 tenants have 10,000.
const INSTANCES_PER_TENANT: u32 = 20;
/// As many as there are cores on the smallest machine that is measured.
const WORKERS: usize = 2;
/// The end of the month that is closed.
const MONTH_END: &str = "2026-11-01T00:00:00Z";
/// Local hours at which the night rate ends and begins, for pieces that are no whole days.
const BANDS: [i64; 2] = [6, 22];
/// What one usage record takes on the disk with its indexes and the log that is written for it.
const BYTES_PER_RECORD: u64 = 450;

/// Six meters with a price each, one of them in four tiers.
const PLAN_HEAD: &str = r#"
name = "bench-close"
currency = "EUR"
time_zone = "UTC"
[tax]
name = "VAT"
rate = "0.19"
[[version]]
from = "2026-01-01"
"#;
const TIERS: &str = r#"
graduated = [
    { up_to = "100", unit_price = "0.04" },
    { up_to = "1000", unit_price = "0.03" },
    { up_to = "10000", unit_price = "0.02" },
    { unit_price = "0.01" },
]
"#;

/// Measures a month close at each of these sizes.
///
/// # Errors
/// PostgreSQL cannot be run, or the disk is too small for it.
pub fn measure(sizes: &[u32], report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(async {
        for instances in sizes {
            check_room(*instances)?;
            let cluster = Cluster::start(None).await?;
            let measured = measure_on(&cluster, *instances, report).await;
            cluster.stop().await;
            measured?;
        }
        Ok(())
    })
}

/// What the workers of a close share.
struct Run {
    database: Database,
    run_id: Uuid,
    plan: PricePlan,
    tenants: Vec<Tenant>,
    month: Window,
    now: Timestamp,
}

async fn measure_on(cluster: &Cluster, instances: u32, report: &mut Report) -> Result<()> {
    let url = cluster.server.url();
    migrations::migrate(url).await?;
    let database = Database::connect(url, PoolLimits::default()).await?;
    let end: Timestamp = MONTH_END.parse()?;
    let (tenants, begun) = ((instances / INSTANCES_PER_TENANT).max(1), Instant::now());
    let records = load_month(&database, tenants, instances, end).await?;
    let superuser = cluster.superuser().await?;
    superuser.batch_execute("VACUUM ANALYZE").await?;
    superuser.batch_execute("CHECKPOINT").await?;
    eprintln!("  {:>4} s: {records} usage records of {instances} instances", begun.elapsed().as_secs());
    let run = Arc::new(prepare(database, end).await?);
    // Once before, so that both find in memory what fits there.
    copy(&superuser).await?;
    let mut bare = vec![copy(&superuser).await?, copy(&superuser).await?];
    let (memory, begun) = (Memory::now()?, Instant::now());
    close(&run).await?;
    let closed = begun.elapsed().as_secs_f64();
    let grown_kib = memory.grown_kib()?;
    bare.push(copy(&superuser).await?);
    let name = |what: &str| format!("{what}, {instances} instances");
    report.add(
        name("month close"),
        "s",
        &[closed],
        &bare,
        "bare COPY BINARY of the usage rows (goal 3 at most)",
    );
    let banded = bands(&run).await?;
    report.add(name("usage with a night rate"), "s", &[banded], &bare, "the same COPY");
    let per = |figure: f64| figure * 1_000.0 / f64::from(tenants);
    report.add(name("month close, a tenant"), "ms", &[per(closed)], &[per(bare[0])], "its rows by COPY");
    report.add(
        name("month close, memory more than before"),
        "KiB",
        &[grown_kib],
        &[memory.kib],
        "all memory before it",
    );
    Ok(())
}

/// A plan, and tenants that are on it.
async fn prepare(database: Database, end: Timestamp) -> Result<Run> {
    let month = Window::new(end - SignedDuration::from_hours(24 * i64::from(MONTH_DAYS)), end)?;
    // Whatever the clock of this machine says, the month is over and not longer than a day.
    let now = end + SignedDuration::from_hours(24);
    let plan = plan()?;
    plans::apply(&database, &plan, now).await?;
    let mut tenants = registry::tenants(&database, Scope::Provider).await?;
    tenants.retain(|tenant| tenant.id != TenantId::UNASSIGNED);
    for tenant in &tenants {
        registry::set_plan(&database, tenant.id, Some(plan.name())).await?;
    }
    let new = NewRun {
        run_id: Uuid::now_v7(),
        period: "2026-10".to_owned(),
        goal: Goal::Issued,
        origin: RunOrigin::Operator,
        before_cutoff: true,
        asked_by: "bench".to_owned(),
    };
    let ids: Vec<TenantId> = tenants.iter().map(|tenant| tenant.id).collect();
    let run_id = runs::create(&database, &new, &ids, now).await?;
    Ok(Run { database, run_id, plan, tenants, month, now })
}

fn plan() -> Result<PricePlan> {
    let cards = MONTH_METERS.iter().enumerate().map(|(n, meter)| {
        let price = if n == 0 { TIERS } else { "unit_price = \"0.0031\"\n" };
        format!("[[version.rate_card]]\nmeter = \"{meter}\"\n{price}")
    });
    let text = format!("{PLAN_HEAD}{}", cards.collect::<String>());
    Ok(PricePlan::parse("bench.toml", text.as_bytes())?)
}

/// All tenants of the run, by as many workers as there are cores.
async fn close(run: &Arc<Run>) -> Result<()> {
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..WORKERS {
        let run = Arc::clone(run);
        workers.spawn(async move {
            while work(&run).await? {}
            anyhow::Ok(())
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    ensure!(runs::finish(&run.database, run.run_id, run.now).await?, "the run is not finished");
    let found = runs::get(&run.database, run.run_id).await?.context("the run is gone")?;
    ensure!(usize::try_from(found.done)? == run.tenants.len(), "only {} were billed", found.done);
    Ok(())
}

/// The next tenant of the run; whether there was one.
async fn work(run: &Run) -> Result<bool> {
    let mut session = run.database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let Some((id, _)) = runs::take(&transaction, run.run_id, run.now).await? else { return Ok(false) };
    let tenant = run.tenants.iter().find(|tenant| tenant.id == id).context("an unknown tenant")?;
    let invoice = bill(run, tenant).await?;
    runs::record(&transaction, run.run_id, id, &Became::Done(invoice), run.now).await?;
    transaction.commit().await?;
    Ok(true)
}

/// One tenant: what holds for it, its usage, its invoice.
async fn bill(run: &Run, tenant: &Tenant) -> Result<InvoiceId> {
    let database = &run.database;
    let own_terms = terms::get(database, Scope::Provider, tenant.id).await?;
    let own_plan = own_terms.map(|stored| run.plan.for_tenant(&stored.terms)).transpose()?;
    let plan = own_plan.as_ref().unwrap_or(&run.plan);
    let account = account::get(database, Scope::Provider, tenant.id).await?;
    let taxes = tax_tables::get(database).await?;
    let table = taxes.as_ref().map(|taxes| &taxes.table);
    let taxation = Taxation::resolve(table, plan, &account, run.month, plan.time_zone())?;
    let mut cuts = plan.cuts(run.month);
    cuts.extend(taxation.cuts(run.month));
    let pieces = run.month.split_at(&cuts);
    let usage = usage::usage_of_period(database, tenant.id, &pieces, usage_settings(), run.now).await?;
    let seller = Party { name: "Seller".to_owned(), ..Party::default() };
    let party = Party { name: tenant.display_name.clone(), ..Party::default() };
    let bill = Bill {
        invoice_id: InvoiceId::new(),
        seller: &seller,
        buyer: Buyer { tenant: tenant.name.clone(), party, time_zone: tenant.time_zone.clone() },
        plan,
        usage: &usage,
        samples: &[],
        period: run.month,
        exchange: None,
        taxation: &taxation,
    };
    let series = Series::default();
    let desk = Desk { actor: "bench", series: &series };
    let issued = issue(database, tenant.id, bill, Basis::default(), &desk, run.now).await?;
    Ok(issued.invoice().document.invoice_id)
}

/// The usage of all tenants, cut where a night rate begins and ends: from the windows in the rows of days. One worker.
async fn bands(run: &Run) -> Result<f64> {
    let cuts: Vec<Timestamp> = (0..i64::from(MONTH_DAYS))
        .flat_map(|day| BANDS.map(|hour| run.month.start() + SignedDuration::from_hours(24 * day + hour)))
        .collect();
    let pieces = run.month.split_at(&cuts);
    let begun = Instant::now();
    for tenant in &run.tenants {
        let usage =
            usage::usage_of_period(&run.database, tenant.id, &pieces, usage_settings(), run.now).await?;
        ensure!(pieces.len() < usage.len(), "{} has no usage", tenant.name);
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Seconds for all usage rows, received and dropped.
async fn copy(superuser: &Client) -> Result<f64> {
    let begun = Instant::now();
    let mut rows = pin!(superuser.copy_out("COPY usage_record TO STDOUT (FORMAT binary)").await?);
    let mut bytes = 0;
    while let Some(chunk) = rows.try_next().await? {
        bytes += chunk.len();
    }
    ensure!(0 < bytes, "no rows");
    Ok(begun.elapsed().as_secs_f64())
}

/// What this process holds; the most is forgotten first.
struct Memory {
    kib: f64,
}

impl Memory {
    fn now() -> Result<Self> {
        // 5: forget the most that was ever held (Linux, proc(5)).
        std::fs::write("/proc/self/clear_refs", "5").context("the peak of memory cannot be reset")?;
        Ok(Self { kib: status_kib("VmRSS:")? })
    }

    fn grown_kib(&self) -> Result<f64> {
        Ok((status_kib("VmHWM:")? - self.kib).max(0.0))
    }
}

fn status_kib(key: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)).context("no such line in status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

fn check_room(instances: u32) -> Result<()> {
    let place = Path::new("/var/tmp");
    let free = rustix::fs::statvfs(place)?;
    let free = free.f_bavail.saturating_mul(free.f_frsize);
    let records = u64::from(instances) * MONTH_METERS.len() as u64 * u64::from(MONTH_DAYS) * 24;
    let needed = records.saturating_mul(BYTES_PER_RECORD);
    if free < needed {
        bail!(
            "a month of {instances} instances takes {} GB in {}, where {} GB are free; make room, or ask for fewer",
            needed / 1_000_000_000,
            place.display(),
            free / 1_000_000_000
        );
    }
    Ok(())
}
