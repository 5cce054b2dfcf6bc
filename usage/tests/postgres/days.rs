//! What is kept by day is the sum of the usage records of the payer's local day, whatever happened before.

use std::time::Duration;

use jiff::Timestamp;
use metering::{Batch, Epoch, InstanceId, TenantName};
use migrations::{Database, Scope};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use usage::UsageSettings;
use usage::days::{self, DayQuery};
use usage::registry::{self, NewTenant, Tenant};

use crate::story::*;

/// Days and totals that are not what the records say, both ways.
const DIFFERENCES: &str = "
    WITH told AS (
        SELECT u.tenant_id, (u.window_start AT TIME ZONE t.time_zone)::date AS day, u.kind, u.resource, u.device,
               u.meter, sum(u.quantity) AS quantity, sum(u.measured_us)::bigint AS measured_us,
               sum(u.estimated_us)::bigint AS estimated_us, sum(u.missing_us)::bigint AS missing_us,
               count(*) AS records
        FROM usage_record u JOIN tenant t USING (tenant_id)
        GROUP BY 1, 2, 3, 4, 5, 6
    ), kept AS (
        SELECT tenant_id, day, kind, resource, device, meter, quantity, measured_us, estimated_us, missing_us, records
        FROM usage_day
    ), held AS (
        SELECT d.tenant_id, d.kind, d.resource, d.device, d.meter, w.quantity,
               d.first_window + (w.n - 1) * (d.measured_us / d.records) * INTERVAL '1 microsecond' AS window_start,
               d.first_window + w.n * (d.measured_us / d.records) * INTERVAL '1 microsecond' AS window_end
        FROM usage_day d CROSS JOIN LATERAL unnest(d.windows) WITH ORDINALITY AS w (quantity, n)
    ), told_in_total AS (
        SELECT tenant_id, day, meter, sum(quantity) AS quantity, sum(measured_us)::bigint AS measured_us,
               sum(estimated_us)::bigint AS estimated_us, sum(missing_us)::bigint AS missing_us,
               sum(records)::bigint AS records
        FROM told GROUP BY 1, 2, 3
    ), kept_in_total AS (
        SELECT tenant_id, day, meter, quantity, measured_us, estimated_us, missing_us, records
        FROM usage_day_total
        WHERE (quantity, measured_us, estimated_us, missing_us, records) IS DISTINCT FROM (0, 0, 0, 0, 0)
    )
    SELECT 'not kept ' || x::text AS line FROM (TABLE told EXCEPT TABLE kept) x
    UNION ALL SELECT 'not told ' || x::text FROM (TABLE kept EXCEPT TABLE told) x
    UNION ALL SELECT 'total not kept ' || x::text FROM (TABLE told_in_total EXCEPT TABLE kept_in_total) x
    UNION ALL SELECT 'total not told ' || x::text FROM (TABLE kept_in_total EXCEPT TABLE told_in_total) x
    -- Every window that a day holds is a record, measured from end to end; with the sums, none is left out.
    UNION ALL SELECT 'window not told ' || h::text FROM held h WHERE NOT EXISTS (
        SELECT FROM usage_record u
        WHERE (u.tenant_id, u.kind, u.resource, u.device, u.meter, u.window_start, u.window_end, u.quantity)
              = (h.tenant_id, h.kind, h.resource, h.device, h.meter, h.window_start, h.window_end, h.quantity)
          AND u.measured_us = EXTRACT(EPOCH FROM u.window_end - u.window_start) * 1000000)
    UNION ALL SELECT 'windows and sum ' || d::text FROM usage_day d
        WHERE d.quantity <> (SELECT sum(w) FROM unnest(d.windows) w)";

pub async fn differences(db: &Database) -> Vec<String> {
    query(db, Scope::Provider, DIFFERENCES).await.iter().map(|row| row.get("line")).collect()
}

pub async fn tenant_in(db: &Database, name: &str, zone: &str) -> Tenant {
    let new = NewTenant::new(TenantName::new(name).unwrap(), name, zone);
    registry::create_tenant(db, &new, settings()).await.unwrap()
}

/// `day quantity` of one meter, where there is any.
async fn lines(db: &Database, scope: Scope, query: &DayQuery, meter: &str) -> Vec<String> {
    let days = days::by_day(db, scope, query).await.unwrap();
    let days = days.iter().filter(|day| day.meter.as_str() == meter && day.quantity != 0);
    days.map(|day| format!("{} {}", day.day, day.quantity)).collect()
}

