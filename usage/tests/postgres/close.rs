//! What a period's invoice is rated from is the same wherever the period is cut and wherever it is taken from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::{InstanceId, MeterName, Resource, TenantId, UsageRecord, Window, WindowLength};
use migrations::testing::TestDatabase;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use usage::UsageSettings;
use usage::close::{usage_by_records, usage_of_period};
use usage::corrections::{self, Action, NewCorrection};
use usage::dimensions::{self, NewDimension};
use usage::registry;

use crate::days::{Step, tenant_in, told, tolerant};
use crate::story::*;

/// When everything has been told.
pub const NOW: i64 = 600_000;

pub async fn of(db: &TestDatabase, tenant: TenantId, pieces: &[Window]) -> Vec<UsageRecord> {
    usage_of_period(db, tenant, pieces, settings(), at(NOW)).await.unwrap()
}

/// `device start..end dimensions quantity` of one meter, hours since noon.
pub fn lines(usage: &[UsageRecord], meter: &str) -> Vec<String> {
    let hour = |at_: Timestamp| (at_.as_second() - at(0).as_second()) / 3_600;
    let of_meter = usage.iter().filter(|record| record.meter.as_str() == meter);
    of_meter
        .map(|record| {
            let all: Vec<String> =
                record.dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let (from, to) = (hour(record.window.start()), hour(record.window.end()));
            format!(
                "{} {from}..{to} {} {}",
                record.resource.device().unwrap_or("-"),
                all.join("+"),
                record.quantity
            )
            .replace("  ", " ")
        })
        .collect()
}

/// A guest that counts hours, from `from` hours after noon on, with a disk and a NIC that do so too.
pub async fn hours(db: &TestDatabase, tenant: &str, from: i64, count: i64) -> InstanceId {
    let (mut node, id) = (Node::new(db), instance_id());
    let life = epoch("hours", Some(from * 3_600));
    let mut batch = node.batch();
    batch.instances = vec![facts(id, "web", Some(tenant))];
    for hour in 1..=count {
        let (second, value) = ((from + hour) * 3_600, hour.unsigned_abs());
        batch.readings.instances.push(reading(id, second, life, value));
        batch.readings.disks.push(disk(id, "vda", second, life, value));
        batch.readings.nics.push(nic(id, "52:54:00:00:00:01", second, life, value));
    }
    node.ingestor.ingest(&batch, &usage::Delivery::default(), at(NOW)).await.unwrap();
    derive(db, NOW).await;
    id
}

fn sums(usage: &[UsageRecord]) -> BTreeMap<(Resource, MeterName), u64> {
    let mut sums = BTreeMap::new();
    for record in usage {
        *sums.entry((record.resource.clone(), record.meter)).or_default() += record.quantity;
    }
    sums.retain(|_, sum| 0 < *sum);
    sums
}

#[tokio::test]
async fn a_night_rate_of_many_pieces_adds_up_to_the_month() {
    let db = migrations::testing::database().await;
    let berlin = tenant_in(&db, "berlin", "Europe/Berlin").await;
    hours(&db, "berlin", -100, 200).await;
    let whole = window(-120 * 3_600, 120 * 3_600);
    let cuts: Vec<Timestamp> =
        (-5..=5).flat_map(|day| [at((day * 24 + 8) * 3_600), at((day * 24 + 18) * 3_600)]).collect();
    let pieces = whole.split_at(&cuts);
    let nights = of(&db, berlin.id, &pieces).await;
    assert_eq!(sums(&nights), sums(&of(&db, berlin.id, &[whole]).await));
    assert_eq!(total(&nights, "cpu_ns"), 200);
    for record in &nights {
        assert!(pieces.contains(&record.window), "{}", record.window);
    }
    // Half of the pieces alone, and pieces that overlap: each counts what is its own.
    let every_other: Vec<Window> = pieces.iter().copied().step_by(2).collect();
    let mut days: Vec<Window> = pieces.iter().copied().skip(1).step_by(2).collect();
    let apart = total(&of(&db, berlin.id, &every_other).await, "cpu_ns");
    assert_eq!(apart + total(&of(&db, berlin.id, &days).await, "cpu_ns"), 200);
    days.push(whole);
    days.push(pieces[3]);
    let twice = of(&db, berlin.id, &days).await;
    let of_piece = total(&of(&db, berlin.id, &[pieces[3]]).await, "cpu_ns");
    assert!(0 < of_piece);
    assert_eq!(total(&twice, "cpu_ns"), 200 - apart + 200 + of_piece);
}

#[tokio::test]
async fn what_another_tenant_used_is_in_nobody_elses_period() {
    let db = migrations::testing::database().await;
    let (a, b) = (tenant(&db, "a").await, tenant(&db, "b").await);
    let id = hours(&db, "a", 0, 10).await;
    registry::assign(&db, id, b.id, Some(at(4 * 3_600)), settings()).await.unwrap();
    derive(&db, NOW).await;
    let pieces = [window(0, 6 * 3_600), window(6 * 3_600, 24 * 3_600)];
    assert_eq!(lines(&of(&db, a.id, &pieces).await, "cpu_ns"), ["- 0..6 4"]);
    assert_eq!(lines(&of(&db, b.id, &pieces).await, "cpu_ns"), ["- 0..6 2", "- 6..24 4"]);
    assert_eq!(of(&db, TenantId::UNASSIGNED, &pieces).await, []);
    assert_eq!(of(&db, a.id, &[]).await, []);
}

