//! A whole small cloud: three tenants in two currencies, a dozen instances with two months of readings, invoices, a budget.
//! For looking at pages; tests that need less make less.

use accounts::Role;
use billing::limits::{Allowed, allowances};
use billing::{Currency, Money, PricePlan, budget, quota};
use jiff::{SignedDuration, Timestamp};
use metering::batch::NoticeKind;
use metering::{InstanceState, MeterName, NodeId, Resource, Window};
use migrations::{Database, Scope};
use nodes::alerts::{self, Alert, Kind};
use usage::corrections::{self, Action, NewCorrection};
use usage::registry::Tenant;
use uuid::Uuid;

use super::node::{Guest, Node, instance_id};
use super::{PLAN, YEN_PLAN, invoice, month, plan, rate, tenant, usage_settings, user};

pub struct World {
    pub acme: Tenant,
    pub globex: Tenant,
    pub tokyo: Tenant,
    pub plan: PricePlan,
    pub yen: PricePlan,
    pub node: Node,
}

/// Makes it. Users: `admin`, `planner`, `ada` of acme, `kim` of tokyo.
pub async fn world(database: &Database, now: Timestamp) -> World {
    let acme = tenant(database, "acme", "ACME Web & Sons", "Europe/Berlin").await;
    let globex = tenant(database, "globex", "Globex", "UTC").await;
    let tokyo = tenant(database, "tokyo", "Tokyo <b>Labs</b>", "Asia/Tokyo").await;
    come_early(database, now).await;
    let (euro, yen) = (plan(database, PLAN).await, plan(database, YEN_PLAN).await);
    user(database, "admin", "Administrator", Role::Provider, None).await;
    user(database, "planner", "Pat", Role::Planner, None).await;
    user(database, "ada", "Ada", Role::Tenant, Some(acme.id)).await;
    user(database, "kim", "Kim <i>O'Neil</i>", Role::Tenant, Some(tokyo.id)).await;
    let born_at = month(&acme, now, 1).start() - SignedDuration::from_hours(26);
    let mut node = Node::new(database.clone(), guests(), born_at);
    let recent = now - SignedDuration::from_hours(2);
    let hour = usage_settings().window.window_of(recent).start();
    node.look(born_at, hour, SignedDuration::from_hours(1)).await;
    node.look(hour, now, SignedDuration::from_secs(60)).await;
    node.derive(database, usage_settings(), now).await;
    for (tenant, plan) in [(&acme, &euro), (&globex, &euro), (&tokyo, &yen)] {
        invoice(database, tenant, plan, month(tenant, now, 1), now).await;
    }
    trouble(database, now).await;
    let world = World { acme, globex, tokyo, plan: euro, yen, node };
    limits(database, &world, now).await;
    usage::capacity::roll_up(database, now).await.unwrap();
    world.rate(database, now).await;
    world
}

impl World {
    /// Rates every tenant's running month.
    pub async fn rate(&self, database: &Database, now: Timestamp) {
        rate(database, &self.acme, &self.plan, now).await;
        rate(database, &self.globex, &self.plan, now).await;
        rate(database, &self.tokyo, &self.yen, now).await;
    }
}

/// The tenants came half a year ago.
async fn come_early(database: &Database, now: Timestamp) {
    let mut session = database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let then = now - SignedDuration::from_hours(180 * 24);
    transaction.execute("UPDATE tenant SET created_at = $1", &[&then]).await.unwrap();
    transaction.commit().await.unwrap();
}

/// A second node that is silent, with a clock that is wrong and a certificate that ends soon; and what is told of it.
pub async fn trouble(database: &Database, now: Timestamp) {
    let node_id = NodeId::from_uuid(Uuid::from_u128(0x5111));
    let hours = SignedDuration::from_hours;
    let mut session = database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let heard_at = now - SignedDuration::from_mins(47);
    transaction
        .execute(
            "INSERT INTO node (node_id, name, state, joined_at, last_heard_at, last_observed_at, last_seq, \
             clock_error_us, clock_error_at, backlog_batches) \
             VALUES ($1, 'rack-7-<b>kvm</b>-12.example.org', 'draining', $2, $3, $4, 48211, 7231000000, $3, 12)",
            &[&node_id.uuid(), &(now - hours(900)), &heard_at, &(heard_at + hours(2))],
        )
        .await
        .unwrap();
    transaction
        .execute(
            "INSERT INTO node_certificate (serial, node_id, fingerprint, issued_at, expires_at) \
             VALUES ('0a', $1, sha256('certificate'), $2, $3)",
            &[&node_id.uuid(), &(now - hours(20)), &(now + hours(4))],
        )
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    for (kind, detail) in [
        (Kind::NodeSilent, "it was last heard 47m ago; it should report every 1m"),
        (Kind::ClockWrong, "its clock is 2h 31s ahead of the control plane's"),
        (Kind::CertificateEnding, "its certificate ends in 4h and was <b>not</b> renewed"),
    ] {
        alerts::raise(database, &Alert::of_node(kind, node_id, detail), now - hours(3)).await.unwrap();
    }
    let hangs = Alert {
        instance_id: Some(instance_id(3)),
        subject: format!("instance/{}", instance_id(3)),
        ..Alert::of_node(
            Kind::Notice(NoticeKind::InstanceHangs),
            node_id,
            "its monitor has not answered for 40 s; all others were read on time",
        )
    };
    alerts::raise(database, &hangs, now).await.unwrap();
    alerts::raise(database, &hangs, now).await.unwrap();
}

