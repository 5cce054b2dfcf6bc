//! A batch counts once, whatever happens to it.

use std::sync::Arc;

use metering::Batch;
use migrations::{Database, Scope};
use usage::{Delivery, IngestError};

use crate::story::*;

fn simple(node: &mut Node) -> Batch {
    let (id, a) = (instance_id(), epoch("a", Some(0)));
    node.instances(vec![reading(id, 10, a, 10), reading(id, 20, a, 25)])
}

async fn state(db: &Database) -> (i64, i64, i64) {
    derive(db, 20).await;
    (
        count(db, Scope::Provider, "visible_instance_reading").await,
        count(db, Scope::Provider, "batch_ledger").await,
        count(db, Scope::Provider, "usage_record").await,
    )
}

#[tokio::test]
async fn a_batch_that_comes_again_changes_nothing_even_a_month_later() {
    let db = migrations::testing::database().await;
    let mut node = Node::new(&db);
    let batch = simple(&mut node);
    assert_eq!(taken(&node.send(&batch).await.unwrap()), (2, 0));
    let before = state(&db).await;
    assert_eq!(before, (2, 1, 4));
    assert!(node.send(&batch).await.unwrap().is_duplicate);
    let month_later = at(30 * 86_400);
    let again = node.ingestor.ingest(&batch, &Delivery::default(), month_later).await.unwrap();
    assert!(again.is_duplicate);
    assert_eq!(count(&db, Scope::Provider, "dirty_window").await, 0);
    assert_eq!(state(&db).await, before);
    check(&db, "cpu_ns", "unassigned 0 25 20 0 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_comes_on_many_connections_at_once_counts_once() {
    let db = migrations::testing::database().await;
    let mut node = Node::new(&db);
    let batch = Arc::new(simple(&mut node));
    let node = Arc::new(node);
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let (node, batch) = (Arc::clone(&node), Arc::clone(&batch));
        tasks.push(tokio::spawn(async move { node.send(&batch).await.unwrap() }));
    }
    let mut taken = 0;
    for task in tasks {
        taken += usize::from(!task.await.unwrap().is_duplicate);
    }
    assert_eq!(taken, 1);
    assert_eq!(state(&db).await, (2, 1, 4));
}

#[tokio::test]
async fn known_batches_that_come_again_folded_after_a_power_cut_are_no_reason_for_an_alarm() {
    let db = migrations::testing::database().await;
    let (mut node, id, other) = (Node::new(&db), instance_id(), instance_id());
    let (old, new) = (epoch("old", Some(0)), epoch("new", Some(15)));
    let mut older = node.instances(vec![reading(id, 10, old, 10)]);
    older.readings.disks = vec![disk(id, "vda", 10, old, 100)];
    older.readings.nics = vec![nic(id, "52:54:00:00:00:01", 10, old, 7)];
    let newer = node.instances(vec![reading(id, 20, new, 5)]);
    for batch in [&older, &newer] {
        node.must_send(batch).await;
    }
    let before = state(&db).await;
    // The last reading of the old life stays, in the batch after it.
    let mut folded = newer.clone();
    folded.readings.instances.insert(0, older.readings.instances[0].clone());
    folded.readings.disks.clone_from(&older.readings.disks);
    folded.readings.nics.clone_from(&older.readings.nics);
    assert!(node.send(&folded).await.unwrap().is_duplicate);
    assert_eq!(state(&db).await, before);
    // What nobody knows is not swallowed.
    for strange in [reading(other, 10, old, 10), reading(id, 10, epoch("never told", Some(3)), 10)] {
        let mut unknown = folded.clone();
        unknown.readings.instances.push(strange);
        assert!(matches!(node.send(&unknown).await, Err(IngestError::Reused { .. })));
    }
    assert_eq!(state(&db).await, before);
}

/// Readings of all kinds at `second`, of which each is too fast to be true.
fn too_fast(node: &mut Node, id: metering::InstanceId, vol: metering::VolumeId, second: i64) -> Batch {
    let a = epoch("a", Some(0));
    let mut batch = node.instances(vec![reading(id, second, a, 1 << 60)]);
    batch.readings.disks = vec![disk(id, "vda", second, a, 1 << 60)];
    batch.readings.nics = vec![nic(id, "52:54:00:00:00:01", second, a, 1 << 60)];
    batch.readings.volumes = vec![volume(vol, second, a, 1 << 60)];
    batch
}

