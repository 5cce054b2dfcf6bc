//! Allowances on a real PostgreSQL: each threshold once, with its mail, its event and what is to be done, or not at all.

use std::sync::Arc;

use billing::Money;
use billing::limits::allowances::{self, Allowance, Crossing, MonthToDate, Owner, SetError};
use billing::limits::{ALLOWANCES_MAX, Action, Allowed, Invalid, Threshold, actions, throttled};
use billing::money::Currency;
use billing::store::invoices::StoreError;
use jiff::Timestamp;
use metering::{InstanceId, MeterName, TenantId, UsageRecord};
use migrations::Scope;
use uuid::Uuid;

use crate::common::{october, record};
use crate::issuing::{World, world};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn euros(text: &str) -> Money {
    Money::exact(text.parse().unwrap(), Currency::EUR).unwrap()
}

/// `net_tx_bytes 10` or `EUR 100`
fn allowed(text: &str) -> Allowed {
    match text.split_once(' ').unwrap() {
        ("EUR", amount) => Allowed::Money(euros(amount)),
        (meter, quantity) => Allowed::Quantity(MeterName::parse(meter).unwrap(), quantity.parse().unwrap()),
    }
}

fn thresholds(text: &str) -> Vec<Threshold> {
    text.split_whitespace().map(|text| text.parse().unwrap()).collect()
}

async fn try_set(
    world: &World,
    scope: Scope,
    tenant: TenantId,
    name: &str,
    what: &str,
    when: &str,
) -> Result<Allowance, SetError> {
    let now = at("2026-10-01T00:00:00Z");
    allowances::set(&world.database, scope, tenant, name, allowed(what), thresholds(when), None, now).await
}

async fn set(world: &World, tenant: TenantId, name: &str, what: &str, when: &str) -> Allowance {
    try_set(world, Scope::Provider, tenant, name, what, when).await.unwrap()
}

/// Gibibytes that were sent in October.
fn sent(gib: u64) -> Vec<UsageRecord> {
    let meter = MeterName::parse("net_tx_bytes").unwrap();
    vec![record("web", meter, october(), gib * meter.meter().priced_unit.base_units)]
}

async fn try_note(
    world: &World,
    tenant: TenantId,
    spent: &str,
    gib: u64,
    now: &str,
) -> Result<Vec<Crossing>, StoreError> {
    let usage = sent(gib);
    let month = MonthToDate { period: october(), spent: euros(spent), usage: &usage };
    allowances::note(&world.database, tenant, &month, at(now)).await
}

/// What is crossed: `traffic 80:notify`.
async fn note(world: &World, tenant: TenantId, spent: &str, gib: u64, now: &str) -> Vec<String> {
    let crossed = try_note(world, tenant, spent, gib, now).await.unwrap();
    crossed.iter().map(|crossing| format!("{} {}", crossing.name, crossing.threshold)).collect()
}

/// What is in force: `traffic 100:stop`.
async fn open(world: &World, scope: Scope, tenant: TenantId) -> Vec<String> {
    let open = actions::open(&world.database, scope, Some(tenant)).await.unwrap();
    open.iter().map(|action| format!("{} {}", action.allowance, action.threshold)).collect()
}

async fn count(world: &World, what: &str) -> i64 {
    let owner = world.database.owner_client().await;
    owner.batch_execute("SET weir.scope = 'provider'").await.unwrap();
    owner.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
}

const NOON: &str = "2026-10-11T00:00:00Z";

