//! Instances and volumes that two nodes speak of: one owner at every instant, and nothing lost when it changes.

use metering::{Batch, BatchSeq, EpochId, InstanceState, VolumeId};
use migrations::{Database, Scope};

use crate::story::*;

async fn place(db: &Database, id: metering::InstanceId) -> (uuid::Uuid, String) {
    let text = format!("SELECT node_id, state FROM instance WHERE instance_id = '{id}'");
    let rows = query(db, Scope::Provider, &text).await;
    (rows[0].get("node_id"), rows[0].get("state"))
}

async fn total_cpu(db: &Database, id: metering::InstanceId) -> i64 {
    let text = format!(
        "SELECT coalesce(sum(quantity), 0)::bigint AS n FROM usage_record WHERE meter = 'cpu_ns' AND resource = '{id}'"
    );
    query(db, Scope::Provider, &text).await[0].get("n")
}

/// All orders in which two nodes' batches can come, each node's own in order: true is the first one's turn.
fn interleavings(a: usize, b: usize) -> Vec<Vec<bool>> {
    if a == 0 || b == 0 {
        return vec![[vec![true; a], vec![false; b]].concat()];
    }
    let with = |first: bool, rest: Vec<Vec<bool>>| {
        rest.into_iter().map(move |tail| [vec![first], tail].concat()).collect::<Vec<_>>()
    };
    [with(true, interleavings(a - 1, b)), with(false, interleavings(a, b - 1))].concat()
}

#[tokio::test]
async fn a_live_migration_counts_both_lives_to_the_unit_in_whatever_order_the_nodes_report() {
    let db = migrations::testing::database().await;
    for (n, order) in interleavings(3, 3).into_iter().enumerate() {
        let (mut source, mut target, id) = (Node::new(&db), Node::new(&db), instance_id());
        let here = epoch(&format!("source {n}"), Some(0));
        let there = epoch(&format!("target {n}"), Some(118));
        let disk_of = |batch: &mut Batch, second, life, value| {
            batch.readings.disks = vec![disk(id, "vda", second, life, value)];
        };
        let mut last = source.instances(vec![reading(id, 120, here, 120)]);
        last.readings.instances.push(reading(id, 121, metering::Epoch::NONE, 0));
        disk_of(&mut last, 120, here, 1_200);
        let mut first = target.instances(vec![reading(id, 119, there, 1)]);
        disk_of(&mut first, 119, there, 10);
        let mut sources = vec![
            source.instances(vec![reading(id, 0, here, 0)]),
            source.instances(vec![reading(id, 60, here, 60)]),
            last,
        ]
        .into_iter();
        // In the end the source is silent for so long that the target is believed in any order.
        let mut end = target.instances(vec![reading(id, 400, there, 282)]);
        disk_of(&mut end, 400, there, 2_820);
        let mut targets = vec![first, target.instances(vec![reading(id, 180, there, 62)]), end].into_iter();
        for is_source in &order {
            if *is_source {
                source.must_send(&sources.next().unwrap()).await;
            } else {
                target.must_send(&targets.next().unwrap()).await;
            }
        }
        derive(&db, 400).await;
        assert_eq!(total_cpu(&db, id).await, 120 + 282, "{order:?}");
        assert_eq!(place(&db, id).await, (target.id.uuid(), "running".into()), "{order:?}");
    }
    check_conservation(&db).await;
}

#[tokio::test]
async fn a_node_that_claims_what_runs_elsewhere_is_refused_by_row_and_the_rest_of_its_batch_counts() {
    let db = migrations::testing::database().await;
    let (mut a, mut b) = (Node::new(&db), Node::new(&db));
    let (id, own, life) = (instance_id(), instance_id(), epoch("a", Some(0)));
    let mut honest = a.instances((0..10).map(|n| reading(id, n * 60, life, n.unsigned_abs() * 60)).collect());
    honest.instances = vec![facts(id, "web", None)];
    a.must_send(&honest).await;
    let forged = epoch("forged", Some(500));
    let mut batch = b.instances(vec![reading(id, 600, forged, 50), reading(own, 600, forged, 100)]);
    batch.readings.disks = vec![disk(id, "vda", 600, forged, 1), disk(own, "vda", 600, forged, 1)];
    batch.readings.instances.push(gone(id, 601));
    let ingested = b.send(&batch).await.unwrap();
    assert_eq!((taken(&ingested), ingested.ignored), ((2, 1), 2));
    let rows = query(&db, Scope::Provider, "SELECT reason FROM quarantine").await;
    let expected = format!("it runs on node {}, which reported it at 2026-10-25T12:09:00Z", a.id);
    assert_eq!(rows[0].get::<_, String>("reason"), expected);
    assert_eq!(place(&db, id).await, (a.id.uuid(), "running".into()));
    derive(&db, 600).await;
    assert_eq!((total_cpu(&db, id).await, total_cpu(&db, own).await), (540, 100));
    // Once its node is removed, whoever has it may say so.
    let mut session = db.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let text = format!("UPDATE node SET state = 'removed', removed_at = now() WHERE node_id = '{}'", a.id);
    transaction.execute(text.as_str(), &[]).await.unwrap();
    transaction.commit().await.unwrap();
    let batch = b.instances(vec![reading(id, 660, forged, 110)]);
    assert_eq!(taken(&b.send(&batch).await.unwrap()), (1, 0));
    assert_eq!(place(&db, id).await, (b.id.uuid(), "running".into()));
    derive(&db, 660).await;
    assert_eq!(total_cpu(&db, id).await, 540 + 110);
    check_conservation(&db).await;
}

