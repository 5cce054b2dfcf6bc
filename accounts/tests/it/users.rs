//! Users: who may be one, and what becomes of them.

use accounts::users::{self, NewUser};
use accounts::{Role, UserId, UserName};
use metering::TenantId;
use migrations::testing::database;
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::common::{minute, new_user, tenant, user};

#[tokio::test]
async fn a_tenants_user_without_a_tenant_and_every_other_mismatch_is_refused() {
    let db = database().await;
    let acme = tenant(&db, "acme").await;
    let unknown = TenantId::from_uuid(Uuid::new_v4());
    assert!(!users::any_exist(&db).await.unwrap());
    for (role, tenant_id, expected) in [
        (Role::Tenant, None, "say which"),
        (Role::Tenant, Some(TenantId::UNASSIGNED), "no such tenant"),
        (Role::Tenant, Some(unknown), "no such tenant"),
        (Role::Provider, Some(acme), "leave the tenant away"),
        (Role::Planner, Some(acme), "leave the tenant away"),
    ] {
        let refused = users::create(&db, &new_user("ann", role, tenant_id), minute(0)).await.unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
    }
    assert!(!users::any_exist(&db).await.unwrap());
    let created = users::create(&db, &new_user("ann", Role::Tenant, Some(acme)), minute(0)).await.unwrap();
    assert_eq!(created.tenant_id, Some(acme));
    assert_eq!(created.tenant_name.as_ref().map(|name| name.as_str()), Some("acme"));
    assert!(users::any_exist(&db).await.unwrap());
}

#[tokio::test]
async fn of_two_who_take_the_same_name_at_once_one_gets_it() {
    let db = database().await;
    let mut all = JoinSet::new();
    for _ in 0..4 {
        let database = db.database();
        all.spawn(async move {
            let created = users::create(&database, &new_user("ann", Role::Provider, None), minute(0)).await;
            created.map_or_else(|error| error.to_string(), |user| user.name.to_string())
        });
    }
    let mut outcomes = all.join_all().await;
    outcomes.sort();
    let taken = "there is a user ann already: choose another name";
    assert_eq!(outcomes, ["ann", taken, taken, taken]);
}

#[tokio::test]
async fn what_cannot_be_shown_and_what_is_easily_guessed_is_refused_before_anything_is_stored() {
    let db = database().await;
    let base = new_user("ann.lee@example.com", Role::Provider, None);
    let long = "a".repeat(10_000);
    for (new, expected) in [
        (NewUser { display_name: "", ..base.clone() }, "a display name has 1 to 200"),
        (NewUser { display_name: "A\0", ..base.clone() }, "a display name has 1 to 200"),
        (NewUser { display_name: "\u{202e}nna", ..base.clone() }, "a display name has 1 to 200"),
        (NewUser { display_name: &long, ..base.clone() }, "a display name has 1 to 200"),
        (NewUser { password: "", ..base.clone() }, "at least 12 characters"),
        (NewUser { password: "elevenchars", ..base.clone() }, "at least 12 characters"),
        (NewUser { password: &long, ..base.clone() }, "at most 1024 bytes"),
        (NewUser { password: "ann.lee@example.com", ..base.clone() }, "the user's name"),
    ] {
        let refused = users::create(&db, &new, minute(0)).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    assert!(users::list(&db).await.unwrap().is_empty());
    // Markup is kept as it is: pages escape it.
    let marked = NewUser { display_name: "<script>alert('é')</script>", ..base };
    let created = users::create(&db, &marked, minute(0)).await.unwrap();
    assert_eq!(created.display_name, marked.display_name);
    assert_eq!(users::find(&db, "ann.lee@example.com").await.unwrap(), Some(created));
}

#[tokio::test]
async fn a_name_that_the_program_refuses_is_refused_by_the_database_too() {
    let db = database().await;
    let owner = db.owner_client().await;
    let insert =
        "INSERT INTO user_account (user_id, name, display_name, role, tenant_id, password_hash, created_at,
                                            password_changed_at)
                  VALUES ($1, $2, 'A', 'provider', '00000000-0000-0000-0000-000000000000', $3, now(), now())";
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$a$b";
    let (long, longest) = ("a".repeat(128), "a".repeat(127));
    for bad in ["", "A", "a b", "<b>", "a\n", "-a", "é", "a/b", &long] {
        assert!(UserName::new(bad).is_err());
        let refused = owner.execute(insert, &[&Uuid::new_v4(), &bad, &hash]).await.unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::CHECK_VIOLATION), "{bad:?}");
        assert_eq!(users::find(&db, bad).await.unwrap(), None);
    }
    assert_eq!(users::find(&db, "a\0").await.unwrap(), None);
    for good in ["a", "0.a_b@c+d-e", &longest] {
        assert!(UserName::new(good).is_ok());
        owner.execute(insert, &[&Uuid::new_v4(), &good, &hash]).await.unwrap();
    }
    let in_clear = owner.execute(insert, &[&Uuid::new_v4(), &"zed", &"open sesame, please"]).await;
    assert_eq!(in_clear.unwrap_err().code(), Some(&SqlState::CHECK_VIOLATION));
}

#[tokio::test]
async fn users_are_listed_by_name_with_those_who_are_disabled() {
    let db = database().await;
    let (bob, ann) = (user(&db, "bob").await, user(&db, "ann").await);
    assert!(users::disable(&db, bob.id, minute(5)).await.unwrap());
    assert!(!users::disable(&db, bob.id, minute(6)).await.unwrap());
    let listed = users::list(&db).await.unwrap();
    let shown: Vec<_> = listed.iter().map(|user| (user.name.as_str(), user.disabled_at)).collect();
    assert_eq!(shown, [("ann", None), ("bob", Some(minute(5)))]);
    assert!(users::enable(&db, bob.id).await.unwrap() && !users::enable(&db, bob.id).await.unwrap());
    assert_eq!(users::get(&db, bob.id).await.unwrap(), Some(bob));

    let nobody = UserId::from_uuid(Uuid::new_v4());
    assert_eq!(users::get(&db, nobody).await.unwrap(), None);
    assert!(!users::disable(&db, nobody, minute(7)).await.unwrap());
    assert!(users::set_password(&db, nobody, "another right one", minute(7)).await.is_err());
    assert!(users::set_password(&db, ann.id, "short", minute(7)).await.is_err());
}