#[tokio::test]
async fn each_threshold_is_crossed_once_with_its_mail_its_event_and_what_is_to_be_done() {
    let world = world().await;
    let (acme, other) = (world.tenant("acme").await, world.tenant("other").await);
    set(&world, acme, "traffic", "net_tx_bytes 100", "80 100:stop forecast:100").await;
    set(&world, acme, "money", "EUR 50", "50 100:suspend").await;
    set(&world, other, "traffic", "net_tx_bytes 1", "100").await;
    // Ten of 31 days: 30 of 100 would be 93 by the end, 33 would be 102.
    assert_eq!(note(&world, acme, "24.99", 30, NOON).await, [""; 0]);
    assert_eq!(
        note(&world, acme, "25.00", 33, NOON).await,
        ["money 50:notify", "traffic forecast:100:notify"]
    );
    assert_eq!(note(&world, acme, "25.00", 80, NOON).await, ["traffic 80:notify"]);
    assert_eq!(note(&world, acme, "25.00", 99, NOON).await, [""; 0]);
    assert_eq!(open(&world, Scope::Provider, acme).await, [""; 0]);
    assert_eq!(note(&world, acme, "49.99", 100, NOON).await, ["traffic 100:stop"]);
    assert_eq!(note(&world, acme, "500.00", 1_000, NOON).await, ["money 100:suspend"]);
    assert_eq!(note(&world, acme, "500.00", 1_000, NOON).await, [""; 0]);
    assert_eq!(open(&world, Scope::Provider, acme).await, ["traffic 100:stop", "money 100:suspend"]);
    assert_eq!(open(&world, Scope::Tenant(acme.uuid()), acme).await.len(), 2);
    assert_eq!(open(&world, Scope::Tenant(other.uuid()), acme).await.len(), 0);
    assert_eq!(count(&world, "mail_outbox WHERE kind = 'allowance'").await, 5);
    assert_eq!(count(&world, "webhook_event WHERE type = 'allowance.crossed'").await, 5);
    let crossings =
        allowances::crossings(&world.database, Scope::Provider, acme, october().start()).await.unwrap();
    assert_eq!(crossings.len(), 5);
    let stop = crossings.iter().find(|crossing| crossing.threshold.action == Action::Stop).unwrap();
    assert_eq!(
        (stop.consumed.to_string(), stop.allowed.to_string(), stop.unit.as_str()),
        ("100".into(), "100".into(), "GiB")
    );
    let forecast =
        crossings.iter().find(|crossing| crossing.threshold.to_string().starts_with("forecast")).unwrap();
    assert_eq!(forecast.consumed.to_string(), "102.299999", "rounded down");
    let as_other =
        allowances::crossings(&world.database, Scope::Tenant(other.uuid()), acme, october().start()).await;
    assert_eq!(as_other.unwrap(), []);
}

#[tokio::test]
async fn what_was_done_ends_with_a_higher_allowance_with_its_removal_and_with_the_month() {
    let world = world().await;
    let acme = world.tenant("acme").await;
    set(&world, acme, "traffic", "net_tx_bytes 10", "100:stop").await;
    assert_eq!(note(&world, acme, "0", 10, NOON).await, ["traffic 100:stop"]);
    // Higher, but not high enough: it is crossed anew, and nothing is let go in between.
    set(&world, acme, "traffic", "net_tx_bytes 10", "90:stop").await;
    assert_eq!(open(&world, Scope::Provider, acme).await, ["traffic 100:stop"]);
    assert_eq!(note(&world, acme, "0", 10, NOON).await, ["traffic 90:stop"]);
    assert_eq!(open(&world, Scope::Provider, acme).await, ["traffic 90:stop"]);
    set(&world, acme, "traffic", "net_tx_bytes 20", "90:stop").await;
    assert_eq!(note(&world, acme, "0", 10, NOON).await, [""; 0]);
    assert_eq!(open(&world, Scope::Provider, acme).await, [""; 0]);
    // Removed.
    assert_eq!(note(&world, acme, "0", 20, NOON).await, ["traffic 90:stop"]);
    let now = at(NOON);
    assert!(allowances::remove(&world.database, Scope::Provider, acme, "traffic", None, now).await.unwrap());
    assert!(!allowances::remove(&world.database, Scope::Provider, acme, "traffic", None, now).await.unwrap());
    assert_eq!(actions::end_over(&world.database, now).await.unwrap(), 1);
    assert_eq!(open(&world, Scope::Provider, acme).await, [""; 0]);
    // It comes back as another one.
    assert_eq!(set(&world, acme, "traffic", "net_tx_bytes 20", "90:stop").await.revision, 5);
    assert_eq!(note(&world, acme, "0", 20, NOON).await, ["traffic 90:stop"]);
    let end = october().end();
    assert_eq!(
        actions::end_over(&world.database, end - jiff::SignedDuration::from_micros(1)).await.unwrap(),
        0
    );
    assert_eq!(actions::end_over(&world.database, end).await.unwrap(), 1);
    // A month that is over is told, and nothing is done about it.
    set(&world, acme, "late", "net_tx_bytes 20", "100:stop").await;
    assert_eq!(note(&world, acme, "0", 20, "2026-11-01T00:00:00Z").await, ["late 100:stop"]);
    assert_eq!(open(&world, Scope::Provider, acme).await, [""; 0]);
}

