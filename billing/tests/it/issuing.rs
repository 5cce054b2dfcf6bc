//! Issuing on a real PostgreSQL: idempotent, gapless, in parallel, with connections killed in between.

use std::sync::{Arc, LazyLock};

use billing::invoice::lifecycle;
use billing::invoices;
use billing::plans::{self, Applied};
use billing::{
    Basis, Bill, Buyer, Desk, InvoiceId, InvoiceStatus, IssueError, Issued, Party, PricePlan, Series,
    Taxation, issue,
};
use jiff::{SignedDuration, Timestamp};
use metering::{MeterName, TenantId, TenantName, UsageRecord, Window};
use migrations::testing::TestDatabase;
use migrations::{Database, Scope};
use uuid::Uuid;

use crate::common::{november, october, plan, record, usage};

pub struct World {
    pub database: TestDatabase,
    pub plan: PricePlan,
    pub usage: Vec<UsageRecord>,
}

pub fn seller() -> Party {
    Party {
        name: "A <seller> & \"sons\"\n😀".to_owned(),
        address: vec!["1 Weir Lane".to_owned()],
        tax_number: Some("DE000000000".to_owned()),
        ..Party::default()
    }
}

static SERIES: LazyLock<Series> = LazyLock::new(Series::default);

/// Somebody who works with invoices.
pub fn desk() -> Desk<'static> {
    Desk { actor: "a test", series: &SERIES }
}

/// What the plan itself says of taxes.
pub fn taxation(plan: &PricePlan) -> Taxation {
    Taxation::fixed(plan.tax().expect("the plan says so"))
}

/// The bill of somebody in Berlin.
pub fn bill<'a>(
    plan: &'a PricePlan,
    usage: &'a [UsageRecord],
    period: Window,
    seller: &'a Party,
    taxation: &'a Taxation,
) -> Bill<'a> {
    let buyer = Buyer {
        tenant: TenantName::new("acme").unwrap(),
        party: Party { name: "A \u{0}<b>\"Ltd\"</b>\n😀".to_owned(), ..Party::default() },
        time_zone: "Europe/Berlin".to_owned(),
    };
    let invoice_id = InvoiceId::new();
    Bill { invoice_id, seller, buyer, plan, usage, samples: &[], period, exchange: None, taxation }
}

/// A database with a plan and usage, and no tenant yet.
pub async fn world() -> World {
    let database = migrations::testing::database().await;
    let plan = plan("cpu_ns 0.04 included 10\nrunning_ms 0.05");
    plans::apply(&database, &plan, november()).await.unwrap();
    let usage = usage("web cpu_ns 2026-10-01T00 44444440800000\nweb running_ms 2026-10-01T00 3600000");
    World { database, plan, usage }
}

impl World {
    pub async fn tenant(&self, name: &str) -> TenantId {
        let id = Uuid::new_v4();
        let mut session = self.database.session().await.unwrap();
        let transaction = session.begin(Scope::Provider).await.unwrap();
        transaction
            .execute(
                "INSERT INTO tenant (tenant_id, name, display_name, time_zone) VALUES ($1, $2, $3, 'Europe/Berlin')",
                &[&id, &name, &format!("{name} <b>\"Ltd\"</b>\n😀 {}", "x".repeat(10_000))],
            )
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        TenantId::from_uuid(id)
    }

    pub async fn issue(&self, tenant: TenantId, period: Window) -> Result<Issued, IssueError> {
        let usage: &[UsageRecord] = if period == october() { &self.usage } else { &[] };
        self.issue_by(tenant, &self.plan, usage, period, november()).await
    }

    pub async fn issue_by(
        &self,
        tenant: TenantId,
        plan: &PricePlan,
        usage: &[UsageRecord],
        period: Window,
        now: Timestamp,
    ) -> Result<Issued, IssueError> {
        let (seller, taxation) = (seller(), taxation(plan));
        let bill = bill(plan, usage, period, &seller, &taxation);
        issue(&self.database, tenant, bill, Basis::default(), &desk(), now).await
    }
}

