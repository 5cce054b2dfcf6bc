//! A node's disk is copied: who is listened to.

use migrations::testing::database;
use nodes::access::{self, AccessError, Purpose};

use super::common::{authority, joined, knock, knock_for, node};

#[tokio::test]
async fn a_copied_disk_is_refused_and_barred_once_the_original_is_heard_again() {
    let db = database().await;
    let (_dir, authority) = authority();
    let issued = joined(&db, &authority, 1, "kvm").await;
    assert_eq!(knock(&db, &issued, 1, 60).await.unwrap().copy, None);
    assert!(matches!(knock(&db, &issued, 2, 70).await, Err(AccessError::Waits { .. })));
    let proven = knock(&db, &issued, 1, 120).await.unwrap().copy;
    assert_eq!(proven, Some(uuid::Uuid::from_u128(2)));
    for purpose in [Purpose::Deliver, Purpose::Renew] {
        let copy = knock_for(&db, &issued, 2, 5_000, purpose).await;
        assert!(matches!(copy, Err(AccessError::Barred { .. })), "{purpose:?}");
    }
    // Said once, not at every delivery.
    assert_eq!(knock(&db, &issued, 1, 5_001).await.unwrap().copy, None);
}

#[tokio::test]
async fn a_node_that_was_killed_and_starts_again_gets_in_when_its_lease_is_over() {
    let db = database().await;
    let (_dir, authority) = authority();
    let issued = joined(&db, &authority, 1, "kvm").await;
    knock(&db, &issued, 1, 60).await.unwrap();
    let Err(AccessError::Waits { retry_in }) = knock(&db, &issued, 2, 70).await else { panic!("let in") };
    assert_eq!(retry_in.as_secs(), 170);
    knock(&db, &issued, 2, 240).await.unwrap();
    knock(&db, &issued, 2, 300).await.unwrap();
}

#[tokio::test]
async fn a_node_that_was_stopped_in_order_starts_again_without_a_wait() {
    let db = database().await;
    let (_dir, authority) = authority();
    let issued = joined(&db, &authority, 1, "kvm").await;
    knock(&db, &issued, 1, 60).await.unwrap();
    access::leave(&db, node(1), uuid::Uuid::from_u128(2)).await.unwrap();
    assert!(knock(&db, &issued, 2, 61).await.is_err(), "a copy sent the original away");
    access::leave(&db, node(1), uuid::Uuid::from_u128(1)).await.unwrap();
    knock(&db, &issued, 2, 62).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_that_come_at_the_same_instant_are_not_both_let_in() {
    let db = database().await;
    let (_dir, authority) = authority();
    let issued = joined(&db, &authority, 1, "kvm").await;
    let tries = (1..=8_u128).map(|run| {
        let (db, issued) = (db.database(), issued.clone());
        tokio::spawn(async move { knock(&db, &issued, run, 60).await.is_ok() })
    });
    let mut let_in = 0;
    for attempt in tries.collect::<Vec<_>>() {
        let_in += u32::from(attempt.await.unwrap());
    }
    assert_eq!(let_in, 1);
}

#[tokio::test]
async fn a_certificate_that_this_database_never_issued_opens_nothing() {
    let db = database().await;
    let (_dir, authority) = authority();
    let mut issued = joined(&db, &authority, 1, "kvm").await;
    issued.fingerprint[0] ^= 1;
    assert!(matches!(knock(&db, &issued, 1, 60).await, Err(AccessError::Unknown)));
}
