//! How full nodes are, and how fast instances use what.

use jiff::SignedDuration;
use metering::{BootId, NodeReading, VolumeId};
use migrations::Scope;
use usage::{capacity, charts, registry};
use uuid::Uuid;

use crate::story::*;

/// A node with four processors whose work so far is `cpu_busy_ms`.
fn node_reading(second: i64, cpu_busy_ms: u64) -> NodeReading {
    NodeReading {
        observed_at: at(second),
        cpus: 4,
        cpu_busy_ms,
        memory_total_kib: 8_000,
        memory_used_kib: 3_000,
        storage_total_kib: 90_000,
        storage_used_kib: 40_000 + u64::try_from(second).unwrap_or(0),
        rx_bytes: 0,
        tx_bytes: 0,
    }
}

#[tokio::test]
async fn a_node_shows_what_it_has_what_it_promised_and_what_is_used() {
    let db = migrations::testing::database().await;
    let (mut node, id, off) = (Node::new(&db), instance_id(), instance_id());
    let (a, vol) = (epoch("a", Some(0)), VolumeId::from_uuid(Uuid::new_v4()));
    // The second reading of each pair comes after a reboot by which the counter has passed its old value.
    for (n, (second, boot, busy)) in
        [(0, 1, 1_000), (60, 1, 61_000), (120, 2, 500_000), (180, 2, 620_000)].into_iter().enumerate()
    {
        let mut batch = node.batch();
        batch.boot_id = BootId::from_uuid(Uuid::from_u128(boot));
        batch.readings.node = Some(node_reading(second, busy));
        if n == 3 {
            batch.readings.instances =
                vec![reading(id, second, a, 60), reading(off, second, metering::Epoch::NONE, 0)];
            batch.readings.volumes = vec![volume(vol, second, a, 100)];
        }
        node.must_send(&batch).await;
    }
    derive(&db, 200).await;
    assert_eq!(capacity::roll_up(&db, at(200)).await.unwrap(), 1);
    let nodes = capacity::nodes(&db).await.unwrap();
    let [kvm] = &nodes[..] else { panic!("{nodes:?}") };
    assert_eq!((kvm.cpus, kvm.memory_total_kib, kvm.storage_total_kib), (4, 8_000, 90_000));
    let now = kvm.now;
    // What is switched off holds nothing but its disk.
    assert_eq!(
        (now.allocated_vcpus, now.allocated_memory_kib, now.allocated_storage_kib),
        (2.0, 1_024, 1 << 20)
    );
    assert_eq!(
        (now.used_cpu, now.used_memory_kib, now.used_storage_kib),
        (Some(1.5), Some(3_000), Some(40_180))
    );
    let day = kvm.days[0];
    assert_eq!((kvm.days.len(), day.day.to_string().as_str(), day.is_complete), (1, "2026-10-25", false));
    assert!((day.used_cpu - 1.5).abs() < 1e-9, "the reboot is no work: {day:?}");
    assert_eq!(day.used_storage_kib, 40_180);
    assert!((day.allocated_vcpus - 60.0 / (43_200_000.0 + 200_000.0)).abs() < 1e-12, "{day:?}");

    // Two days later it is complete, and stays as it is when its readings are gone.
    assert_eq!(capacity::roll_up(&db, at(3 * 86_400)).await.unwrap(), 1);
    assert_eq!(capacity::roll_up(&db, at(3 * 86_400)).await.unwrap(), 0);
    let day = capacity::nodes(&db).await.unwrap()[0].days[0];
    assert!(day.is_complete);
    assert!((day.allocated_vcpus - 60.0 / 86_400_000.0).abs() < 1e-12, "{day:?}");
}