fn all(tenant: Option<&Tenant>) -> DayQuery {
    let tenant = tenant.map(|tenant| tenant.id);
    DayQuery {
        tenant,
        resource: None,
        from: "2026-10-01".parse().unwrap(),
        to: "2026-12-01".parse().unwrap(),
    }
}

/// One reading an hour of a register that counts hours, so that a day's quantity is its length.
fn hourly(node: &mut Node, id: InstanceId, from: i64, hours: i64) -> Batch {
    let life = epoch("hours", Some(from));
    let readings = (0..=hours).map(|hour| reading(id, from + hour * 3_600, life, hour.unsigned_abs()));
    node.instances(readings.skip(1).collect())
}

#[tokio::test]
async fn the_day_on_which_clocks_are_set_back_has_twenty_five_hours() {
    let db = migrations::testing::database().await;
    let berlin = tenant_in(&db, "berlin", "Europe/Berlin").await;
    let (mut node, id) = (Node::new(&db), instance_id());
    // From 2026-10-24 00:00 to 2026-10-27 00:00 in Berlin: one hour more than three days.
    let from = "2026-10-23T22:00:00Z".parse::<Timestamp>().unwrap().as_second() - at(0).as_second();
    let mut batch = hourly(&mut node, id, from, 73);
    batch.instances = vec![facts(id, "web", Some("berlin"))];
    node.ingestor.ingest(&batch, &usage::Delivery::default(), at(3 * 86_400)).await.unwrap();
    derive(&db, 3 * 86_400).await;
    let scope = Scope::Tenant(berlin.id.uuid());
    let expected = ["2026-10-24 24", "2026-10-25 25", "2026-10-26 24"];
    assert_eq!(lines(&db, scope, &all(None), "cpu_ns").await, expected);
    assert_eq!(lines(&db, Scope::Provider, &all(Some(&berlin)), "cpu_ns").await, expected);
    let of_web = DayQuery { resource: Some(id.uuid()), ..all(None) };
    assert_eq!(lines(&db, Scope::Provider, &of_web, "cpu_ns").await, expected);
    assert_eq!(differences(&db).await, [""; 0]);
}

/// Invoices are rated from the days and the records beside them: the two must never say different things.
#[tokio::test]
async fn days_and_records_say_the_same_of_a_month_in_which_clocks_are_set_back() {
    let db = migrations::testing::database().await;
    let berlin = tenant_in(&db, "berlin", "Europe/Berlin").await;
    let (mut node, id) = (Node::new(&db), instance_id());
    let second = |text: &str| text.parse::<Timestamp>().unwrap().as_second() - at(0).as_second();
    let mut batch = hourly(&mut node, id, second("2026-10-23T21:00:00Z"), 75);
    batch.instances = vec![facts(id, "web", Some("berlin"))];
    node.ingestor.ingest(&batch, &usage::Delivery::default(), at(3 * 86_400)).await.unwrap();
    derive(&db, 3 * 86_400).await;
    let (month, next) = (second("2026-09-30T22:00:00Z"), second("2026-10-31T23:00:00Z"));
    let within = second("2026-10-25T11:00:00Z");
    // From the day before to the day after, from 06:00 to 22:00 local time and the nights between, the long one too.
    let nights = [
        "2026-10-24T04",
        "2026-10-24T20",
        "2026-10-25T05",
        "2026-10-25T21",
        "2026-10-26T05",
        "2026-10-26T21",
    ];
    let nights = nights.map(|hour| format!("{hour}:00:00Z").parse().unwrap());
    let nights = window(month, next).split_at(&nights);
    for pieces in [vec![window(month, next)], vec![window(month, within), window(within, next)], nights] {
        let now = at(3 * 86_400);
        let by_records =
            usage::close::usage_by_records(&db, berlin.id, &pieces, settings(), now).await.unwrap();
        let by_days = usage::usage_of_period(&db, berlin.id, &pieces, settings(), now).await.unwrap();
        assert_eq!(by_days, by_records);
        assert!(!by_days.is_empty());
    }
}

/// Takes readings hours apart for measured from end to end, so that days hold their windows.
pub fn tolerant() -> UsageSettings {
    UsageSettings { tolerance: Duration::from_secs(40_000), ..settings() }
}

/// How many windows each day's row of one meter holds; `-`: none.
async fn windows_held(db: &Database, id: InstanceId, meter: &str) -> Vec<String> {
    let text = format!(
        "SELECT day || ' ' || COALESCE(cardinality(windows)::text, '-') AS line FROM usage_day \
         WHERE resource = '{}' AND meter = '{meter}' ORDER BY day",
        id.uuid()
    );
    query(db, Scope::Provider, &text).await.iter().map(|row| row.get("line")).collect()
}