#[tokio::test]
async fn known_batches_that_come_again_folded_alarm_nobody_when_rows_of_them_lie_in_quarantine() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let vol = metering::VolumeId::of(node.id, "default", "disk");
    let good = node.instances(vec![reading(id, 10, a, 10)]);
    node.must_send(&good).await;
    let older = too_fast(&mut node, id, vol, 20);
    assert_eq!(taken(&node.send(&older).await.unwrap()), (0, 4));
    let newer = node.instances(vec![reading(id, 30, epoch("b", Some(25)), 5)]);
    node.must_send(&newer).await;
    let folded = Batch { readings: older.readings.clone(), ..newer.clone() };
    let mut folded_both = folded.clone();
    folded_both.readings.instances.extend(newer.readings.instances.clone());
    let before = state(&db).await;
    let ask = || async {
        for form in [&folded, &folded_both] {
            assert!(node.send(form).await.unwrap().is_duplicate);
        }
    };
    ask().await;
    assert_eq!(state(&db).await, before);
    assert_eq!(count(&db, Scope::Provider, "quarantine").await, 4);
    // What was never in quarantine, or came there with a later batch, is not swallowed.
    let mut strange = folded_both.clone();
    strange.readings.disks[0].target = "vdb".into();
    assert!(matches!(node.send(&strange).await, Err(IngestError::Reused { .. })));
    let released = usage::quarantine::release(
        &db,
        usage::IngestSettings::new(settings().window),
        node.id,
        older.seq,
        at(99),
    );
    assert_eq!(released.await.unwrap().rows, 4);
    ask().await;
}

#[tokio::test]
async fn known_batches_that_come_again_folded_alarm_nobody_when_another_node_had_what_they_are_of() {
    let db = migrations::testing::database().await;
    let (mut node, mut other, id) = (Node::new(&db), Node::new(&db), instance_id());
    let (there, here) = (epoch("there", Some(0)), epoch("here", Some(900)));
    let of_other = other.instances(vec![reading(id, 10, there, 10)]);
    other.must_send(&of_other).await;
    // The paused target of a migration that has not happened yet.
    let mut target = reading(id, 15, epoch("target", Some(14)), 0);
    target.state = metering::InstanceState::Paused;
    let older = node.instances(vec![target.clone()]);
    assert_eq!(node.send(&older).await.unwrap().ignored, 1);
    let newer = node.instances(Vec::new());
    node.must_send(&newer).await;
    let mut folded = newer.clone();
    folded.readings.instances.push(target);
    assert!(node.send(&folded).await.unwrap().is_duplicate);
    // Later it runs here.
    let moved = node.instances(vec![reading(id, 900, here, 5)]);
    node.must_send(&moved).await;
    assert!(node.send(&folded).await.unwrap().is_duplicate);
}

#[tokio::test]
async fn a_node_that_lost_count_is_refused_instead_of_being_taken_for_a_duplicate() {
    let db = migrations::testing::database().await;
    let mut node = Node::new(&db);
    let batch = simple(&mut node);
    node.must_send(&batch).await;
    let other = Batch { collected_at: at(999), ..batch.clone() };
    let error = node.send(&other).await.unwrap_err();
    assert!(matches!(error, IngestError::Reused { .. }) && !error.is_transient(), "{error}");
    // Of the same look, and with nothing that is not known: it says less than it did, which alarms nobody.
    let shorter = Batch { readings: metering::Readings::default(), ..batch };
    assert!(node.send(&shorter).await.unwrap().is_duplicate);
    assert_eq!(state(&db).await, (2, 1, 4));
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_refused_whole() {
    let db = migrations::testing::database().await;
    let mut node = Node::new(&db);
    let settings = usage::IngestSettings { rows_max: 1, ..usage::IngestSettings::new(settings().window) };
    let error = usage::Ingestor::new(db.database(), settings)
        .ingest(&simple(&mut node), &Delivery::default(), at(100))
        .await;
    assert!(matches!(error, Err(IngestError::TooLarge { rows: 2, rows_max: 1 })));
    assert_eq!(count(&db, Scope::Provider, "batch_ledger").await, 0);
}

#[tokio::test]
async fn partitions_that_were_dropped_behind_our_back_are_made_again() {
    let db = migrations::testing::database().await;
    let mut node = Node::new(&db);
    let first = simple(&mut node);
    node.must_send(&first).await;
    let mut session = db.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    transaction.query("SELECT weir_drop_partitions('instance_reading', '2026-12-01')", &[]).await.unwrap();
    transaction.commit().await.unwrap();
    let second = simple(&mut node);
    assert_eq!(taken(&node.send(&second).await.unwrap()), (2, 0));
    assert_eq!(count(&db, Scope::Provider, "visible_instance_reading").await, 2);
}
