//! API tokens: read-only, expired, revoked, another's.

use accounts::tokens::{self, NewToken, TokenId};
use accounts::{AccountsError, Role, User, UserId, sessions, users};
use jiff::Timestamp;
use migrations::testing::{TestDatabase, database};
use uuid::Uuid;

use crate::common::{everything_stored, log_in, minute, new_user, second, tenant, user};

fn token(user: &User, may_write: bool, expires_at: Option<Timestamp>) -> NewToken<'static> {
    NewToken { user_id: user.id, name: "backup <job> & more", may_write, expires_at }
}

async fn may_write(db: &TestDatabase, secret: &str, now: Timestamp) -> Option<bool> {
    tokens::authenticate(db, secret, now).await.unwrap().map(|principal| principal.may_write)
}

#[tokio::test]
async fn a_token_may_do_what_it_says_and_a_planners_may_never_write() {
    let db = database().await;
    let acme = tenant(&db, "acme").await;
    for (name, role, tenant_id, says, may) in [
        ("pat", Role::Provider, None, true, true),
        ("per", Role::Provider, None, false, false),
        ("pia", Role::Planner, None, true, false),
        ("tom", Role::Tenant, Some(acme), true, true),
        ("tim", Role::Tenant, Some(acme), false, false),
    ] {
        let user = users::create(&db, &new_user(name, role, tenant_id), minute(0)).await.unwrap();
        let (secret, made) = tokens::create(&db, &token(&user, says, None), minute(0)).await.unwrap();
        assert!(secret.expose().starts_with("weir_") && secret.expose().len() == 48);
        assert!(secret.expose().starts_with(&made.prefix));
        assert_eq!(tokens::list(&db, user.id).await.unwrap(), [made]);
        let principal = tokens::authenticate(&db, secret.expose(), minute(1)).await.unwrap().unwrap();
        assert_eq!((principal.may_write, &principal.user), (may, &user), "{name}");
    }
}