#[tokio::test]
async fn what_was_suspended_is_resumed_when_it_is_over_and_nothing_else() {
    let world = world().await;
    let acme = world.tenant("acme").await;
    set(&world, acme, "traffic", "net_tx_bytes 10", "100:suspend").await;
    note(&world, acme, "0", 10, NOON).await;
    let [action] = &actions::open(&world.database, Scope::Provider, None).await.unwrap()[..] else {
        panic!()
    };
    let instances = [InstanceId::from_uuid(Uuid::new_v4()), InstanceId::from_uuid(Uuid::new_v4())];
    for instance in instances {
        // Twice: whoever did it died and did it again.
        actions::done(&world.database, action, instance, at(NOON)).await.unwrap();
        actions::done(&world.database, action, instance, at(NOON)).await.unwrap();
    }
    assert_eq!(actions::to_undo(&world.database).await.unwrap(), []);
    actions::end_over(&world.database, october().end()).await.unwrap();
    let to_undo = actions::to_undo(&world.database).await.unwrap();
    assert_eq!(to_undo.len(), 2);
    assert!(
        to_undo.iter().all(|what| instances.contains(&what.instance_id) && what.action == Action::Suspend)
    );
    actions::undone(&world.database, &to_undo[0], october().end()).await.unwrap();
    assert_eq!(actions::to_undo(&world.database).await.unwrap(), to_undo[1..]);
}

#[tokio::test]
async fn a_tenant_sets_its_own_which_notify_and_cannot_touch_the_providers() {
    let world = world().await;
    let (acme, other) = (world.tenant("acme").await, world.tenant("other").await);
    let own = Scope::Tenant(acme.uuid());
    set(&world, acme, "cap", "EUR 100", "100:stop").await;
    let as_acme = async |name, when| try_set(&world, own, acme, name, "EUR 10", when).await;
    assert!(matches!(as_acme("cap", "100").await, Err(SetError::Providers(_))));
    assert!(matches!(as_acme("mine", "100:stop").await, Err(SetError::MayNotAct)));
    assert!(matches!(as_acme("Mine", "100").await, Err(SetError::Invalid(Invalid::Name(_)))));
    assert_eq!(as_acme("mine", "80 forecast:100").await.unwrap().owner, Owner::Tenant);
    assert!(matches!(try_set(&world, own, other, "x", "EUR 1", "80").await, Err(SetError::NoTenant(_))));
    let remove = async |scope, name: &str| {
        allowances::remove(&world.database, scope, acme, name, None, at(NOON)).await
    };
    assert!(matches!(remove(own, "cap").await, Err(SetError::Providers(_))));
    assert!(
        !allowances::remove(&world.database, Scope::Tenant(other.uuid()), acme, "mine", None, at(NOON))
            .await
            .unwrap()
    );
    let names = |list: Vec<Allowance>| list.into_iter().map(|one| one.name).collect::<Vec<_>>();
    assert_eq!(names(allowances::list(&world.database, own, acme).await.unwrap()), ["cap", "mine"]);
    assert!(remove(own, "mine").await.unwrap());
    // What the provider has removed does not become the tenant's: its revision would go on under another's name.
    assert!(remove(Scope::Provider, "cap").await.unwrap());
    assert!(matches!(as_acme("cap", "100").await, Err(SetError::Providers(_))));
    // Past the library, too.
    let mut session = world.database.session().await.unwrap();
    set(&world, acme, "cap", "EUR 100", "100:stop").await;
    as_acme("mine", "80").await.unwrap();
    let transaction = session.begin(own).await.unwrap();
    for change in ["amount = 1000000", "removed_at = now()", "thresholds = '{actual/100/notify}'"] {
        let statement = format!("UPDATE allowance SET {change} WHERE name = 'cap'");
        assert_eq!(transaction.execute(&statement, &[]).await.unwrap(), 0, "{change}");
    }
    assert!(transaction.execute("UPDATE allowance SET owner = 'provider'", &[]).await.is_err());
    drop(transaction);
    let transaction = session.begin(own).await.unwrap();
    let stop = "UPDATE allowance SET thresholds = '{actual/100/stop}' WHERE name = 'mine'";
    assert!(transaction.execute(stop, &[]).await.is_err());
}

