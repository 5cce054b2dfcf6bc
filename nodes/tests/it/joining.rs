//! Tokens and what they are worth.

use std::time::Duration;

use migrations::testing::database;
use nodes::access::{AccessError, Purpose, RENEWAL_GRACE};
use nodes::tokens::{self, NewToken};
use nodes::{NodesError, certificates, registry};

use super::common::{LIFE, authority, join_at, joined, joining, knock, knock_for, node, second, token};

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_that_twenty_try_at_once_lets_exactly_one_in() {
    let db = database().await;
    let (_dir, authority) = authority();
    let authority = std::sync::Arc::new(authority);
    let token = token(&db, &authority, None).await;
    let tries = (0..20_u128).map(|n| {
        let (db, authority) = (db.database(), std::sync::Arc::clone(&authority));
        let joining = joining(&token, n + 1, &format!("kvm-{n}"));
        tokio::spawn(async move { join_at(&db, &authority, &joining, 5).await })
    });
    let mut served = 0;
    for attempt in tries.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(_) => served += 1,
            Err(NodesError::TokenRefused { why }) => assert!(why.contains("was used"), "{why}"),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(served, 1);
    let owner = db.owner_client().await;
    let rows = owner.query_one("SELECT count(*) FROM node_certificate", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 1);
    assert_eq!(registry::list(&db, true).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_is_worth_nothing_when_it_expired_was_revoked_or_never_was() {
    let db = database().await;
    let (_dir, authority) = authority();
    let late = token(&db, &authority, None).await;
    let refused = |result: Result<_, NodesError>, word: &str| match result {
        Err(NodesError::TokenRefused { why }) => assert!(why.contains(word), "{why}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a node joined"),
    };
    let life = i64::try_from(tokens::LIFE.as_secs()).unwrap();
    refused(join_at(&db, &authority, &joining(&late, 1, "kvm"), life).await, "expired");
    let revoked = token(&db, &authority, None).await;
    for known in tokens::list(&db).await.unwrap() {
        tokens::revoke(&db, &known.token_id.to_string(), second(1)).await.unwrap();
    }
    refused(join_at(&db, &authority, &joining(&revoked, 1, "kvm"), 2).await, "revoked");
    let unknown = nodes::token::JoinToken::generate(authority.hash()).unwrap();
    let unknown = join_at(&db, &authority, &joining(&unknown, 1, "kvm"), 2).await;
    assert!(matches!(unknown, Err(NodesError::TokenUnknown)));
    assert!(registry::list(&db, true).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_token_for_one_name_does_not_let_another_one_in_and_is_not_spent_by_the_try() {
    let db = database().await;
    let (_dir, authority) = authority();
    let bound = token(&db, &authority, Some("kvm-1")).await;
    assert!(join_at(&db, &authority, &joining(&bound, 1, "kvm-2"), 1).await.is_err());
    let mut odd = joining(&bound, 1, "kvm-1");
    odd.request = b"garbage".to_vec();
    assert!(matches!(join_at(&db, &authority, &odd, 1).await, Err(NodesError::Request(_))));
    join_at(&db, &authority, &joining(&bound, 1, "kvm-1"), 2).await.unwrap();
}

#[tokio::test]
async fn only_the_hash_of_a_token_lies_in_the_database() {
    let db = database().await;
    let (_dir, authority) = authority();
    let token = token(&db, &authority, None).await;
    let owner = db.owner_client().await;
    let row = owner.query_one("SELECT join_token::text AS line FROM join_token", &[]).await.unwrap();
    let line: String = row.get("line");
    assert!(!line.contains(&token.expose_secret()), "{line}");
}

#[tokio::test]
async fn tokens_that_live_longer_than_a_day_are_not_made() {
    let db = database().await;
    let (_dir, authority) = authority();
    for life in [Duration::ZERO, Duration::from_secs(59), tokens::LIFE_MAX + Duration::from_secs(1)] {
        let new = NewToken { node_name: None, life };
        let made = tokens::create(&db, &new, authority.hash(), second(0)).await;
        assert!(matches!(made, Err(NodesError::TokenLife)), "{life:?}");
    }
}

#[tokio::test]
async fn a_second_node_of_the_same_name_is_refused_until_the_first_is_removed() {
    let db = database().await;
    let (_dir, authority) = authority();
    joined(&db, &authority, 1, "kvm").await;
    let token = token(&db, &authority, None).await;
    let second_one = joining(&token, 2, "kvm");
    let refused = join_at(&db, &authority, &second_one, 2).await;
    assert!(matches!(refused, Err(NodesError::NameTaken { .. })));
    registry::remove(&db, "kvm", false, second(3)).await.unwrap();
    join_at(&db, &authority, &second_one, 4).await.unwrap();
}

#[tokio::test]
async fn a_copied_disk_cannot_join_beside_its_original_but_a_node_that_lost_its_certificate_can() {
    let db = database().await;
    let (_dir, authority) = authority();
    let first = joined(&db, &authority, 1, "kvm").await;
    knock(&db, &first, 1, 10).await.unwrap();
    let token = token(&db, &authority, None).await;
    let again = joining(&token, 1, "kvm-b");
    assert!(matches!(join_at(&db, &authority, &again, 20).await, Err(NodesError::IdentityTaken { .. })));
    join_at(&db, &authority, &again, 400).await.unwrap();
    assert!(matches!(knock(&db, &first, 1, 401).await, Err(AccessError::Revoked { .. })));
}

#[tokio::test]
async fn a_copy_of_the_control_planes_own_spool_cannot_join() {
    let db = database().await;
    let (_dir, authority) = authority();
    let owner = db.owner_client().await;
    let insert = "INSERT INTO node (node_id, name) VALUES ($1, 'control')";
    owner.execute(insert, &[&node(1).uuid()]).await.unwrap();
    let token = token(&db, &authority, None).await;
    let refused = join_at(&db, &authority, &joining(&token, 1, "kvm"), 1).await;
    assert!(matches!(refused, Err(NodesError::OwnIdentity)));
}

#[tokio::test]
async fn a_certificate_that_expired_in_an_outage_renews_and_does_nothing_else() {
    let db = database().await;
    let (_dir, authority) = authority();
    let old = joined(&db, &authority, 1, "kvm").await;
    let life = i64::try_from(LIFE.as_secs()).unwrap();
    let grace = i64::try_from(RENEWAL_GRACE.as_secs()).unwrap();
    knock(&db, &old, 1, life).await.unwrap();
    assert!(matches!(knock(&db, &old, 1, life + 1).await, Err(AccessError::Expired { .. })));
    let late = knock_for(&db, &old, 1, life + grace + 1, Purpose::Renew).await;
    assert!(matches!(late, Err(AccessError::LongExpired { .. })));
    let visitor = knock_for(&db, &old, 1, life + grace, Purpose::Renew).await.unwrap();
    let request = nodes::request::NewKey::generate().unwrap().request().unwrap();
    let now = second(life + grace);
    let new = certificates::renew(&db, &authority, &visitor, &request, LIFE, now).await.unwrap();
    assert_ne!(new.fingerprint, old.fingerprint);
    knock(&db, &new, 1, life + grace + 1).await.unwrap();
}

#[tokio::test]
async fn a_removed_node_is_refused_at_the_next_request_even_for_a_renewal() {
    let db = database().await;
    let (_dir, authority) = authority();
    let issued = joined(&db, &authority, 1, "kvm").await;
    knock(&db, &issued, 1, 10).await.unwrap();
    registry::remove(&db, "kvm", false, second(11)).await.unwrap();
    for purpose in [Purpose::Deliver, Purpose::Renew] {
        let refused = knock_for(&db, &issued, 1, 12, purpose).await;
        assert!(matches!(refused, Err(AccessError::Revoked { .. })), "{purpose:?}");
    }
    assert!(registry::list(&db, false).await.unwrap().is_empty());
    assert_eq!(registry::list(&db, true).await.unwrap().len(), 1);
}