#[tokio::test]
async fn issuing_twice_gives_one_invoice_and_the_same_bytes() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    let Issued::New(first) = world.issue(tenant, october()).await.unwrap() else {
        panic!("the first is new");
    };
    assert_eq!(first.document.number.as_deref(), Some("INV-2026-000001"));
    assert_eq!(first.document.status, InvoiceStatus::Issued);
    assert_eq!(first.document.seller, seller());
    assert_eq!(first.document.time_zone, "Europe/Berlin");
    let Issued::Already(second) = world.issue(tenant, october()).await.unwrap() else {
        panic!("the second is the first");
    };
    assert_eq!(second, first);
    // Later usage, or another plan, changes nothing that was issued.
    let more = world.issue_by(tenant, &plan("cpu_ns 0.99"), &[], october(), november()).await;
    assert_eq!(more.unwrap(), Issued::Already(first.clone()));

    let found = invoices::find(&world.database, Scope::Provider, "INV-2026-000001").await.unwrap().unwrap();
    assert_eq!(found.document_json, first.document_json);
    let listed = invoices::list(&world.database, Scope::Provider, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].total, first.document.total);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_who_issue_the_same_period_at_once_get_one_invoice() {
    let world = Arc::new(world().await);
    let tenant = world.tenant("acme").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let world = Arc::clone(&world);
        tasks.spawn(async move { world.issue(tenant, october()).await.unwrap() });
    }
    let issued = tasks.join_all().await;
    assert_eq!(issued.iter().filter(|issued| matches!(issued, Issued::New(_))).count(), 1);
    assert!(issued.iter().all(|one| one.invoice() == issued[0].invoice()));
}

#[tokio::test]
async fn two_periods_that_overlap_are_never_both_invoiced() {
    let world = world().await;
    let (acme, other) = (world.tenant("acme").await, world.tenant("other").await);
    world.issue(acme, october()).await.unwrap();
    let day = SignedDuration::from_hours(24);
    for period in [
        Window::new(october().start(), october().end() - day),
        Window::new(october().start() - day, october().end()),
        Window::new(october().end() - day, october().end() + day),
    ] {
        let error =
            world.issue_by(acme, &world.plan, &[], period.unwrap(), november() + day * 30).await.unwrap_err();
        assert!(error.to_string().starts_with("INV-2026-000001 bills tenant acme for"), "{error}");
    }
    // The next period touches it and does not overlap; and other tenants have periods of their own.
    let next = Window::new(october().end(), october().end() + day).unwrap();
    let error = world.issue(acme, next).await.unwrap_err();
    assert!(matches!(error, IssueError::Nothing { .. }), "{error}");
    assert!(matches!(world.issue(other, october()).await.unwrap(), Issued::New(_)));
}

#[tokio::test]
async fn what_cannot_be_invoiced_says_why_and_takes_no_number() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    let error = world.issue(TenantId::UNASSIGNED, october()).await.unwrap_err();
    assert!(matches!(error, IssueError::Unassigned), "{error}");
    let error = world.issue(TenantId::from_uuid(Uuid::new_v4()), october()).await.unwrap_err();
    assert!(matches!(error, IssueError::NoTenant(_)), "{error}");
    let too_early = october().end() - SignedDuration::from_micros(1);
    let issued = world.issue_by(tenant, &world.plan, &world.usage, october(), too_early).await;
    assert!(matches!(issued.unwrap_err(), IssueError::Period(_)));
    let unknown = plan("cpu_ns 0.99");
    let issued = world.issue_by(tenant, &unknown, &world.usage, october(), november()).await;
    assert!(matches!(issued.unwrap_err(), IssueError::PlanNotApplied(_)));
    let september =
        Window::new(october().start() - SignedDuration::from_hours(24), october().start()).unwrap();
    let issued = world.issue_by(tenant, &world.plan, &world.usage, september, november()).await;
    assert!(matches!(issued.unwrap_err(), IssueError::Rating(_)));

    let first = world.issue(tenant, october()).await.unwrap();
    assert_eq!(first.invoice().document.number.as_deref(), Some("INV-2026-000001"));
}

#[tokio::test]
async fn a_new_year_on_the_document_begins_a_new_series() {
    let world = world().await;
    for (name, now, number) in [
        ("a", "2026-12-31T22:59:59.999999Z", "INV-2026-000001"),
        ("b", "2026-12-31T23:00:00Z", "INV-2027-000001"),
        ("c", "2027-01-01T00:00:01Z", "INV-2027-000002"),
    ] {
        let tenant = world.tenant(name).await;
        let now: Timestamp = now.parse().unwrap();
        let issued = world.issue_by(tenant, &world.plan, &world.usage, october(), now).await;
        assert_eq!(issued.unwrap().invoice().document.number.as_deref(), Some(number));
    }
}