#[tokio::test]
async fn a_chart_is_for_whoever_held_the_instance_at_that_time() {
    let db = migrations::testing::database().await;
    let (a, b) = (tenant(&db, "a").await, tenant(&db, "b").await);
    let (mut node, id) = (Node::new(&db), instance_id());
    let (life, next) = (epoch("a", Some(0)), epoch("b", Some(300)));
    let mut batch = node.batch();
    for minute in 0..10_i64 {
        let (second, life) = (minute * 60, if minute < 6 { life } else { next });
        // Half a processor, and a hundred bytes per second.
        let count = u64::try_from(minute * 60).unwrap();
        let mut half = reading(id, second, life, count);
        half.registers.cpu_ns = count * 500_000_000;
        batch.readings.instances.push(half);
        batch.readings.nics.push(nic(id, "52:54:00:00:00:01", second, life, count * 100));
        batch.readings.nics.push(nic(id, "52:54:00:00:00:02", second, life, count * 10));
    }
    batch.instances = vec![facts(id, "web", Some("a"))];
    node.must_send(&batch).await;
    registry::assign(&db, id, b.id, Some(at(300)), settings()).await.unwrap();
    let check = async |scope, points: usize, expected: &[Option<i64>], cores: f64| {
        let chart = charts::of_instance(&db, scope, id, at(0), at(600), points).await.unwrap();
        let rates: Vec<Option<i64>> =
            chart.net_rx_bytes_s.iter().map(|rate| rate.map(|rate| rate.round() as i64)).collect();
        assert_eq!(rates, expected, "{scope:?}");
        assert_eq!(chart.at.len(), expected.len());
        assert!(chart.cpu_cores.iter().flatten().all(|rate| (rate - cores).abs() < 1e-9), "{chart:?}");
        assert!(chart.disk_read_bytes_s.iter().all(Option::is_none));
    };
    let (of_a, of_b) = (Scope::Tenant(a.id.uuid()), Scope::Tenant(b.id.uuid()));
    let (r, o) = (Some(110), None);
    check(Scope::Provider, 1_000, &[r, r, r, r, r, o, r, r, r, o], 0.5).await;
    check(of_a, 1_000, &[r, r, r, r, o, o, o, o, o, o], 0.5).await;
    check(of_b, 1_000, &[o, o, o, o, o, o, r, r, r, o], 0.5).await;
    check(Scope::Tenant(Uuid::new_v4()), 1_000, &[], 0.5).await;
    let chart = charts::of_instance(&db, Scope::Provider, id, at(0), at(600), 3).await.unwrap();
    assert!(chart.at.len() <= 4, "{chart:?}");
    let none = charts::of_instance(&db, of_a, id, at(600), at(600) - SignedDuration::from_secs(1), 9).await;
    assert_eq!(none.unwrap(), charts::Chart::default());
}

/// What is found of a step: its number, the device, the life, the instant.
type Found = (i64, String, i64, jiff::Timestamp);

#[tokio::test]
async fn a_chart_of_long_steps_stands_on_the_same_readings_as_one_that_reads_them_all() {
    let db = migrations::testing::database().await;
    let a = tenant(&db, "a").await;
    let (mut node, id) = (Node::new(&db), instance_id());
    let (first, second) = (epoch("first", Some(0)), epoch("second", Some(20_000)));
    let mut batch = node.batch();
    for minute in (0..720_i64).filter(|minute| !(400..450).contains(minute)) {
        let life = if minute < 333 { first } else { second };
        let (at, count) = (minute * 60, u64::try_from(minute).unwrap());
        batch.readings.instances.push(reading(id, at, life, count));
        batch.readings.disks.push(disk(id, "vda", at, life, count));
        if (100..250).contains(&minute) {
            batch.readings.disks.push(disk(id, "vdb", at, life, count));
        }
        batch.readings.nics.push(nic(id, "52:54:00:00:00:01", at, life, count));
    }
    batch.instances = vec![facts(id, "web", Some("a"))];
    node.must_send(&batch).await;
    for scope in [Scope::Provider, Scope::Tenant(a.id.uuid())] {
        for (all, looks) in [
            (
                include_str!("../../sql/chart_instance.sql"),
                include_str!("../../sql/chart_instance_looks.sql"),
            ),
            (include_str!("../../sql/chart_disk.sql"), include_str!("../../sql/chart_disk_looks.sql")),
            (include_str!("../../sql/chart_nic.sql"), include_str!("../../sql/chart_nic_looks.sql")),
        ] {
            for minutes in [7, 30, 61, 500] {
                let mut found = Vec::new();
                for text in [all, looks] {
                    found.push(steps(&db, scope, text, id, minutes * 60_000_000).await);
                }
                assert!(!found[0].is_empty());
                assert_eq!(found[0], found[1], "{minutes}");
            }
        }
    }
}

async fn steps(
    db: &migrations::Database,
    scope: Scope,
    text: &str,
    id: metering::InstanceId,
    step_us: i64,
) -> Vec<Found> {
    let mut session = db.session().await.unwrap();
    let transaction = session.begin(scope).await.unwrap();
    let rows = transaction.query(text, &[&id.uuid(), &at(30), &at(43_000), &step_us]).await.unwrap();
    let found = |row: &tokio_postgres::Row| {
        (row.get("step"), row.get("device"), row.get("epoch"), row.get("observed_at"))
    };
    rows.iter().map(found).collect()
}