#[tokio::test]
async fn an_expired_token_and_a_revoked_one_open_nothing() {
    let db = database().await;
    let (ann, bob) = (user(&db, "ann").await, user(&db, "bob").await);
    let (expiring, made) =
        tokens::create(&db, &token(&ann, true, Some(minute(10))), minute(0)).await.unwrap();
    assert_eq!(may_write(&db, expiring.expose(), second(599)).await, Some(true));
    assert_eq!(may_write(&db, expiring.expose(), minute(10)).await, None);
    assert!(made.is_live(second(599)) && !made.is_live(minute(10)));

    let (secret, made) = tokens::create(&db, &token(&ann, true, None), minute(0)).await.unwrap();
    let another = TokenId::from_uuid(Uuid::new_v4());
    for (user_id, token_id, revoked) in [
        // Another user's token is as good as none.
        (bob.id, made.id, false),
        (ann.id, another, false),
        (ann.id, made.id, true),
        (ann.id, made.id, false),
    ] {
        let is_in = !revoked && may_write(&db, secret.expose(), minute(1)).await.is_some();
        assert_eq!(tokens::revoke(&db, user_id, token_id, minute(1)).await.unwrap(), revoked);
        assert_eq!(may_write(&db, secret.expose(), minute(1)).await.is_some(), is_in);
    }
    let listed = tokens::list(&db, ann.id).await.unwrap();
    assert_eq!(listed.iter().filter(|token| token.is_live(minute(10))).count(), 0);
    assert_eq!(listed.len(), 2);
    assert!(tokens::list(&db, bob.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_disabled_users_tokens_are_dead_at_once_and_stay_dead() {
    let db = database().await;
    let ann = user(&db, "ann").await;
    let (secret, _) = tokens::create(&db, &token(&ann, true, None), minute(0)).await.unwrap();
    // A new password is another secret: programs go on.
    users::set_password(&db, ann.id, "another right one", minute(1)).await.unwrap();
    assert_eq!(may_write(&db, secret.expose(), minute(1)).await, Some(true));
    users::disable(&db, ann.id, minute(2)).await.unwrap();
    assert_eq!(may_write(&db, secret.expose(), minute(2)).await, None);
    let refused = tokens::create(&db, &token(&ann, true, None), minute(2)).await.unwrap_err();
    assert!(matches!(refused, AccountsError::NoUser), "{refused:?}");
    users::enable(&db, ann.id).await.unwrap();
    assert_eq!(may_write(&db, secret.expose(), minute(3)).await, None);
}

#[tokio::test]
async fn a_use_is_noted_at_most_once_a_minute() {
    let db = database().await;
    let ann = user(&db, "ann").await;
    let (secret, _) = tokens::create(&db, &token(&ann, false, None), minute(0)).await.unwrap();
    for (seconds, noted) in [(5, 5), (6, 5), (65, 5), (66, 66), (125, 66)] {
        assert_eq!(may_write(&db, secret.expose(), second(seconds)).await, Some(false));
        let listed = tokens::list(&db, ann.id).await.unwrap();
        assert_eq!(listed[0].last_used_at, Some(second(noted)));
    }
}

#[tokio::test]
async fn nonsense_and_the_secrets_of_sessions_are_no_tokens() {
    let db = database().await;
    let ann = user(&db, "ann").await;
    let session = log_in(&db, "ann", minute(0)).await;
    let (secret, _) = tokens::create(&db, &token(&ann, true, None), minute(0)).await.unwrap();
    let wrapped = format!("weir_{}", session.expose());
    let long = format!("weir_{}", "A".repeat(1_000_000));
    for bad in ["", "weir_", "\0", "weir_\0", session.expose(), &wrapped, &long, &secret.expose()[..47]] {
        assert_eq!(tokens::authenticate(&db, bad, minute(1)).await.unwrap(), None);
    }
    assert_eq!(sessions::find(&db, secret.expose(), minute(1)).await.unwrap(), None);
    assert_eq!(sessions::find(&db, &secret.expose()[5..], minute(1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_token_that_is_dead_nameless_nobodys_or_one_too_many_is_refused() {
    let db = database().await;
    let ann = user(&db, "ann").await;
    let nobody = User { id: UserId::from_uuid(Uuid::new_v4()), ..ann.clone() };
    let long = "a".repeat(101);
    for (new, expected) in [
        (token(&ann, true, Some(minute(1))), "not in the future"),
        (NewToken { name: "", ..token(&ann, true, None) }, "1 to 100 characters"),
        (NewToken { name: "a\0b", ..token(&ann, true, None) }, "1 to 100 characters"),
        (NewToken { name: &long, ..token(&ann, true, None) }, "1 to 100 characters"),
        (token(&nobody, true, None), "no such user"),
    ] {
        let refused = tokens::create(&db, &new, minute(1)).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    let mut last = None;
    for _ in 0..tokens::LIVE_MAX {
        last = Some(tokens::create(&db, &token(&ann, true, Some(minute(9))), minute(1)).await.unwrap().1);
    }
    let refused = tokens::create(&db, &token(&ann, true, None), minute(2)).await.unwrap_err();
    assert!(matches!(refused, AccountsError::TooManyTokens), "{refused:?}");
    tokens::revoke(&db, ann.id, last.unwrap().id, minute(2)).await.unwrap();
    tokens::create(&db, &token(&ann, true, None), minute(2)).await.unwrap();
}

#[tokio::test]
async fn no_secret_is_in_the_database_in_clear() {
    let db = database().await;
    let ann = user(&db, "ann").await;
    let session = log_in(&db, "ann", minute(0)).await;
    let (secret, made) = tokens::create(&db, &token(&ann, true, None), minute(0)).await.unwrap();
    let stored = everything_stored(&db).await;
    assert!(stored.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    assert!(stored.contains(&made.prefix));
    for secret in [crate::common::RIGHT, session.expose(), &secret.expose()[made.prefix.len()..]] {
        assert!(!stored.contains(secret), "{stored}");
    }
    assert!(!format!("{session:?} {secret:?} {made:?}").contains(&secret.expose()[made.prefix.len()..]));
}
