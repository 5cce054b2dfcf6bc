//! Usage records out of readings.

use std::time::Duration;

use metering::{Epoch, WindowLength};
use migrations::Scope;
use usage::UsageSettings;

use crate::story::*;

#[tokio::test]
async fn usage_is_split_at_the_hour_and_nothing_is_lost_at_the_border() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(3_590)));
    let batch =
        node.instances(vec![reading(id, 3_595, a, 5), reading(id, 3_602, a, 12), reading(id, 3_610, a, 20)]);
    node.must_send(&batch).await;
    derive(&db, 3_610).await;
    check(&db, "cpu_ns", "unassigned 0 10 10 0 0\nunassigned 3600 10 10 0 0").await;
    check_conservation(&db).await;
}

#[tokio::test]
async fn a_late_reading_corrects_its_neighbours() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let early = node.instances(vec![reading(id, 5, a, 5)]);
    let late = node.instances(vec![reading(id, 3_600, a, 1_000)]);
    let after = node.instances(vec![reading(id, 7_200, a, 1_005)]);
    node.must_send(&early).await;
    node.must_send(&after).await;
    derive(&db, 7_200).await;
    // Nobody knows when the thousand were used: half in each hour, all of it estimated.
    check(&db, "cpu_ns", "unassigned 0 504 5 3595 0\nunassigned 3600 501 0 3600 0").await;
    node.must_send(&late).await;
    derive(&db, 7_200).await;
    check(&db, "cpu_ns", "unassigned 0 1000 5 3595 0\nunassigned 3600 5 0 3600 0").await;
    check_conservation(&db).await;
}

#[tokio::test]
async fn readings_that_stop_leave_missing_time_once_the_hour_is_over() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let other = instance_id();
    let batch = node.instances(vec![reading(id, 10, a, 10), reading(other, 10, a, 10), gone(other, 15)]);
    node.must_send(&batch).await;
    derive(&db, 15).await;
    check(&db, "cpu_ns", "unassigned 0 10 10 0 0\nunassigned 0 10 15 0 0").await;
    // Nothing is late yet, or no hour is over: nothing to do.
    assert_eq!(usage::mark_overdue(&db, settings(), at(19)).await.unwrap(), 0);
    assert_eq!(usage::mark_overdue(&db, settings(), at(3_599)).await.unwrap(), 0);
    assert_eq!(usage::mark_overdue(&db, settings(), at(7_300)).await.unwrap(), 1);
    assert_eq!(usage::mark_overdue(&db, settings(), at(7_300)).await.unwrap(), 0, "once is enough");
    derive(&db, 7_300).await;
    check(&db, "cpu_ns", "unassigned 0 10 10 0 3590\nunassigned 0 10 15 0 0\nunassigned 3600 0 0 0 3600")
        .await;
    // It was the network: what was missing is estimated now.
    let back = node.instances(vec![reading(id, 7_210, a, 7_210)]);
    node.must_send(&back).await;
    derive(&db, 7_210).await;
    check(
        &db,
        "cpu_ns",
        "unassigned 0 10 15 0 0\nunassigned 0 3600 10 3590 0\nunassigned 3600 3600 0 3600 0\n\
         unassigned 7200 10 0 10 0",
    )
    .await;
    check_conservation(&db).await;
}

#[tokio::test]
async fn a_disk_that_was_unplugged_misses_nothing_and_one_that_could_not_be_read_does() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let seconds = [10, 20, 30, 40, 50];
    let mut batch = node.instances(seconds.iter().map(|s| reading(id, *s, a, s.unsigned_abs())).collect());
    batch.readings.disks = vec![
        disk(id, "vda", 10, a, 1),
        disk(id, "vda", 20, a, 2),
        disk(id, "vdb", 10, a, 7),
        disk(id, "vdb", 20, a, 8),
    ];
    batch.gaps = vec![gap(id, Some("vda"), 20, 50)];
    node.must_send(&batch).await;
    derive(&db, 70).await;
    check(&db, "disk_read_bytes", "unassigned vda 0 2 20 0 50\nunassigned vdb 0 8 30 0 0").await;
    // Plugged in again: a new life, counted from its birth.
    let mut again = node.instances(vec![reading(id, 60, a, 60)]);
    again.readings.disks = vec![disk(id, "vda", 60, a, 30), disk(id, "vdb", 60, epoch("b", Some(55)), 4)];
    node.must_send(&again).await;
    derive(&db, 60).await;
    check(&db, "disk_read_bytes", "unassigned vda 0 30 20 40 0\nunassigned vdb 0 12 35 0 0").await;
    check_conservation(&db).await;
}

#[tokio::test]
async fn what_is_switched_off_is_watched_and_uses_nothing() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let mut batch = node.instances(vec![
        reading(id, 10, a, 10),
        reading(id, 20, Epoch::NONE, 0),
        reading(id, 30, Epoch::NONE, 0),
        reading(id, 40, epoch("b", Some(35)), 4),
    ]);
    batch.readings.nics = vec![
        nic(id, "52:54:00:00:00:01", 10, a, 100),
        nic(id, "52:54:00:00:00:01", 40, epoch("b", Some(35)), 11),
    ];
    node.must_send(&batch).await;
    derive(&db, 40).await;
    check(&db, "running_ms", "unassigned 0 14 40 0 0").await;
    check(&db, "net_rx_bytes", "unassigned 52:54:00:00:00:01 0 111 25 0 0").await;
    check_conservation(&db).await;
}

