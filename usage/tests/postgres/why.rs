//! Why a figure is what it is: each step adds up to the one before, and shows nothing of anybody else.

use metering::{InstanceId, MeterName, Resource, TenantId, Window};
use migrations::{Database, Scope};
use proptest::test_runner::{Config, TestRunner};
use usage::why::{self, PointKind};
use usage::{records, registry};

use crate::story::*;

const NOW: i64 = 200_000;

fn meter(name: &str) -> MeterName {
    MeterName::parse(name).unwrap()
}

/// Descends from the sum of a tenant's period to readings; every step must add up. Gives the sum.
async fn descend(db: &Database, scope: Scope, tenant: TenantId, name: &str, period: Window) -> u64 {
    let (meter, now) = (meter(name), at(NOW));
    let line = total(&records::usage_of(db, tenant, &[period], settings(), now).await.unwrap(), name);
    let resources = why::resources_of(db, scope, tenant, meter, period, settings(), now).await.unwrap();
    assert_eq!(resources.iter().map(|usage| usage.quantity).sum::<u64>(), line);
    for usage in &resources {
        let windows = why::windows_of(db, scope, tenant, &usage.resource, meter, period, settings(), now);
        let windows = windows.await.unwrap();
        assert_eq!(windows.len() as u64, usage.windows);
        assert_eq!(windows.iter().map(|record| record.quantity).sum::<u64>(), usage.quantity);
        for record in windows {
            let told =
                why::explain(db, scope, tenant, &usage.resource, meter, record.window, settings(), now)
                    .await
                    .unwrap()
                    .unwrap();
            assert_eq!((told.quantity, told.coverage), (record.quantity, record.coverage), "{told:#?}");
            assert_eq!(told.parts.iter().map(|part| part.quantity).sum::<u64>(), record.quantity);
            for part in &told.parts {
                assert_eq!(part.at_end.value - part.at_start.value, part.quantity);
            }
        }
    }
    line
}

async fn story(db: &Database) -> (InstanceId, registry::Tenant, registry::Tenant) {
    let (a, b) = (tenant(db, "a").await, tenant(db, "b").await);
    let (mut node, id) = (Node::new(db), instance_id());
    let (first, second) = (epoch("first", Some(5)), epoch("second", Some(5_000)));
    let mut batch = node.instances(vec![
        reading(id, 10, first, 10),
        reading(id, 3_590, first, 1_000),
        reading(id, 3_610, first, 1_041),
        reading(id, 4_990, first, 1_500),
        reading(id, 5_005, second, 7),
        reading(id, 7_200, second, 900),
        reading(id, 9_000, second, 1_000),
    ]);
    batch.readings.disks = vec![disk(id, "vda", 10, first, 3), disk(id, "vda", 4_990, first, 600)];
    batch.instances = vec![facts(id, "web", Some("a"))];
    node.must_send(&batch).await;
    derive(db, NOW).await;
    (id, a, b)
}

#[tokio::test]
async fn from_a_line_to_its_readings_every_step_adds_up() {
    let db = migrations::testing::database().await;
    let (id, a, _) = story(&db).await;
    let scope = Scope::Tenant(a.id.uuid());
    assert_eq!(descend(&db, scope, a.id, "cpu_ns", window(-86_400, 86_400)).await, 2_500);
    assert_eq!(descend(&db, scope, a.id, "disk_write_bytes", window(-86_400, 86_400)).await, 600);
    // A period that is cut within windows and within a day.
    assert_eq!(
        descend(&db, Scope::Provider, a.id, "cpu_ns", window(3_600, 7_300)).await,
        1_500 - 1_020 + 905
    );

    let hour = window(0, 3_600);
    let resource = Resource::Instance(id);
    let told = why::explain(&db, scope, a.id, &resource, meter("cpu_ns"), hour, settings(), at(NOW));
    let told = told.await.unwrap().unwrap();
    let [part] = &told.parts[..] else { panic!("{told:#?}") };
    assert_eq!((part.at_start.kind, part.at_start.at, part.at_start.value), (PointKind::Born, at(5), 0));
    // Halfway between 1,000 and 1,041, floored.
    assert_eq!(
        (part.at_end.kind, part.at_end.at, part.at_end.value),
        (PointKind::Interpolated, at(3_600), 1_020)
    );
    assert_eq!(part.at_end.before, Some((at(3_590), 1_000)));
    assert_eq!(part.at_end.after, Some((at(3_610), 1_041)));

    let next = window(3_600, 7_200);
    let told = why::explain(&db, scope, a.id, &resource, meter("cpu_ns"), next, settings(), at(NOW));
    let parts = told.await.unwrap().unwrap().parts;
    assert_eq!(parts.len(), 2, "a restart within the hour: two lives");
    assert_eq!((parts[0].at_end.kind, parts[0].at_end.value), (PointKind::Ended, 1_500));
    assert_eq!((parts[1].at_start.kind, parts[1].at_end.kind), (PointKind::Born, PointKind::Exact));
}