#[tokio::test]
async fn an_aborted_migration_and_a_definition_left_behind_say_nothing_and_alarm_nobody() {
    let db = migrations::testing::database().await;
    let (mut a, mut b, id) = (Node::new(&db), Node::new(&db), instance_id());
    let (life, incoming) = (epoch("a", Some(0)), epoch("b", Some(30)));
    let paused = |second, value| {
        let mut reading = reading(id, second, incoming, value);
        reading.state = InstanceState::Paused;
        reading
    };
    for (second, value) in [(0, 0), (60, 60)] {
        let batch = a.instances(vec![reading(id, second, life, value)]);
        a.must_send(&batch).await;
        let mut batch = b.instances(vec![paused(second + 5, 0)]);
        batch.readings.nics = vec![nic(id, "52:54:00:00:00:01", second + 5, incoming, 0)];
        let ingested = b.send(&batch).await.unwrap();
        assert_eq!((taken(&ingested), ingested.ignored), ((0, 0), 2));
    }
    let batch = b.instances(vec![gone(id, 70)]);
    assert_eq!(b.send(&batch).await.unwrap().ignored, 1);
    let batch = a.instances(vec![reading(id, 120, life, 120)]);
    a.must_send(&batch).await;
    assert_eq!(place(&db, id).await, (a.id.uuid(), "running".into()));
    derive(&db, 120).await;
    assert_eq!(total_cpu(&db, id).await, 120);
    assert_eq!(count(&db, Scope::Provider, "quarantine").await, 0);
}

#[tokio::test]
async fn a_volume_that_two_nodes_see_is_billed_once_even_when_the_other_one_takes_over() {
    let db = migrations::testing::database().await;
    let (mut a, mut b) = (Node::new(&db), Node::new(&db));
    let id = VolumeId::of(a.id, "shared", "data");
    let (by_a, by_b) = (epoch("a", Some(0)), epoch("b", Some(0)));
    // 1 KiB: as many KiB x s as seconds.
    let told = |node: &mut Node, second: i64, life| {
        let mut reading = volume(id, second, life, second.unsigned_abs());
        reading.capacity_bytes = 1_024;
        let mut batch = node.batch();
        batch.readings.volumes = vec![reading];
        batch
    };
    for second in (60..=600).step_by(60) {
        let batch = told(&mut a, second, by_a);
        a.must_send(&batch).await;
        let batch = told(&mut b, second, by_b);
        assert_eq!(b.send(&batch).await.unwrap().ignored, 1);
    }
    // The first node is lost; what it still had to tell comes last.
    let late = told(&mut a, 660, by_a);
    for second in (720..=1_200).step_by(60) {
        let batch = told(&mut b, second, by_b);
        b.must_send(&batch).await;
    }
    a.must_send(&late).await;
    derive(&db, 1_200).await;
    let rows = query(&db, Scope::Provider, "SELECT sum(quantity)::bigint AS n FROM usage_record").await;
    // Between its last reading and the first one of the other node nobody knows.
    assert_eq!(rows[0].get::<_, i64>("n"), 660 + (1_200 - 840));
    check_conservation(&db).await;
}

#[tokio::test]
async fn lives_on_two_nodes_that_overlap_are_derived_right_by_single_windows_too() {
    let db = migrations::testing::database().await;
    let (mut a, mut b, id) = (Node::new(&db), Node::new(&db), instance_id());
    let (here, there) = (epoch("a", Some(0)), epoch("b", Some(3_500)));
    let batch = a.instances(vec![reading(id, 0, here, 0), reading(id, 3_590, here, 3_590)]);
    a.must_send(&batch).await;
    let mut paused = reading(id, 3_595, here, 3_595);
    paused.state = InstanceState::Paused;
    let batch = a.instances(vec![paused]);
    a.must_send(&batch).await;
    derive(&db, 3_600).await;
    let batch = b.instances(vec![reading(id, 3_610, there, 110)]);
    b.must_send(&batch).await;
    derive(&db, 3_610).await;
    // The source's last reading comes after the target's first, and belongs to the next window.
    let batch = a.instances(vec![reading(id, 3_620, here, 3_596)]);
    a.must_send(&batch).await;
    derive(&db, 3_620).await;
    let batch = b.instances(vec![reading(id, 3_605, there, 105), reading(id, 3_630, there, 130)]);
    b.must_send(&batch).await;
    derive(&db, 3_630).await;
    assert_eq!(total_cpu(&db, id).await, 3_596 + 130);
    assert_eq!(check_conservation(&db).await, 4);
    assert_ne!(EpochId::NONE, there.id);
    assert_eq!(b.send(&batch).await.unwrap().known_until, BatchSeq(2));
}