/// When, of which device, which value; `None`: taken away.
type Dimension = (i64, bool, Option<u8>);
/// From which hour, how many, of which device; `Some`: so much is added, `None`: what is recorded is excluded.
type Change = (i64, i64, bool, Option<u32>);

#[test]
fn wherever_a_period_is_cut_it_adds_up_with_bands_dimensions_and_corrections() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let db = runtime.block_on(migrations::testing::database());
    let tenants = runtime.block_on(async {
        [
            tenant_in(&db, "berlin", "Europe/Berlin").await.id,
            tenant_in(&db, "los-angeles", "America/Los_Angeles").await.id,
        ]
    });
    let steps = proptest::collection::vec((600_i64..30_000, any::<u32>(), 0_u8..8), 1..14);
    let owners = proptest::collection::vec((0_i64..120_000, 0_usize..2), 1..4);
    let said =
        proptest::collection::vec((-30_000_i64..200_000, any::<bool>(), proptest::option::of(0_u8..3)), 0..4);
    let changes = proptest::collection::vec(
        (-8_i64..40, 1_i64..12, any::<bool>(), proptest::option::of(1_u32..)),
        0..4,
    );
    let cuts = proptest::collection::vec((-40_000_i64..250_000, any::<bool>()), 0..7);
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    runner
        .run(
            &(steps, owners, said, changes, cuts, any::<bool>()),
            |(steps, owners, said, changes, cuts, easy)| {
                runtime.block_on(async {
                    let settings = if easy { tolerant() } else { settings() };
                    let id = story(&db, &tenants, &steps, &owners, settings).await;
                    say(&db, id, &said).await;
                    correct(&db, id, &changes).await;
                    let hour = |second: i64| second.div_euclid(3_600) * 3_600;
                    let cuts: Vec<Timestamp> = cuts
                        .iter()
                        .map(|(second, whole)| at(if *whole { hour(*second) } else { *second }))
                        .collect();
                    let whole = window(-86_400, 400_000);
                    for tenant in tenants {
                        let pieces = whole.split_at(&cuts);
                        let of = async |pieces: &[Window]| {
                            usage_of_period(&db, tenant, pieces, settings, at(NOW)).await.unwrap()
                        };
                        let cut = of(&pieces).await;
                        let by_records =
                            usage_by_records(&db, tenant, &pieces, settings, at(NOW)).await.unwrap();
                        prop_assert_eq!(&cut, &by_records, "days and records");
                        for record in &cut {
                            prop_assert!(
                                pieces
                                    .iter()
                                    .any(|piece| piece.intersection(record.window) == Some(record.window))
                            );
                        }
                        prop_assert_eq!(sums(&cut), sums(&of(&[whole]).await), "cut and whole");
                    }
                    Ok(())
                })
            },
        )
        .unwrap();
}

async fn story(
    db: &TestDatabase,
    tenants: &[TenantId; 2],
    steps: &[Step],
    owners: &[(i64, usize)],
    settings: UsageSettings,
) -> InstanceId {
    let (mut node, id) = (Node::new(db), instance_id());
    for batch in told(&mut node, id, steps) {
        node.ingestor.ingest(&batch, &usage::Delivery::default(), at(NOW)).await.unwrap();
    }
    for (since, tenant) in owners {
        registry::assign(db, id, tenants[*tenant], Some(at(*since)), settings).await.unwrap();
    }
    usage::derive_dirty(db, settings, at(NOW)).await.unwrap();
    id
}

fn device(id: InstanceId, is_disk: bool) -> Resource {
    if is_disk { Resource::Disk(id, "vda".to_owned()) } else { Resource::Instance(id) }
}

async fn say(db: &TestDatabase, id: InstanceId, said: &[Dimension]) {
    for (second, is_disk, value) in said {
        let value = value.map(|value| format!("class-{value}"));
        let resource = device(id, *is_disk);
        let new =
            NewDimension { resource: &resource, name: "class", value: value.as_deref(), author: "tester" };
        // A disk that was never read is refused.
        let _ = dimensions::set(db, &new, WindowLength::HOUR, at(*second)).await;
    }
}

async fn correct(db: &TestDatabase, id: InstanceId, changes: &[Change]) {
    for (from, hours, is_disk, added) in changes {
        let new = NewCorrection {
            id: uuid::Uuid::new_v4(),
            resource: &device(id, *is_disk),
            meter: MeterName::parse(if *is_disk { "disk_read_bytes" } else { "cpu_ns" }).unwrap(),
            window: window(from * 3_600, (from + hours) * 3_600),
            action: added.map_or(Action::Exclude, |added| Action::Add(u64::from(added))),
            reason: "a story",
            author: "tester",
        };
        // Where nobody or more than one pays it is refused.
        let _ = corrections::correct(db, &new, settings(), at(NOW)).await;
    }
}
