//! A small cloud in a database of its own, for tests that look at it through `weir up`: two tenants and nobody's, their
//! instances with more than 50 days of readings, usage, an issued invoice each, a budget, a quota, and somebody of each role.
//! It is made with the portal's own tests' means.

#[path = "../../../dashboards/tests/support/mod.rs"]
mod support;

use accounts::Role;
use billing::{Currency, Money, PricePlan, budget, drafts, quota};
use jiff::{SignedDuration, Timestamp};
use metering::InstanceId;
use metering::InstanceState::{Paused, Running, Stopped};
use migrations::testing::TestDatabase;
use migrations::{Database, Scope};
use support::node::{Guest, Node};
use support::{PLAN, invoice, month, plan, rate, tenant, usage_settings, user};
use tokio::runtime::Runtime;
use usage::registry::Tenant;

pub use support::PASSWORD;

/// An instance's name that would be markup, were it not text.
pub const MARKUP: &str = "batch <b onclick=\"alert(1)\">'jobs'</b> & co";
/// Instances, by their number: acme's first one, and globex's.
pub const WEB: usize = 0;
pub const BUILD: usize = 4;

/// How long the node itself is read by the hour: a forecast needs a week of complete days, and a day is complete a day later.
const OBSERVED: SignedDuration = SignedDuration::from_hours(12 * 24);

/// The cloud. Users: `admin`, `planner`, `ada` of acme.
pub struct Cloud {
    pub database: TestDatabase,
    /// The number of acme's invoice of the last month.
    pub number: String,
    runtime: Runtime,
}

/// The id of an instance by its number.
pub fn instance_id(number: usize) -> InstanceId {
    support::node::instance_id(number)
}

impl Cloud {
    /// Makes it.
    pub fn make() -> Self {
        let runtime = Runtime::new().unwrap();
        let (database, number) = runtime.block_on(async {
            let database = migrations::testing::database().await;
            let number = fill(&database, Timestamp::now()).await;
            (database, number)
        });
        Self { database, number, runtime }
    }

    /// A session of a further administrator. Returns the cookie's value.
    pub fn another_admin(&self) -> String {
        self.runtime.block_on(support::session(&self.database, "second", Role::Provider, None))
    }

    /// What each tenant owes for the running month so far.
    pub fn months_to_date(&self) -> Vec<(String, Money)> {
        let list = drafts::list(&self.database, Scope::Provider, Timestamp::now());
        let drafts = self.runtime.block_on(list).unwrap();
        drafts.into_iter().map(|draft| (draft.tenant.to_string(), draft.total)).collect()
    }
}

/// Returns the number of acme's invoice.
async fn fill(database: &TestDatabase, now: Timestamp) -> String {
    let acme = tenant(database, "acme", "ACME Web & Sons", "Europe/Berlin").await;
    let globex = tenant(database, "globex", "Globex <b>Corporation</b>", "UTC").await;
    let euro = plan(database, PLAN).await;
    user(database, "admin", "Administrator", Role::Provider, None).await;
    user(database, "planner", "Capacity planner", Role::Planner, None).await;
    user(database, "ada", "Ada <i>L.</i>", Role::Tenant, Some(acme.id)).await;
    let node = history(database.database(), &acme, now).await;
    node.derive(database, usage_settings(), now).await;
    usage::capacity::roll_up(database, now).await.unwrap();
    let number = bill(database, &acme, &euro, now).await;
    bill(database, &globex, &euro, now).await;
    let amount = Money::exact("180.00".parse().unwrap(), Currency::EUR).unwrap();
    budget::set(database, Scope::Provider, acme.id, amount, None, now).await.unwrap();
    let limits = quota::Limits { instances: Some(10), vcpus: Some(24), memory_kib: Some(64 << 20) };
    quota::set(database, acme.id, &limits, None, now).await.unwrap();
    number
}

/// Readings by the hour since before the last month, and by the minute of the last two hours. A batch has one reading of the
/// node itself: each look of the last days is a batch of its own, so that days of the node are observed.
async fn history(database: Database, acme: &Tenant, now: Timestamp) -> Node {
    let guests = vec![
        Guest::new("web-1", Some("acme"), 2, 4_096, Running),
        Guest::new("database", Some("acme"), 4, 16_384, Running),
        Guest::new(MARKUP, Some("acme"), 8, 8_192, Paused),
        Guest::new("old-shop", Some("acme"), 1, 1_536, Stopped),
        Guest::new(
            "a-very-long-name-that-somebody-gave-to-an-instance-because-nothing-stopped-them-from-it",
            Some("globex"),
            4,
            8_192,
            Running,
        ),
        Guest::new("nobodys", None, 1, 1_024, Running),
    ];
    let born_at = month(acme, now, 1).start() - SignedDuration::from_hours(26);
    let mut node = Node::new(database, guests, born_at);
    let hour = usage_settings().window.window_of(now - SignedDuration::from_hours(2)).start();
    let mut at = hour - OBSERVED;
    node.look(born_at, at, SignedDuration::from_hours(1)).await;
    while at < hour {
        node.look_at(&[at]).await;
        at += SignedDuration::from_hours(1);
    }
    node.look(hour, now, SignedDuration::from_mins(1)).await;
    node
}

/// Issues the last month's invoice and rates the running month. Returns the invoice's number.
async fn bill(database: &TestDatabase, tenant: &Tenant, plan: &PricePlan, now: Timestamp) -> String {
    let number = invoice(database, tenant, plan, month(tenant, now, 1), now).await;
    rate(database, tenant, plan, now).await;
    number
}