#[tokio::test]
async fn plans_are_kept_word_for_word_and_applying_twice_is_applying_once() {
    let database = migrations::testing::database().await;
    let (one, two) = (plan("cpu_ns 0.04"), plan("cpu_ns 0.05"));
    let apply = |plan| plans::apply(&database, plan, november());
    assert_eq!(apply(&one).await.unwrap(), Applied::New { revision: 1 });
    assert_eq!(apply(&one).await.unwrap(), Applied::Unchanged { revision: 1 });
    assert_eq!(apply(&two).await.unwrap(), Applied::New { revision: 2 });
    assert_eq!(apply(&one).await.unwrap(), Applied::New { revision: 3 });
    assert_eq!(plans::get(&database, "test").await.unwrap(), Some(one));
    let listed = plans::list(&database).await.unwrap();
    assert_eq!(
        listed.iter().map(|plan| (plan.name.as_str(), plan.revision)).collect::<Vec<_>>(),
        [("test", 3)]
    );
    for hostile in ["", "nope", "' OR 1=1 --", "a\0b", "😀", &"x".repeat(10_000)] {
        assert_eq!(plans::get(&database, hostile).await.unwrap(), None);
        assert!(invoices::find(&database, Scope::Provider, hostile).await.unwrap().is_none());
        assert!(lifecycle::void(&database, hostile, "a slip", &desk(), november()).await.is_err());
        assert!(!lifecycle::mark_sent(&database, hostile, november()).await.unwrap());
    }
}

/// How many invoices the storm issues, and by how many tasks.
const STORM: usize = 1_000;
pub const TASKS: usize = 8;

/// How many connections are killed at most: killed faster than they are made, nobody would ever get one.
const KILLS_MAX: i64 = 60;

/// Issues [`STORM`] invoices of as many seconds, for [`TASKS`] tenants at once; every one is tried until it is there.
async fn storm(world: Arc<World>, tenants: Vec<TenantId>, stop_kills: tokio::sync::watch::Sender<bool>) {
    let cpu = MeterName::parse("cpu_ns").unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for tenant in tenants {
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            for n in 0..STORM / TASKS {
                let start = october().start() + SignedDuration::from_secs(n as i64);
                let period = Window::new(start, start + SignedDuration::from_secs(1)).unwrap();
                let usage = [record("web", cpu, period, 40_000_000_000_000)];
                loop {
                    match world.issue_by(tenant, &world.plan, &usage, period, november()).await {
                        Ok(_) => break,
                        Err(error) if error.is_transient() => {}
                        Err(error) => panic!("{error}: {error:?}"),
                    }
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let _ = stop_kills.send(true);
}

pub async fn tenants(world: &World) -> Vec<TenantId> {
    let mut tenants = Vec::new();
    for task in 0..TASKS {
        tenants.push(world.tenant(&format!("t{task}")).await);
    }
    tenants
}

async fn assert_gapless(database: &Database) {
    let mut session = database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let row = transaction
        .query_one(
            "SELECT count(*) AS invoices, count(DISTINCT number) AS numbers, min(series_number) AS first,
                    max(series_number) AS last, (SELECT last_number FROM invoice_series) AS taken,
                    count(*) FILTER (WHERE status <> 'issued') AS drafts,
                    (SELECT count(*) FROM mail_outbox) AS mails
             FROM invoice",
            &[],
        )
        .await
        .unwrap();
    let get = |column| row.get::<_, i64>(column);
    let all = STORM as i64;
    assert_eq!((get("invoices"), get("numbers"), get("first"), get("last")), (all, all, 1, all));
    assert_eq!((get("taken"), get("drafts"), get("mails")), (all, 0, all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_invoices_at_once_leave_no_gap_and_no_duplicate() {
    let world = Arc::new(world().await);
    let tenants = tenants(&world).await;
    storm(Arc::clone(&world), tenants, tokio::sync::watch::channel(false).0).await;
    assert_gapless(&world.database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_invoices_while_connections_are_killed_leave_no_gap_and_no_duplicate() {
    let world = Arc::new(world().await);
    let tenants = tenants(&world).await;
    let killer = world.database.owner_client().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let kills = tokio::spawn(async move {
        let mut killed = 0;
        while killed < KILLS_MAX && !*stopped.borrow() {
            let row = killer
                .query_one(
                    "SELECT count(pg_terminate_backend(pid)) AS killed FROM (
                         SELECT pid FROM pg_stat_activity
                         WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
                         ORDER BY random() LIMIT 1) AS victims",
                    &[],
                )
                .await
                .unwrap();
            killed += row.get::<_, i64>("killed");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        killed
    });
    storm(Arc::clone(&world), tenants, stop).await;
    let killed = kills.await.unwrap();
    assert!(20 < killed, "only {killed} connections were killed: the test showed nothing");
    assert_gapless(&world.database).await;
}