async fn limits(database: &Database, world: &World, now: Timestamp) {
    let amount = Money::exact("180.00".parse().unwrap(), Currency::EUR).unwrap();
    budget::set(database, Scope::Provider, world.acme.id, amount, None, now).await.unwrap();
    let limits = quota::Limits { instances: Some(10), vcpus: Some(24), memory_kib: Some(64 << 20) };
    quota::set(database, world.acme.id, &limits, None, now).await.unwrap();
    let guests = world.node.guests.iter().enumerate();
    let held = guests.filter(|(_, guest)| guest.tenant.as_deref() == Some("acme")).map(|(number, guest)| {
        let (vcpus, memory_kib) = (guest.vcpus, guest.memory_kib);
        quota::Existing { instance_id: instance_id(number), tenant_id: world.acme.id, vcpus, memory_kib }
    });
    quota::reconcile(database, &held.collect::<Vec<_>>(), now, now).await.unwrap();
    allowed(database, world, now).await;
    corrected(database, now).await;
}

/// Allowances of acme: the provider's on money, which pauses, and two of its own.
async fn allowed(database: &Database, world: &World, now: Timestamp) {
    let acme = world.acme.id;
    let own = Scope::Tenant(acme.uuid());
    let money = Allowed::Money(Money::exact("60.00".parse().unwrap(), Currency::EUR).unwrap());
    let of =
        |meter: &str, quantity: i64| Allowed::Quantity(MeterName::parse(meter).unwrap(), quantity.into());
    for (scope, name, allowed, thresholds) in [
        (Scope::Provider, "spending", money, "50 80 100:suspend forecast:100"),
        (own, "cpu-time", of("cpu_ns", 1_500), "50 90 forecast:100"),
        (own, "traffic-out", of("net_tx_bytes", 100_000), "80"),
    ] {
        let thresholds = thresholds.split(' ').map(|text| text.parse().unwrap()).collect();
        allowances::set(database, scope, acme, name, allowed, thresholds, None, now).await.unwrap();
    }
}

/// What the provider corrected of acme's database server.
async fn corrected(database: &Database, now: Timestamp) {
    let length = usage_settings().window;
    let start = length.window_of(now - SignedDuration::from_hours(60)).start();
    let resource = Resource::Instance(instance_id(2));
    let meter = MeterName::parse("cpu_ns").unwrap();
    for (n, action, from, to, reason) in [
        (1, Action::Exclude, 0, 4, "Our host was at fault: its clock source made guests spin."),
        (
            2,
            Action::Add(3_600_000_000_000),
            6,
            8,
            "Not metered while the host was moved; as agreed by telephone.",
        ),
        (3, Action::Annotate, 9, 10, "A <b>test</b> of the restore; it counts."),
        (4, Action::Exclude, 12, 14, "Wrong machine"),
    ] {
        let at = |hours| start + SignedDuration::from_hours(hours);
        let window = Window::new(at(from), at(to)).unwrap();
        let (id, author) = (Uuid::from_u128(n), "admin");
        let new = NewCorrection { id, resource: &resource, meter, window, action, reason, author };
        corrections::correct(database, &new, usage_settings(), now).await.unwrap();
    }
    let said = (Uuid::from_u128(9), "It was the other machine.", "admin");
    corrections::withdraw(database, Uuid::from_u128(4), said, now).await.unwrap();
}

fn guests() -> Vec<Guest> {
    use InstanceState::{Paused, Running, Stopped};
    let mut guests = vec![
        Guest::new("web-1", Some("acme"), 2, 4_096, Running),
        Guest::new("web-2", Some("acme"), 2, 4_096, Running),
        Guest::new("database", Some("acme"), 4, 16_384, Running),
        Guest::new("batch <b>\"jobs\"</b> & co", Some("acme"), 8, 8_192, Paused),
        Guest::new("old-shop", Some("acme"), 1, 1_536, Stopped),
        Guest::new("build", Some("globex"), 4, 8_192, Running),
        Guest::new("mail", Some("globex"), 1, 512, Running),
        Guest::new(
            "a-very-long-name-that-somebody-gave-to-an-instance-because-nothing-stopped-them-from-it",
            Some("tokyo"),
            2,
            2_048,
            Running,
        ),
        Guest::new("nobodys", None, 1, 1_024, Running),
    ];
    guests.extend((1..=60).map(|n| Guest::new(&format!("worker-{n:02}"), Some("tokyo"), 1, 1_024, Stopped)));
    guests
}
