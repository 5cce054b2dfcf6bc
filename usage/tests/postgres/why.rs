//! Why a figure is what it is: each step adds up to the one before, and shows nothing of anybody else.

use metering::part::Values;
use metering::{InstanceId, MeterName, Resource, TenantId, UsagePart, Window, WindowLength};
use migrations::{Database, Scope};
use proptest::test_runner::{Config, TestRunner};
use usage::corrections::{self, Action};
use usage::dimensions::{self, NewDimension};
use usage::why::{self, PointKind};
use usage::{records, registry};

use crate::story::*;

const NOW: i64 = 200_000;

fn meter(name: &str) -> MeterName {
    MeterName::parse(name).unwrap()
}

/// All usage of a meter around the story.
fn all(name: &str) -> UsagePart {
    UsagePart::whole(meter(name), window(-86_400, 200_000))
}

/// Descends from the sum of a tenant's period to readings; every step must add up. Gives the sum.
async fn descend(db: &Database, scope: Scope, tenant: TenantId, name: &str, period: Window) -> u64 {
    let line = records::usage_of(db, tenant, &[period], settings(), at(NOW)).await.unwrap();
    let line = total(&line, name);
    let part = UsagePart::whole(meter(name), period);
    assert_eq!(descend_part(db, scope, tenant, &part).await, line);
    line
}

/// The same of a part of the usage. Gives what was recorded.
async fn descend_part(db: &Database, scope: Scope, tenant: TenantId, part: &UsagePart) -> u64 {
    let now = at(NOW);
    let resources = why::resources_of(db, scope, tenant, part, settings(), now).await.unwrap();
    for usage in &resources {
        let windows = why::windows_of(db, scope, tenant, &usage.resource, part, settings(), now);
        let windows = windows.await.unwrap();
        assert!(usage.windows.is_none_or(|count| count == windows.len() as u64));
        assert_eq!(windows.iter().map(|record| record.quantity).sum::<u64>(), usage.quantity);
        for record in windows {
            let told = why::explain(db, scope, tenant, &usage.resource, part, record.window, settings(), now)
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
    resources.iter().map(|usage| usage.quantity).sum()
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

    let (hour, cpu) = (window(0, 3_600), all("cpu_ns"));
    let resource = Resource::Instance(id);
    let told = why::explain(&db, scope, a.id, &resource, &cpu, hour, settings(), at(NOW));
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
    let told = why::explain(&db, scope, a.id, &resource, &cpu, next, settings(), at(NOW));
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
    let (period, now, cpu) = (window(-86_400, 86_400), at(NOW), &all("cpu_ns"));
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
        let part = UsagePart::whole(cpu.meter(), hour);
        let windows = why::windows_of(&db, scope, tenant, &resource, &part, settings(), now).await;
        assert_eq!(!windows.unwrap().is_empty(), found);
        // Cut within the window: derived from readings on the spot.
        let cut = Window::new(hour.start(), at(hour.end().as_second() - at(0).as_second() - 60)).unwrap();
        let part = UsagePart::whole(cpu.meter(), cut);
        let windows = why::windows_of(&db, scope, tenant, &resource, &part, settings(), now).await;
        assert_eq!(!windows.unwrap().is_empty(), found);
        let resources = why::resources_of(&db, scope, tenant, &part, settings(), now).await.unwrap();
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
    let received = all("net_rx_bytes");
    let told = why::explain(&db, of_a, a.id, &resource, &received, window(0, 3_600), settings(), now);
    assert_eq!(told.await.unwrap(), None);
    let told = why::explain(&db, of_a, a.id, &resource, cpu, window(0, 90_000), settings(), now).await;
    assert_eq!(told.unwrap(), None, "a page of a day is the most");
}

fn values(text: &str) -> Values {
    let one = |word: &str| word.split_once('=').map(|(n, v)| (n.to_owned(), [v.to_owned()].into())).unwrap();
    text.split_whitespace().map(one).collect()
}

#[tokio::test]
async fn a_part_by_hours_and_dimensions_is_explained_by_its_own_usage_and_no_other() {
    let db = migrations::testing::database().await;
    let (id, a, b) = story(&db).await;
    let resource = Resource::Instance(id);
    let new = NewDimension { resource: &resource, name: "class", value: Some("fast"), author: "operator" };
    // From the third hour on.
    dimensions::set(&db, &new, WindowLength::HOUR, at(3_700)).await.unwrap();
    let (scope, now, cpu) = (Scope::Tenant(a.id.uuid()), at(NOW), meter("cpu_ns"));
    let period = window(0, 10_800);
    // The hours of a price: two, which begin and end within usage windows.
    let hours = [window(1_800, 4_500), window(6_300, 9_900)];
    let others = [window(0, 1_800), window(4_500, 6_300), window(9_900, 10_800)];
    let fast = || values("class=fast");
    let part = |pieces: &[Window], only, except| UsagePart::new(cpu, period, pieces, only, except);
    let parts = [
        part(&hours, fast(), vec![]),
        part(&hours, Values::new(), vec![fast()]),
        part(&others, fast(), vec![]),
        part(&others, Values::new(), vec![fast()]),
    ];
    let corrections = [
        (window(3_600, 10_800), Action::Exclude),
        (window(3_600, 10_800), Action::Add(7_777)),
        (window(3_600, 7_200), Action::Annotate),
    ];
    for (n, (window, action)) in (0_u128..).zip(corrections) {
        let new = corrections::NewCorrection {
            id: uuid::Uuid::from_u128(n + 1),
            resource: &resource,
            meter: cpu,
            window,
            action,
            reason: "a test",
            author: "operator",
        };
        corrections::correct(&db, &new, settings(), at(90_000)).await.unwrap();
    }
    let (mut recorded, mut counted) = (0, 0);
    for part in &parts {
        let sum = u128::from(descend_part(&db, scope, a.id, part).await);
        let corrections = why::corrections_of(&db, scope, a.id, part, settings(), now).await.unwrap();
        // As it is billed: piece by piece, by what rating takes.
        let billed = records::usage_of(&db, a.id, part.pieces(), settings(), now).await.unwrap();
        let billed = billed.iter().filter(|one| one.meter == cpu && part.takes(&one.dimensions));
        let billed: u128 = billed.map(|one| u128::from(one.quantity)).sum();
        assert_eq!(why::corrected(sum, &corrections), billed, "{part:?}");
        let remarks = corrections.iter().filter(|one| one.correction.action == Action::Annotate).count();
        assert_eq!(
            remarks,
            usize::from(part.only().is_empty()),
            "a remark about another part is not this one's"
        );
        recorded += sum;
        counted += billed;
        let other = Scope::Tenant(b.id.uuid());
        assert_eq!(why::corrections_of(&db, other, a.id, part, settings(), now).await.unwrap(), []);
        assert_eq!(why::resources_of(&db, other, a.id, part, settings(), now).await.unwrap(), []);
    }
    let all = records::usage_of(&db, a.id, &[period], settings(), now).await.unwrap();
    assert_eq!((recorded, counted), (2_500, u128::from(total(&all, "cpu_ns"))));
    let outside = window(3_600, 7_200);
    let told = why::explain(&db, scope, a.id, &resource, &parts[0], outside, settings(), now).await;
    assert_eq!(told.unwrap(), None, "a window beside the part");
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