#[tokio::test]
async fn a_window_that_becomes_dirty_while_it_is_derived_is_derived_again() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let (first, second) =
        (node.instances(vec![reading(id, 10, a, 10)]), node.instances(vec![reading(id, 20, a, 20)]));
    node.must_send(&first).await;
    // Somebody derives: has taken the marks and read, but has not committed.
    let mut session = db.session().await.unwrap();
    let deriving = session.begin(Scope::Provider).await.unwrap();
    let taken = deriving.execute("DELETE FROM dirty_window", &[]).await.unwrap();
    assert_eq!(taken, 1);
    // The next readings of the same window wait for that ...
    let ingestor = usage::Ingestor::new(db.database(), usage::IngestSettings::new(settings().window));
    let mut ingest =
        tokio::spawn(
            async move { ingestor.ingest(&second, &usage::Delivery::default(), at(100)).await.unwrap() },
        );
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut ingest).await;
    assert!(waited.is_err(), "it marked a window whose mark was being taken");
    deriving.commit().await.unwrap();
    ingest.await.unwrap();
    // ... and their mark is there afterwards.
    assert_eq!(count(&db, Scope::Provider, "dirty_window").await, 1);
    derive(&db, 20).await;
    check(&db, "cpu_ns", "unassigned 0 20 20 0 0").await;
}

#[tokio::test]
async fn a_mark_whose_readings_are_not_committed_yet_is_not_taken() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let first = node.instances(vec![reading(id, 10, a, 10)]);
    node.must_send(&first).await;
    // The mark exists; an ingest marks it again and has not committed its readings.
    let mut session = db.session().await.unwrap();
    let ingesting = session.begin(Scope::Provider).await.unwrap();
    let mark = include_str!("../../sql/mark_dirty.sql");
    let (starts, ends) = (vec![at(0)], vec![at(3_600)]);
    ingesting.execute(mark, &[&vec!["instance"], &vec![id.uuid()], &starts, &ends]).await.unwrap();
    derive(&db, 10).await;
    assert_eq!(count(&db, Scope::Provider, "dirty_window").await, 1, "it was taken too early");
    ingesting.commit().await.unwrap();
    derive(&db, 10).await;
    assert_eq!(count(&db, Scope::Provider, "dirty_window").await, 0);
    check(&db, "cpu_ns", "unassigned 0 10 10 0 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_derive_beside_an_ingest_agree_with_one_that_works_alone() {
    let db = migrations::testing::database().await;
    let (mut node, a) = (Node::new(&db), epoch("a", Some(0)));
    let ids: Vec<_> = (0..5).map(|_| instance_id()).collect();
    let batches: Vec<_> = (1..40)
        .map(|n| {
            node.instances(ids.iter().map(|id| reading(*id, n * 300, a, n.unsigned_abs() * 7)).collect())
        })
        .collect();
    let deriving = [(); 2].map(|()| {
        let db = db.database();
        tokio::spawn(async move {
            for _ in 0..25 {
                derive(&db, 12_000).await;
            }
        })
    });
    for batch in &batches {
        node.must_send(batch).await;
    }
    for task in deriving {
        task.await.unwrap();
    }
    derive(&db, 12_000).await;
    assert_eq!(check_conservation(&db).await, 20);
}

#[tokio::test]
async fn another_window_length_replaces_the_records_that_it_cuts() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let batch = node.instances(vec![reading(id, 10, a, 10), reading(id, 3_600, a, 3_600)]);
    node.must_send(&batch).await;
    derive(&db, 3_600).await;
    let quarter =
        UsageSettings { window: WindowLength::new(Duration::from_secs(900)).unwrap(), ..settings() };
    let later = node.instances(vec![reading(id, 1_000, a, 1_500)]);
    node.must_send(&later).await;
    usage::derive_dirty(&db, quarter, at(3_600)).await.unwrap();
    assert_eq!(usage_lines(&db, Scope::Provider, "cpu_ns").await.len(), 4);
    check_conservation(&db).await;
    // And back again.
    let more = node.instances(vec![reading(id, 1_001, a, 1_501)]);
    node.must_send(&more).await;
    derive(&db, 3_600).await;
    assert_eq!(usage_lines(&db, Scope::Provider, "cpu_ns").await.len(), 1);
    check_conservation(&db).await;
}

#[tokio::test]
async fn a_node_that_was_away_for_a_year_costs_resolution_and_no_quantity() {
    let db = migrations::testing::database().await;
    let (mut node, id) = (Node::new(&db), instance_id());
    let year = 365 * 86_400;
    let batch = node.instances(vec![reading(id, -year, epoch("a", Some(-year - 10)), 10)]);
    node.must_send(&batch).await;
    let back = node.instances(vec![reading(id, 0, epoch("a", Some(-year - 10)), 1_000_000_007)]);
    node.must_send(&back).await;
    assert!(count(&db, Scope::Provider, "dirty_window").await < 400);
    derive(&db, 0).await;
    assert_eq!(check_conservation(&db).await, 4);
    assert_eq!(usage_lines(&db, Scope::Provider, "cpu_ns").await.len(), 8_761);
}

#[tokio::test]
async fn a_birth_at_the_very_instant_of_a_reading_loses_nothing() {
    let db = migrations::testing::database().await;
    let (mut node, id) = (Node::new(&db), instance_id());
    let batch = node.instances(vec![
        reading(id, 0, epoch("a", Some(0)), 10),
        reading(id, 5, epoch("a", Some(0)), 20),
        reading(id, 5, epoch("b", Some(5)), 3),
        reading(id, 5, Epoch::NONE, 0),
    ]);
    node.must_send(&batch).await;
    derive(&db, 5).await;
    assert_eq!(check_conservation(&db).await, 4);
    check(&db, "cpu_ns", "unassigned -3600 10 0 0 0\nunassigned 0 13 5 0 0").await;
}
