//! What an operator sees and does.

use migrations::testing::database;
use nodes::NodesError;
use nodes::registry::{self, Heard, State};

use super::common::{LIFE, authority, joined, knock, node, second};

#[tokio::test]
async fn a_node_is_shown_with_what_it_said_and_when_its_certificate_ends() {
    let db = database().await;
    let (_dir, authority) = authority();
    let issued = joined(&db, &authority, 1, "kvm").await;
    knock(&db, &issued, 1, 60).await.unwrap();
    let heard = Heard { release: Some("0.2\u{1b}[31m".to_owned()), backlog_batches: Some(7) };
    registry::heard(&db, node(1), &heard, second(61)).await.unwrap();
    let shown = registry::show(&db, "kvm").await.unwrap();
    assert_eq!(shown.release.as_deref(), Some("0.2[31m"));
    assert_eq!(shown.backlog_batches, Some(7));
    assert_eq!(shown.last_heard_at, Some(second(61)));
    assert_eq!(shown.certificate_expires_at, Some(second(1) + LIFE));
    assert_eq!(registry::show(&db, &node(1).to_string()).await.unwrap(), shown);
    assert!(matches!(registry::show(&db, "other").await, Err(NodesError::NoNode { .. })));
}

#[tokio::test]
async fn a_node_is_drained_and_filled_again_and_still_delivers_meanwhile() {
    let db = database().await;
    let (_dir, authority) = authority();
    let issued = joined(&db, &authority, 1, "kvm").await;
    assert_eq!(registry::drain(&db, "kvm", true).await.unwrap().state, State::Draining);
    knock(&db, &issued, 1, 60).await.unwrap();
    assert_eq!(registry::drain(&db, "kvm", false).await.unwrap().state, State::Active);
    assert!(registry::drain(&db, "nowhere", true).await.is_err());
}

#[tokio::test]
async fn a_node_that_works_with_running_instances_is_not_removed_by_mistake() {
    let db = database().await;
    let (_dir, authority) = authority();
    let issued = joined(&db, &authority, 1, "kvm").await;
    knock(&db, &issued, 1, 60).await.unwrap();
    let owner = db.owner_client().await;
    let insert = "INSERT INTO instance (instance_id, node_id, name, first_seen_at, last_seen_at, state)
                  VALUES ($1, $2, 'web', now(), now(), 'running')";
    owner.execute(insert, &[&uuid::Uuid::from_u128(9), &node(1).uuid()]).await.unwrap();
    let refused = registry::remove(&db, "kvm", false, second(70)).await;
    assert!(matches!(refused, Err(NodesError::Busy { running: 1, .. })));
    // Silent for long: nobody meters them anyway.
    registry::remove(&db, "kvm", false, second(70 + 300)).await.unwrap();
    let issued = joined(&db, &authority, 2, "kvm-2").await;
    knock(&db, &issued, 1, 400).await.unwrap();
    registry::remove(&db, "kvm-2", true, second(401)).await.unwrap();
}