#[tokio::test]
async fn of_two_who_set_an_allowance_the_second_is_told_and_there_is_an_end_of_them() {
    let world = world().await;
    let acme = world.tenant("acme").await;
    let set_at = async |revision, what: &str| {
        let now = at(NOON);
        allowances::set(
            &world.database,
            Scope::Provider,
            acme,
            "cap",
            allowed(what),
            thresholds("100"),
            Some(revision),
            now,
        )
        .await
    };
    assert_eq!(set_at(0, "EUR 1").await.unwrap().revision, 1);
    assert!(matches!(set_at(0, "EUR 2").await, Err(SetError::Changed { current: 1 })));
    assert_eq!(set_at(1, "EUR 1").await.unwrap().revision, 1, "the same is no change");
    assert_eq!(set_at(1, "cpu_ns 2").await.unwrap().revision, 2);
    for number in 1..ALLOWANCES_MAX {
        set(&world, acme, &format!("n{number}"), "EUR 1", "100").await;
    }
    let error = try_set(&world, Scope::Provider, acme, "more", "EUR 1", "100").await.unwrap_err();
    assert!(matches!(error, SetError::TooMany), "{error}");
    set(&world, acme, "n1", "EUR 2", "100").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_who_note_at_once_cross_once() {
    let world = Arc::new(world().await);
    let acme = world.tenant("acme").await;
    set(&world, acme, "traffic", "net_tx_bytes 10", "50 100:stop").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let world = Arc::clone(&world);
        tasks.spawn(async move { note(&world, acme, "0", 10, NOON).await });
    }
    let mut noted: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    noted.sort_unstable();
    assert_eq!(noted, ["traffic 100:stop", "traffic 50:notify"]);
    assert_eq!(open(&world, Scope::Provider, acme).await.len(), 1);
}

#[tokio::test]
async fn a_crossing_without_its_mail_its_event_or_its_action_is_impossible() {
    let world = world().await;
    let acme = world.tenant("acme").await;
    set(&world, acme, "traffic", "net_tx_bytes 10", "100:stop").await;
    let owner = world.database.owner_client().await;
    for table in ["allowance_crossing", "mail_outbox", "webhook_event", "limit_action"] {
        owner
            .batch_execute(&format!(
                "CREATE OR REPLACE FUNCTION calamity() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
                 AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$;
                 CREATE TRIGGER calamity AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION calamity();"
            ))
            .await
            .unwrap();
        let error = try_note(&world, acme, "0", 10, NOON).await.unwrap_err();
        assert!(error.is_transient(), "{table}: {error:?}");
        owner.batch_execute(&format!("DROP TRIGGER calamity ON {table}")).await.unwrap();
        for what in ["allowance_crossing", "mail_outbox", "webhook_event", "limit_action"] {
            assert_eq!(count(&world, what).await, 0, "{what} after {table}");
        }
    }
    assert_eq!(note(&world, acme, "0", 10, NOON).await, ["traffic 100:stop"]);
}