#[tokio::test]
async fn a_day_that_was_not_measured_throughout_is_rated_from_its_records() {
    let db = migrations::testing::database().await;
    let berlin = tenant_in(&db, "berlin", "Europe/Berlin").await;
    let (mut node, id) = (Node::new(&db), instance_id());
    // Four days of Berlin, the second of which is 25 hours long; on the third twelve readings are lost, and after the last
    // one nothing is known.
    let second = |text: &str| text.parse::<Timestamp>().unwrap().as_second() - at(0).as_second();
    let from = second("2026-10-23T22:00:00Z");
    let mut batch = hourly(&mut node, id, from, 97);
    let lost = window(from + 51 * 3_600, from + 63 * 3_600);
    batch.readings.instances.retain(|reading| !lost.contains(reading.observed_at));
    batch.instances = vec![facts(id, "web", Some("berlin"))];
    let (now, settings) = (at(5 * 86_400), tolerant());
    node.ingestor.ingest(&batch, &usage::Delivery::default(), now).await.unwrap();
    usage::derive_dirty(&db, settings, now).await.unwrap();
    assert_eq!(differences(&db).await, [""; 0]);
    assert_eq!(
        windows_held(&db, id, "cpu_ns").await,
        ["2026-10-24 24", "2026-10-25 25", "2026-10-26 -", "2026-10-27 24", "2026-10-28 -"]
    );
    let cuts: Vec<Timestamp> = (0..97).step_by(7).map(|hour| at(from + hour * 3_600)).collect();
    let pieces = window(from, from + 97 * 3_600).split_at(&cuts);
    let nights = usage::usage_of_period(&db, berlin.id, &pieces, settings, now).await.unwrap();
    let by_records = usage::close::usage_by_records(&db, berlin.id, &pieces, settings, now).await.unwrap();
    assert_eq!(nights, by_records);
    assert_eq!(total(&nights, "cpu_ns"), 97);
}

#[tokio::test]
async fn what_changes_hands_in_mid_day_is_in_the_days_of_both_and_of_nobody_else() {
    let db = migrations::testing::database().await;
    let (a, b) = (tenant_in(&db, "a", "Europe/Berlin").await, tenant_in(&db, "b", "UTC").await);
    let (mut node, id) = (Node::new(&db), instance_id());
    let mut batch = hourly(&mut node, id, -12 * 3_600, 24);
    batch.instances = vec![facts(id, "web", Some("a"))];
    node.must_send(&batch).await;
    derive(&db, 43_200).await;
    assert_eq!(lines(&db, Scope::Provider, &all(None), "cpu_ns").await, ["2026-10-25 23", "2026-10-26 1"]);
    let (of_a, of_b) = (Scope::Tenant(a.id.uuid()), Scope::Tenant(b.id.uuid()));
    assert_eq!(lines(&db, of_b, &all(None), "cpu_ns").await, [""; 0]);

    registry::assign(&db, id, b.id, Some(at(1_800)), settings()).await.unwrap();
    derive(&db, 43_200).await;
    assert_eq!(differences(&db).await, [""; 0]);
    // The register counts whole hours: the floor of C(t) at half past.
    assert_eq!(lines(&db, of_a, &all(None), "cpu_ns").await, ["2026-10-25 12"]);
    assert_eq!(lines(&db, of_b, &all(None), "cpu_ns").await, ["2026-10-25 12"]);
    assert_eq!(lines(&db, of_a, &all(Some(&b)), "cpu_ns").await, [""; 0], "not another tenant's");
    let meter = metering::MeterName::parse("cpu_ns").unwrap();
    let mine = days::by_resource(&db, of_b, &all(None), meter).await.unwrap();
    assert_eq!((mine.len(), mine[0].name.as_str(), mine[0].quantity), (1, "web", 12));
    assert_eq!(days::by_resource(&db, of_b, &all(Some(&a)), meter).await.unwrap(), []);
    let (from, to) = (all(None).from, all(None).to);
    let tenants = days::by_tenant(&db, Scope::Provider, from, to).await.unwrap();
    let cpu: Vec<String> = tenants
        .iter()
        .filter(|usage| usage.meter == meter)
        .map(|usage| format!("{} {}", usage.tenant_name, usage.quantity))
        .collect();
    assert_eq!(cpu, ["a 12", "b 12"]);
    assert_eq!(days::by_tenant(&db, of_a, from, to).await.unwrap().len(), tenants.len() / 2);

    // It was a slip: all of it goes to the other one, and nothing is left behind.
    registry::assign(&db, id, a.id, None, settings()).await.unwrap();
    derive(&db, 43_200).await;
    assert_eq!(differences(&db).await, [""; 0]);
    assert_eq!(lines(&db, of_b, &all(None), "cpu_ns").await, [""; 0]);
    assert_eq!(lines(&db, of_a, &all(None), "cpu_ns").await, ["2026-10-25 23", "2026-10-26 1"]);
}

