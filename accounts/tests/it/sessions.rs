//! Sessions: they begin, and above all they end.

use accounts::sessions::{self, Swept};
use accounts::{Role, TOKEN_PREFIX, users};
use migrations::Scope;
use migrations::testing::{TestDatabase, database};

use crate::common::{
    ELSEWHERE, HERE, RIGHT, WRONG, attempt, is_in, log_in, minute, new_user, second, tenant, user,
};

#[tokio::test]
async fn a_session_used_after_logout_is_nobodys() {
    let db = database().await;
    let ann = user(&db, "ann").await;
    let (one, other) = (log_in(&db, "ann", minute(0)).await, log_in(&db, "ann", minute(0)).await);
    assert_eq!(sessions::find(&db, one.expose(), minute(1)).await.unwrap().unwrap().user, ann);
    sessions::log_out(&db, one.expose()).await.unwrap();
    assert!(!is_in(&db, &one, minute(1)).await);
    assert!(is_in(&db, &other, minute(1)).await);
    // Twice, or with nonsense, is no error.
    for secret in [one.expose(), "", "\0", "nonsense", &"A".repeat(43), &"A".repeat(10_000)] {
        sessions::log_out(&db, secret).await.unwrap();
        assert_eq!(sessions::find(&db, secret, minute(1)).await.unwrap(), None);
    }
    assert_eq!(sessions::log_out_everywhere(&db, ann.id).await.unwrap(), 1);
    assert!(!is_in(&db, &other, minute(1)).await);
}

#[tokio::test]
async fn a_changed_password_ends_every_session_and_no_one_elses() {
    let db = database().await;
    let ann = user(&db, "ann").await;
    user(&db, "bob").await;
    let (one, other) = (log_in(&db, "ann", minute(0)).await, log_in(&db, "ann", minute(0)).await);
    let bobs = log_in(&db, "bob", minute(0)).await;
    users::set_password(&db, ann.id, "another right one", minute(1)).await.unwrap();
    assert!(!is_in(&db, &one, minute(1)).await && !is_in(&db, &other, minute(1)).await);
    assert!(is_in(&db, &bobs, minute(1)).await);
    assert_eq!(attempt(&db, "ann", RIGHT, HERE, minute(1)).await, "wrong");
    assert_eq!(attempt(&db, "ann", "another right one", HERE, minute(1)).await, "ann");
}

#[tokio::test]
async fn a_disabled_users_session_is_dead_at_once_and_stays_dead() {
    let db = database().await;
    let ann = user(&db, "ann").await;
    let session = log_in(&db, "ann", minute(0)).await;
    assert!(users::disable(&db, ann.id, minute(1)).await.unwrap());
    assert!(!is_in(&db, &session, minute(1)).await);
    assert_eq!(attempt(&db, "ann", RIGHT, HERE, minute(1)).await, "wrong");
    assert!(users::enable(&db, ann.id).await.unwrap());
    assert!(!is_in(&db, &session, minute(1)).await);
    assert_eq!(attempt(&db, "ann", RIGHT, HERE, minute(1)).await, "ann");
}

#[tokio::test]
async fn a_session_ends_when_nobody_uses_it_and_after_a_week_in_any_case() {
    let db = database().await;
    user(&db, "ann").await;
    let idle = log_in(&db, "ann", minute(0)).await;
    assert!(is_in(&db, &idle, second(12 * 3600 - 1)).await);
    // That was a use: the twelve hours begin anew.
    assert!(is_in(&db, &idle, second(2 * (12 * 3600 - 1))).await);
    assert!(!is_in(&db, &idle, second(2 * (12 * 3600 - 1) + 12 * 3600)).await);

    let busy = log_in(&db, "ann", minute(0)).await;
    for hours in (11..168).step_by(11) {
        assert!(is_in(&db, &busy, minute(hours * 60)).await, "{hours} h");
    }
    assert!(is_in(&db, &busy, second(168 * 3600 - 1)).await);
    assert!(!is_in(&db, &busy, second(168 * 3600)).await);
}