#[test]
fn what_the_document_says_of_limits_and_events_is_so() {
    let document = include_str!("../../../docs/billing.md");
    for event in billing::webhooks::EventType::ALL {
        assert!(document.contains(&format!("`{}`", event.as_str())), "{} is not explained", event.as_str());
    }
    let (mut set, mut forecasts) = (0, 0);
    for line in document.lines() {
        if let Some(command) = line.strip_prefix("$ weir allowance set ") {
            let words: Vec<&str> = command.split_whitespace().collect();
            let at = words.windows(2).filter(|pair| pair[0] == "--at").map(|pair| pair[1].parse().unwrap());
            billing::limits::thresholds(at.collect()).unwrap();
            set += 1;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let [consumed, "2026-11", now, expected] = cells[..] {
            let period = billing::period::month("2026-11", &jiff::tz::TimeZone::UTC).unwrap();
            let allowed = allowed("net_tx_bytes 1");
            let unit = MeterName::parse("net_tx_bytes").unwrap().meter().priced_unit.base_units;
            // In whole units: what is said of ten is said of ten times as many bytes.
            let consumed =
                billing::limits::Consumed::base_units(consumed.parse::<u128>().unwrap() * u128::from(unit));
            let forecast = billing::limits::forecast(consumed, period, at(now));
            let shown = forecast
                .map_or("too early".to_owned(), |forecast| forecast.figure(allowed).trunc().to_string());
            assert_eq!(shown, expected, "{line}");
            forecasts += 1;
        }
    }
    assert_eq!((set, forecasts), (3, 4));
}

#[tokio::test]
async fn what_is_not_reached_any_more_is_over_and_is_done_again_without_a_second_letter() {
    let world = world().await;
    let acme = world.tenant("acme").await;
    set(&world, acme, "traffic", "net_tx_bytes 100", "forecast:100:throttle").await;
    let check = async |gib: u64, day: &str, crossed: &[&str], in_force: &[&str]| {
        let now = format!("2026-10-{day}T00:00:00Z");
        assert_eq!(note(&world, acme, "0", gib, &now).await, crossed, "{gib} on {day}");
        assert_eq!(open(&world, Scope::Provider, acme).await, in_force, "{gib} on {day}");
    };
    let throttle = ["traffic forecast:100:throttle"];
    // Five times too much, in the first week: a forecast that acts says nothing yet.
    check(80, "05", &[], &[]).await;
    check(33, "11", &throttle, &throttle).await;
    // 33 of 11 days will be 93 of 31: it has fallen, and not by enough.
    check(33, "12", &[], &throttle).await;
    // 78.
    check(33, "14", &[], &[]).await;
    check(60, "16", &[], &throttle).await;
    check(60, "16", &[], &throttle).await;
    assert_eq!(count(&world, "limit_action WHERE ended_because = 'it is not reached any more'").await, 1);
    // What was consumed is corrected.
    set(&world, acme, "disk", "net_tx_bytes 62", "100:stop").await;
    check(62, "20", &["disk 100:stop"], &["traffic forecast:100:throttle", "disk 100:stop"]).await;
    check(61, "20", &[], &throttle).await;
    check(62, "20", &[], &["traffic forecast:100:throttle", "disk 100:stop"]).await;
    assert_eq!(count(&world, "mail_outbox WHERE kind = 'allowance'").await, 2);
    assert_eq!(count(&world, "webhook_event WHERE type = 'allowance.crossed'").await, 2);
}

#[tokio::test]
async fn what_a_throttled_instance_was_before_is_kept_until_it_is_set_back() {
    let world = world().await;
    let acme = world.tenant("acme").await;
    let id = InstanceId::from_uuid(Uuid::from_u128(7));
    let put = async |bounds: &str, notices: &[&str]| {
        let notices: Vec<String> = notices.iter().map(|notice| (*notice).to_owned()).collect();
        throttled::put(&world.database, (id, acme), bounds, &notices, at(NOON)).await
    };
    put("{\"a\":1}", &[]).await.unwrap();
    put("{\"a\":2}", &["NIC x is not throttled: no tc"]).await.unwrap();
    assert!(put("not json", &[]).await.is_err());
    let kept = throttled::list(&world.database).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].bounds.as_str(), kept[0].notices.len(), kept[0].tenant_id), ("{\"a\":2}", 1, acme));
    // The database refuses a tenant's own allowance that throttles, whatever the code says.
    let owner = world.database.owner_client().await;
    owner.batch_execute("SET weir.scope = 'provider'").await.unwrap();
    let forged = owner
        .execute(
            "INSERT INTO allowance (tenant_id, name, owner, amount, currency, thresholds, changed_at)
             VALUES ($1, 'own', 'tenant', 1, 'EUR', ARRAY['actual/100/throttle'], now())",
            &[&acme.uuid()],
        )
        .await
        .unwrap_err();
    assert!(forged.as_db_error().unwrap().constraint().is_some_and(|name| name.contains("throttles_not")));
    throttled::remove(&world.database, id).await.unwrap();
    assert_eq!(throttled::list(&world.database).await.unwrap(), []);
}
