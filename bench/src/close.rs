//! A month close: from stored usage to issued invoices by `weir billing run`, typed to a running `weir up`, beside a bare
//! binary COPY of the same usage rows in the same run. Each size has a PostgreSQL of its own, which goes when it was
//! measured.
//!
//! It does NOT wait for readings or derive usage (nothing is dirty), and makes no PDF.

mod appliance;
mod room;

use std::ops::Range;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use billing::{PricePlan, plans};
use futures_util::TryStreamExt as _;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use metering::{TenantId, Window};
use migrations::{Database, PoolLimits, Scope};
use tokio_postgres::Client;
use usage::bench::month::{MONTH_DAYS, MONTH_METERS, Month};
use usage::registry;

use self::appliance::Appliance;
use self::room::Parts;
use crate::cluster::Cluster;
use crate::pages::usage_settings;
use crate::report::Report;

/// As many as there are cores on the smallest machine that is measured.
const WORKERS: usize = 2;
/// Local hours at which the night rate ends and begins, for pieces that are no whole days.
const BANDS: [i64; 2] = [6, 22];
/// A night rate is measured up to this size: it is a ratio, and takes minutes.
const BANDS_MAX: u32 = 10_000;
/// The only plan.
const PLAN: &str = "bench-close";
/// Puts all tenants on it, for all time.
const ASSIGN: &str = "INSERT INTO plan_assignment (tenant_id, revision, valid_from, plan_name, recorded_at)
    SELECT tenant_id, 1, '0001-01-01', $1, now() FROM tenant WHERE name LIKE 'bench-%'";

/// Six meters with a price each, one of them in four tiers.
const PLAN_HEAD: &str = r#"
name = "bench-close"
currency = "EUR"
time_zone = "UTC"
[tax]
name = "VAT"
rate = "0.19"
[[version]]
from = "2020-01-01"
"#;
const TIERS: &str = r#"
graduated = [
    { up_to = "100", unit_price = "0.04" },
    { up_to = "1000", unit_price = "0.03" },
    { up_to = "10000", unit_price = "0.02" },
    { unit_price = "0.01" },
]
"#;
/// Issued invoices, and meters of which they do not say what the days do.
const OUTCOME: &str = "
SELECT (SELECT count(*) FROM invoice WHERE number IS NOT NULL) AS issued, count(*) AS differences
FROM (SELECT meter, sum(quantity) AS used FROM usage_day_total GROUP BY meter) u
FULL JOIN (SELECT meter, sum(base_quantity) AS billed FROM invoice_line GROUP BY meter) b ON b.meter = u.meter
WHERE u.used IS DISTINCT FROM b.billed";

/// Measures a month close at each of these sizes (instances, so many of `each` tenant), by this `weir`.
///
/// # Errors
/// PostgreSQL or Weir cannot be run, or the disk is too small for it.
pub fn measure(sizes: &[u32], each: u32, weir: &Path, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(async {
        for instances in sizes {
            let parts = room::parts(*instances)?;
            let cluster = Cluster::start(None).await?;
            let measured = measure_on(&cluster, (*instances, each), parts, weir, report).await;
            cluster.stop().await;
            measured?;
        }
        Ok(())
    })
}

async fn measure_on(
    cluster: &Cluster,
    (instances, each): (u32, u32),
    parts: Parts,
    weir: &Path,
    report: &mut Report,
) -> Result<()> {
    let url = cluster.server.url();
    migrations::migrate(url).await?;
    let database = Database::connect(url, PoolLimits::default()).await?;
    let superuser = cluster.superuser().await?;
    let (month, tenants) = (last_month()?, (instances / each).max(1));
    let mut bare = load(&database, &superuser, (tenants, instances), month, parts).await?;
    let (closed, memory) = close(&superuser, weir, url, month, tenants).await?;
    let name = |what: &str| format!("{what}, {instances} instances");
    if parts == Parts::One {
        bare.push(copy(&superuser).await?);
    }
    let limit = match parts {
        Parts::One => "bare COPY BINARY of the usage rows (goal 3 at most)",
        Parts::Of(_) => "bare COPY BINARY of the usage rows, part by part (goal 3 at most)",
    };
    report.add(name("month close"), "s", &[closed], &bare, limit);
    let per = |figure: f64| figure * 1_000.0 / f64::from(tenants);
    report.add(name("month close, a tenant"), "ms", &[per(closed)], &[per(bare[0])], "its rows by COPY");
    report.add(
        name("month close, memory of weir up more than before"),
        "KiB",
        &[memory.grown_kib],
        &[memory.before_kib],
        "all its memory before it",
    );
    if instances <= BANDS_MAX {
        let banded = bands(&database, month).await?;
        report.add(name("usage with a night rate"), "s", &[banded], &bare, "the same COPY");
    }
    Ok(())
}

/// The last month of 31 days that is over.
fn last_month() -> Result<Window> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let mut first = today.first_of_month().checked_sub(1.month())?;
    while u32::try_from(first.days_in_month())? != MONTH_DAYS {
        first = first.checked_sub(1.month())?;
    }
    let end = first.checked_add(1.month())?.to_zoned(TimeZone::UTC)?.timestamp();
    Ok(Window::new(first.to_zoned(TimeZone::UTC)?.timestamp(), end)?)
}