#[tokio::test]
async fn another_tenants_resource_is_answered_like_one_that_does_not_exist() {
    let db = migrations::testing::database().await;
    let (id, a, b) = story(&db).await;
    registry::assign(&db, id, b.id, Some(at(3_600)), settings()).await.unwrap();
    derive(&db, NOW).await;
    let (of_a, of_b) = (Scope::Tenant(a.id.uuid()), Scope::Tenant(b.id.uuid()));
    let (period, now, cpu) = (window(-86_400, 86_400), at(NOW), meter("cpu_ns"));
    descend(&db, of_a, a.id, "cpu_ns", period).await;
    descend(&db, of_b, b.id, "cpu_ns", period).await;
    let resource = Resource::Instance(id);
    for (scope, tenant, hour, found) in [
        (of_a, a.id, window(0, 3_600), true),
        (of_a, b.id, window(3_600, 7_200), false),
        (of_a, a.id, window(3_600, 7_200), false),
        (of_b, b.id, window(0, 3_600), false),
        (of_b, b.id, window(3_600, 7_200), true),
        (Scope::Provider, b.id, window(0, 3_600), false),
    ] {
        let told = why::explain(&db, scope, tenant, &resource, cpu, hour, settings(), now).await.unwrap();
        assert_eq!(told.is_some(), found, "{scope:?} {tenant} {hour}");
        let windows = why::windows_of(&db, scope, tenant, &resource, cpu, hour, settings(), now).await;
        assert_eq!(!windows.unwrap().is_empty(), found);
        // Cut within the window: derived from readings on the spot.
        let cut = Window::new(hour.start(), at(hour.end().as_second() - at(0).as_second() - 60)).unwrap();
        let windows = why::windows_of(&db, scope, tenant, &resource, cpu, cut, settings(), now).await;
        assert_eq!(!windows.unwrap().is_empty(), found);
        let resources = why::resources_of(&db, scope, tenant, cpu, cut, settings(), now).await.unwrap();
        assert_eq!(!resources.is_empty(), found);
    }
    // The reading before the handing over is the other one's: its figure is used, and not shown.
    let told = why::explain(&db, of_b, b.id, &resource, cpu, window(3_600, 7_200), settings(), now).await;
    let start = told.unwrap().unwrap().parts[0].at_start;
    assert_eq!(
        (start.kind, start.before, start.after),
        (PointKind::Interpolated, None, Some((at(3_610), 1_041)))
    );
    // Nor is there anything that nobody has, or that the meter is not for.
    let nothing = Resource::Instance(instance_id());
    let told = why::explain(&db, of_a, a.id, &nothing, cpu, window(0, 3_600), settings(), now).await;
    assert_eq!(told.unwrap(), None);
    let told =
        why::explain(&db, of_a, a.id, &resource, meter("net_rx_bytes"), window(0, 3_600), settings(), now);
    assert_eq!(told.await.unwrap(), None);
    let told = why::explain(&db, of_a, a.id, &resource, cpu, window(0, 90_000), settings(), now).await;
    assert_eq!(told.unwrap(), None, "a page of a day is the most");
}

#[test]
fn whatever_was_read_and_wherever_a_period_is_cut_every_step_adds_up() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let db = runtime.block_on(migrations::testing::database());
    let steps = proptest::collection::vec((1_i64..6_000, 0_u64..1_000_000, 0_u8..6), 1..12);
    let mut runner = TestRunner::new(Config { cases: 20, failure_persistence: None, ..Config::default() });
    runner
        .run(&(steps, -4_000_i64..40_000, 1_i64..90_000), |(steps, start, length)| {
            runtime.block_on(async {
                let (mut node, id) = (Node::new(&db), instance_id());
                let owner = tenant(&db, &format!("t-{id}")).await;
                let (mut second, mut value, mut life) = (0, 0, 0);
                let mut now = epoch("0", None);
                let mut readings = Vec::new();
                for (pause, rise, dice) in &steps {
                    (second, value) = (second + pause, value + rise);
                    if *dice < 2 {
                        (life, value) = (life + 1, *rise);
                        now = epoch(&life.to_string(), (*dice == 0).then_some(second - pause / 2));
                    }
                    readings.push(reading(id, second, now, value));
                }
                let mut batch = node.instances(readings);
                batch.instances = vec![facts(id, "web", Some(owner.name.as_str()))];
                node.must_send(&batch).await;
                derive(&db, NOW).await;
                let scope = Scope::Tenant(owner.id.uuid());
                descend(&db, scope, owner.id, "cpu_ns", window(start, start + length)).await;
                Ok(())
            })
        })
        .unwrap();
}