#[tokio::test]
async fn a_page_costs_a_write_at_most_once_a_minute() {
    let db = database().await;
    user(&db, "ann").await;
    let session = log_in(&db, "ann", minute(0)).await;
    let owner = db.owner_client().await;
    let mut versions = Vec::new();
    for seconds in [1, 30, 60, 61, 62, 120, 121, 122] {
        assert!(is_in(&db, &session, second(seconds)).await);
        // xmin is the transaction that wrote the row last.
        let row = owner.query_one("SELECT xmin::text AS version FROM user_session", &[]).await.unwrap();
        versions.push(row.get::<_, String>("version"));
    }
    versions.dedup();
    // As it was made, and touched at 61 s and 122 s.
    assert_eq!(versions.len(), 3, "{versions:?}");
}

#[tokio::test]
async fn sweeping_takes_what_is_over_and_nothing_else() {
    let db = database().await;
    user(&db, "ann").await;
    let idle = log_in(&db, "ann", minute(0)).await;
    let fresh = log_in(&db, "ann", minute(11 * 60)).await;
    attempt(&db, "ann", WRONG, HERE, minute(12 * 60 - 15)).await;
    attempt(&db, "ann", WRONG, ELSEWHERE, minute(12 * 60 - 14)).await;
    assert_eq!(sessions::sweep(&db, minute(0)).await.unwrap(), Swept::default());
    let swept = sessions::sweep(&db, minute(12 * 60)).await.unwrap();
    assert_eq!(swept, Swept { sessions: 1, failures: 1 });
    assert!(!is_in(&db, &idle, minute(12 * 60)).await && is_in(&db, &fresh, minute(12 * 60)).await);
}

#[tokio::test]
async fn each_roles_session_says_whose_it_is_and_what_it_may() {
    let db = database().await;
    let acme = tenant(&db, "acme").await;
    for (name, role, tenant_id, tenant_name, scope, may_write) in [
        ("pat", Role::Provider, None, None, Scope::Provider, true),
        ("pia", Role::Planner, None, None, Scope::Provider, false),
        ("tom", Role::Tenant, Some(acme), Some("acme"), Scope::Tenant(acme.uuid()), true),
    ] {
        let created = users::create(&db, &new_user(name, role, tenant_id), minute(0)).await.unwrap();
        let (secret, user) = sessions::log_in(&db, name, RIGHT, HERE, minute(1)).await.unwrap();
        let principal = sessions::find(&db, secret.expose(), minute(1)).await.unwrap().unwrap();
        assert_eq!((&user, &principal.user), (&created, &created));
        assert_eq!(principal.scope(), scope);
        assert_eq!(principal.may_write, may_write, "{name}");
        assert_eq!(principal.tenant_id(), tenant_id);
        assert_eq!(principal.user.tenant_name.as_ref().map(|name| name.as_str()), tenant_name);
        assert!(!secret.expose().starts_with(TOKEN_PREFIX));
    }
}

#[tokio::test]
async fn a_session_cannot_be_had_for_a_digest_read_from_the_database() {
    let db: TestDatabase = database().await;
    user(&db, "ann").await;
    let session = log_in(&db, "ann", minute(0)).await;
    let owner = db.owner_client().await;
    let query = "SELECT translate(rtrim(encode(session_hash, 'base64'), '='), '+/', '-_') AS base64,
                        encode(session_hash, 'hex') AS hex
                 FROM user_session";
    let row = owner.query_one(query, &[]).await.unwrap();
    for column in ["base64", "hex"] {
        let digest: String = row.get(column);
        assert_eq!(sessions::find(&db, &digest, minute(1)).await.unwrap(), None, "{column}");
    }
    assert!(is_in(&db, &session, minute(1)).await);
}
