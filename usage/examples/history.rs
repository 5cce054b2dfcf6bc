//! How long the statements behind pages take over a long past: a private PostgreSQL as Weir runs it, `load_history`, each asked some
//! times. `cargo run -p usage --example history -- TENANTS INSTANCES DAYS`. It judges nothing.

use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};
use metering::{MeterName, Resource, TenantId, Window, WindowLength};
use migrations::cluster::{ClusterOptions, PrivateCluster};
use migrations::{Database, PoolLimits, Scope};
use usage::days::DayQuery;
use usage::registry::{InstanceCursor, InstanceQuery};
use usage::{UsageSettings, bench, capacity, days, readings, records, registry, why};

/// How often each is asked.
const TIMES: usize = 20;

async fn measure<T, E: std::fmt::Debug>(name: &str, ask: impl AsyncFn() -> Result<T, E>) -> T {
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..TIMES {
        let started = Instant::now();
        last = Some(ask().await.expect(name));
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!("{name:<50} median {:>8.2} ms   worst {:>8.2} ms", times[TIMES / 2], times[TIMES - 1]);
    last.expect("asked more than never")
}

#[tokio::main]
async fn main() {
    let args: Vec<u32> = std::env::args().skip(1).map(|arg| arg.parse().expect("a number")).collect();
    let [tenants, instances, days_back] = args[..] else {
        panic!("say how many tenants, instances and days");
    };
    let folder = tempfile::Builder::new().prefix("weir-history-").tempdir_in("/var/tmp").expect("a folder");
    // PostgreSQL's user must be able to pass.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).expect("permissions");
    let cluster = PrivateCluster::start(ClusterOptions::new(folder.path())).await.expect("a cluster");
    migrations::migrate(cluster.url()).await.expect("migrated");
    let db = Database::connect(cluster.url(), PoolLimits::default()).await.expect("connected");
    let until: Timestamp = "2026-11-21T00:00:00Z".parse().expect("an instant");
    let started = Instant::now();
    let loaded = bench::load_history(&db, tenants, instances, days_back, until).await.expect("loaded");
    println!("{loaded} usage records in {:.1} s", started.elapsed().as_secs_f64());
    ask_all(&db, until).await;
    db.close();
    cluster.stop().await;
}

async fn ask_all(db: &Database, until: Timestamp) {
    let settings =
        UsageSettings { window: WindowLength::HOUR, tolerance: std::time::Duration::from_secs(150) };
    let tenant = registry::find_tenant(db, Scope::Provider, "bench-0001").await.expect("the first one");
    let (own, id) = (Scope::Tenant(tenant.id.uuid()), Some(tenant.id));
    let to: Date = "2026-11-22".parse().expect("a date");
    let month = |tenant: Option<TenantId>| DayQuery { tenant, resource: None, from: to - 21.days(), to };
    let long = |tenant: Option<TenantId>| DayQuery { from: to - 60.days(), ..month(tenant) };
    let cpu = MeterName::parse("cpu_ns").expect("a meter");
    measure("days::by_day, month, provider", async || days::by_day(db, Scope::Provider, &month(None)).await)
        .await;
    measure("days::by_day, 60 days, provider", async || days::by_day(db, Scope::Provider, &long(None)).await)
        .await;
    measure("days::by_day, month, tenant", async || days::by_day(db, own, &month(None)).await).await;
    measure("days::by_tenant, month, provider", async || {
        days::by_tenant(db, Scope::Provider, to - 21.days(), to).await
    })
    .await;
    let first = measure("registry::instances_page, provider", async || {
        registry::instances_page(
            db,
            Scope::Provider,
            &InstanceQuery { limit: 50, ..InstanceQuery::default() },
        )
        .await
    })
    .await;
    measure("registry::instances_page, tenant", async || {
        registry::instances_page(db, own, &InstanceQuery { limit: 50, ..InstanceQuery::default() }).await
    })
    .await;
    let after = Some(InstanceCursor { name: "bench-000900".into(), id: first.items[0].id });
    measure("registry::instances_page, deep", async || {
        let query = InstanceQuery { limit: 50, after: after.clone(), ..InstanceQuery::default() };
        registry::instances_page(db, Scope::Provider, &query).await
    })
    .await;
    measure("registry::instances_page, search", async || {
        let query = InstanceQuery { limit: 50, search: Some("0099"), ..InstanceQuery::default() };
        registry::instances_page(db, Scope::Provider, &query).await
    })
    .await;
    measure("registry::tenants_page", async || {
        registry::tenants_page(
            db,
            Scope::Provider,
            &registry::TenantQuery { limit: 50, ..Default::default() },
        )
        .await
    })
    .await;
    measure("readings::latest, provider", async || readings::latest(db, Scope::Provider).await).await;
    measure("readings::latest, tenant", async || readings::latest(db, own).await).await;
    measure("days::by_resource, month, tenant", async || days::by_resource(db, own, &month(id), cpu).await)
        .await;
    measure("days::by_resource, month, provider", async || {
        days::by_resource(db, Scope::Provider, &month(None), cpu).await
    })
    .await;
    let of_tenant = InstanceQuery { tenant: id, limit: 1, ..InstanceQuery::default() };
    let found = registry::instances_page(db, Scope::Provider, &of_tenant).await.expect("a page");
    let instance = found.items[0].id;
    let one = DayQuery { resource: Some(instance.uuid()), ..month(None) };
    measure("days::by_day, one instance, tenant", async || days::by_day(db, own, &one).await).await;
    measure("days::by_day, one instance, provider", async || days::by_day(db, Scope::Provider, &one).await)
        .await;
    measure("capacity::nodes", async || capacity::nodes(db).await).await;
    let period = Window::new(until - SignedDuration::from_hours(24 * 18 + 5), until).expect("a period");
    measure("why::resources_of, 18 days 5 h", async || {
        why::resources_of(db, own, tenant.id, cpu, period, settings, until).await
    })
    .await;
    let resource = Resource::Instance(instance);
    measure("why::windows_of, 18 days", async || {
        why::windows_of(db, own, tenant.id, &resource, cpu, period, settings, until).await
    })
    .await;
    let started = Instant::now();
    records::usage_of(db, tenant.id, &[period], settings, until).await.expect("usage");
    println!(
        "{:<50} once   {:>8.2} ms (rating)",
        "records::usage_of, 18 days",
        started.elapsed().as_secs_f64() * 1e3
    );
}