#[tokio::test]
async fn days_derived_beside_each_other_lose_nothing() {
    let db = migrations::testing::database().await;
    tenant_in(&db, "a", "Europe/Berlin").await;
    let mut node = Node::new(&db);
    for _ in 0..3 {
        let mut batch = node.batch();
        for _ in 0..20 {
            let id = instance_id();
            batch.instances.push(facts(id, &id.to_string(), Some("a")));
            let readings = hourly(&mut Node::new(&db), id, 0, 20).readings.instances;
            batch.readings.instances.extend(readings);
        }
        node.must_send(&batch).await;
        let pass = || async { usage::derive_dirty(&db, settings(), at(80_000)).await.unwrap().failed };
        let failed = futures_util::future::join_all([pass(), pass(), pass()]).await;
        assert_eq!(failed, [0, 0, 0], "no deadlock");
    }
    derive(&db, 80_000).await;
    assert_eq!(differences(&db).await, [""; 0]);
    // Noon in the stories is one in the afternoon there.
    assert_eq!(lines(&db, Scope::Provider, &all(None), "cpu_ns").await, ["2026-10-25 660", "2026-10-26 540"]);
}

/// How long after the last one, how much more, and what happens: a restart, silence, or another owner.
pub type Step = (i64, u32, u8);

#[test]
fn in_whatever_order_readings_and_owners_come_days_are_the_sums_of_their_records() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let db = runtime.block_on(migrations::testing::database());
    // Local midnights that are not UTC's, on both sides of it; clocks are set back within the story.
    let tenants = runtime.block_on(async {
        [
            tenant_in(&db, "berlin", "Europe/Berlin").await.id,
            tenant_in(&db, "los-angeles", "America/Los_Angeles").await.id,
        ]
    });
    let steps = proptest::collection::vec((600_i64..30_000, any::<u32>(), 0_u8..8), 1..14);
    let order = proptest::collection::vec((any::<proptest::sample::Index>(), any::<bool>()), 0..12);
    let owners = proptest::collection::vec((0_i64..120_000, 0_usize..2, any::<bool>()), 0..4);
    let mut runner = TestRunner::new(Config { cases: 30, failure_persistence: None, ..Config::default() });
    runner
        .run(&(steps, order, owners, any::<bool>()), |(steps, order, owners, is_tolerant)| {
            runtime.block_on(async {
                let derive = async |db, now| {
                    let settings = if is_tolerant { tolerant() } else { settings() };
                    usage::derive_dirty(db, settings, at(now)).await.unwrap();
                };
                let (mut node, id) = (Node::new(&db), instance_id());
                let batches = told(&mut node, id, &steps);
                let now = 600_000;
                for (which, derives) in &order {
                    let batch = which.get(&batches);
                    node.ingestor.ingest(batch, &usage::Delivery::default(), at(now)).await.unwrap();
                    if *derives {
                        derive(&db, now).await;
                    }
                }
                for batch in batches.iter().rev() {
                    node.ingestor.ingest(batch, &usage::Delivery::default(), at(now)).await.unwrap();
                }
                for (since, tenant, derives) in &owners {
                    let since = Some(at(*since));
                    registry::assign(&db, id, tenants[*tenant], since, settings()).await.unwrap();
                    if *derives {
                        derive(&db, now).await;
                    }
                }
                derive(&db, now).await;
                prop_assert_eq!(differences(&db).await, Vec::<String>::new());
                Ok(())
            })
        })
        .unwrap();
}

/// The steps as batches of one reading each.
pub fn told(node: &mut Node, id: InstanceId, steps: &[Step]) -> Vec<Batch> {
    let (mut second, mut value, mut life) = (-30_000, 0_u64, 0_u32);
    let mut batches = Vec::new();
    for (pause, rise, dice) in steps {
        second += pause;
        value += u64::from(*rise);
        let now = match dice {
            0 => {
                (life, value) = (life + 1, 0);
                epoch(&life.to_string(), Some(second - 5))
            }
            1 => Epoch::NONE,
            _ => epoch(&life.to_string(), None),
        };
        let value = if now == Epoch::NONE { 0 } else { value };
        let mut batch = node.instances(vec![reading(id, second, now, value)]);
        if *dice != 1 {
            batch.readings.disks = vec![disk(id, "vda", second, now, value)];
        }
        batches.push(batch);
    }
    batches
}