/// Loads the month, and gives how many seconds bare COPYs of its records took.
async fn load(
    database: &Database,
    superuser: &Client,
    (tenants, instances): (u32, u32),
    month: Window,
    parts: Parts,
) -> Result<Vec<f64>> {
    let begun = Instant::now();
    let say = |what: String| eprintln!("  {:>4} s: {what}", begun.elapsed().as_secs());
    let loading = Month::begin(database, tenants, instances, month.end()).await?;
    let (mut records, mut bare) = (0, Vec::new());
    for part in pieces(instances, parts) {
        records += loading.load(part.clone()).await?;
        say(format!("{records} usage records, up to instance {} of {instances}", part.end - 1));
        if parts != Parts::One {
            // Once before, so that it finds in memory what fits there.
            copy(superuser).await?;
            bare.push(copy(superuser).await?);
            loading.forget_records().await?;
        }
    }
    loading.end().await?;
    plans::apply(database, &plan()?, Timestamp::now()).await?;
    superuser.batch_execute("VACUUM ANALYZE").await?;
    superuser.batch_execute("CHECKPOINT").await?;
    if parts == Parts::One {
        let bytes: i64 = superuser.query_one(ROOM, &[]).await?.try_get("bytes")?;
        say(format!("with keys and indexes, {} bytes a record", bytes.unsigned_abs() / records.max(1)));
        copy(superuser).await?;
        Ok(vec![copy(superuser).await?, copy(superuser).await?])
    } else {
        say("the sums by day are there, the records are not: a close reads none".to_owned());
        Ok(vec![bare.iter().sum()])
    }
}

/// What records and their sums take.
const ROOM: &str =
    "SELECT pg_total_relation_size('usage_record') + pg_total_relation_size('usage_day') AS bytes";

/// Instances by number, from 1.
fn pieces(instances: u32, parts: Parts) -> Vec<Range<u32>> {
    let size = match parts {
        Parts::One => instances.max(1),
        Parts::Of(size) => size,
    };
    (1..=instances)
        .step_by(size as usize)
        .map(|first| first..instances.saturating_add(1).min(first.saturating_add(size)))
        .collect()
}

/// Closes the month with one command, looks whether the invoices say what was used, and gives the seconds.
async fn close(
    superuser: &Client,
    weir: &Path,
    url: &str,
    month: Window,
    tenants: u32,
) -> Result<(f64, Memory)> {
    let period = month.start().to_zoned(TimeZone::UTC).strftime("%Y-%m").to_string();
    let appliance = Appliance::start(weir, url)?;
    // Not before Weir is up: it would begin with the month by itself.
    superuser.execute(ASSIGN, &[&PLAN]).await?;
    let (mut memory, begun) = (Memory::of(appliance.pid())?, Instant::now());
    let command = ["billing", "run", "--period", &period, "--issue", "--early"];
    let run = tokio::task::block_in_place(|| appliance.ask(&command))?;
    let closed = begun.elapsed().as_secs_f64();
    memory.grown_kib = memory.grown(appliance.pid())?;
    ensure!(run["done"] == tenants && run["failed"] == 0, "only {} of {tenants} were billed", run["done"]);
    let outcome = superuser.query_one(OUTCOME, &[]).await?;
    let (issued, differences): (i64, i64) = (outcome.try_get("issued")?, outcome.try_get("differences")?);
    ensure!(issued == i64::from(tenants), "{issued} invoices of {tenants} tenants");
    ensure!(differences == 0, "{differences} meters are not invoiced as they were used");
    Ok((closed, memory))
}

fn plan() -> Result<PricePlan> {
    let cards = MONTH_METERS.iter().enumerate().map(|(n, meter)| {
        let price = if n == 0 { TIERS } else { "unit_price = \"0.0031\"\n" };
        format!("[[version.rate_card]]\nmeter = \"{meter}\"\n{price}")
    });
    let text = format!("{PLAN_HEAD}{}", cards.collect::<String>());
    Ok(PricePlan::parse("bench.toml", text.as_bytes())?)
}

/// The usage of all tenants, cut where a night rate begins and ends: from the windows in the rows of days. As many workers
/// as a billing run has.
async fn bands(database: &Database, month: Window) -> Result<f64> {
    let cuts: Vec<Timestamp> = (0..i64::from(MONTH_DAYS))
        .flat_map(|day| BANDS.map(|hour| month.start() + SignedDuration::from_hours(24 * day + hour)))
        .collect();
    let pieces = Arc::new(month.split_at(&cuts));
    let mut tenants = registry::tenants(database, Scope::Provider).await?;
    tenants.retain(|tenant| tenant.id != TenantId::UNASSIGNED);
    let (tenants, next, now) = (Arc::new(tenants), Arc::new(AtomicUsize::new(0)), Timestamp::now());
    let (begun, mut workers) = (Instant::now(), tokio::task::JoinSet::new());
    for _ in 0..WORKERS {
        let (database, pieces) = (database.clone(), Arc::clone(&pieces));
        let (tenants, next) = (Arc::clone(&tenants), Arc::clone(&next));
        workers.spawn(async move {
            while let Some(tenant) = tenants.get(next.fetch_add(1, Ordering::Relaxed)) {
                let settings = usage_settings();
                let usage = usage::usage_of_period(&database, tenant.id, &pieces, settings, now).await?;
                ensure!(pieces.len() < usage.len(), "{} has no usage", tenant.name);
            }
            Ok(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
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

/// What a process holds; the most it ever held is forgotten first.
struct Memory {
    before_kib: f64,
    grown_kib: f64,
}

impl Memory {
    fn of(pid: u32) -> Result<Self> {
        // 5: forget the most that was ever held (Linux, proc(5)).
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5")
            .context("the peak of memory cannot be reset")?;
        Ok(Self { before_kib: status_kib(pid, "VmRSS:")?, grown_kib: 0.0 })
    }

    fn grown(&self, pid: u32) -> Result<f64> {
        Ok((status_kib(pid, "VmHWM:")? - self.before_kib).max(0.0))
    }
}

fn status_kib(pid: u32, key: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)).context("no such line in status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
