//! Endpoints: who may have which, and changes at once.

use hooks::HookError;
use hooks::endpoints::{self, ENDPOINTS_MAX, EndpointId, Wanted};
use jiff::Timestamp;
use metering::TenantId;
use migrations::Scope;
use uuid::Uuid;

use crate::common::{LAX, STRICT, scope, world};

const WANTED: Wanted<'_> =
    Wanted { url: "https://example.com/hook", description: "books", types: None, is_enabled: true };

#[tokio::test]
async fn a_tenant_has_its_own_endpoints_and_sees_no_trace_of_others() {
    let world = world().await;
    let now = Timestamp::now();
    let add = async |as_whom, owner| {
        let id = EndpointId::from_uuid(Uuid::new_v4());
        endpoints::add(&world.db, as_whom, STRICT, id, owner, &WANTED, now).await
    };
    let acme = scope(world.acme);
    let own = add(acme, world.acme).await.unwrap();
    let others = add(Scope::Provider, world.other).await.unwrap();
    let providers = add(Scope::Provider, TenantId::UNASSIGNED).await.unwrap();
    assert!(add(acme, world.other).await.is_err());
    assert!(add(acme, TenantId::UNASSIGNED).await.is_err());
    let seen = endpoints::list(&world.db, acme, None).await.unwrap();
    assert_eq!(seen, std::slice::from_ref(&own));
    assert_eq!(endpoints::list(&world.db, Scope::Provider, None).await.unwrap().len(), 3);
    for foreign in [others.id, providers.id] {
        assert!(matches!(endpoints::get(&world.db, acme, foreign).await, Err(HookError::NoEndpoint)));
        let rotated = endpoints::rotate(&world.db, acme, foreign, None, now).await;
        assert!(matches!(rotated, Err(HookError::NoEndpoint)));
        assert!(!endpoints::remove(&world.db, acme, foreign, None, now).await.unwrap());
        assert!(hooks::deliveries::test(&world.db, acme, foreign, now).await.is_err());
    }
    // The same id again is the same endpoint, with the same secret.
    let again = endpoints::add(&world.db, acme, STRICT, own.id, world.acme, &WANTED, now).await.unwrap();
    assert_eq!(again, own);
}

#[tokio::test]
async fn of_two_who_change_an_endpoint_the_second_is_told() {
    let world = world().await;
    let (acme, now) = (scope(world.acme), Timestamp::now());
    let id = EndpointId::from_uuid(Uuid::new_v4());
    endpoints::add(&world.db, acme, STRICT, id, world.acme, &WANTED, now).await.unwrap();
    let change = async |revision, wanted: &Wanted<'_>| {
        endpoints::change(&world.db, acme, STRICT, id, revision, wanted, now).await
    };
    let off = Wanted { is_enabled: false, ..WANTED };
    let changed = change(Some(1), &off).await.unwrap();
    assert_eq!((changed.revision, changed.disabled.unwrap().1.as_str()), (2, endpoints::BY_HAND));
    assert!(matches!(change(Some(1), &WANTED).await, Err(HookError::Changed { current: 2 })));
    let stale = endpoints::remove(&world.db, acme, id, Some(1), now).await;
    assert!(matches!(stale, Err(HookError::Changed { current: 2 })));
    assert_eq!(change(None, &WANTED).await.unwrap().disabled, None);
    assert!(endpoints::remove(&world.db, acme, id, Some(3), now).await.unwrap());
    assert!(!endpoints::remove(&world.db, acme, id, None, now).await.unwrap());
    assert!(matches!(change(None, &WANTED).await, Err(HookError::NoEndpoint)));
}

#[tokio::test]
async fn what_cannot_be_an_endpoint_says_how_to_mend_it() {
    let world = world().await;
    let now = Timestamp::now();
    let add = async |guard, wanted: &Wanted<'_>| {
        let id = EndpointId::from_uuid(Uuid::new_v4());
        endpoints::add(&world.db, Scope::Provider, guard, id, world.acme, wanted, now).await
    };
    let check = async |wanted: Wanted<'_>, words: &str| {
        let error = add(STRICT, &wanted).await.unwrap_err().to_string();
        assert!(error.contains(words), "{wanted:?}: {error}");
    };
    check(Wanted { url: "https://192.168.1.5/", ..WANTED }, "allow_private").await;
    check(Wanted { url: "http://example.com/", ..WANTED }, "https://").await;
    check(Wanted { types: Some(&[]), ..WANTED }, "leave them out for all").await;
    check(Wanted { description: &"x".repeat(201), ..WANTED }, "200 characters").await;
    check(Wanted { description: "a\nb", ..WANTED }, "one line").await;
    for _ in 0..ENDPOINTS_MAX {
        add(LAX, &Wanted { url: "http://127.0.0.1:1/", ..WANTED }).await.unwrap();
    }
    let error = add(LAX, &WANTED).await.unwrap_err();
    assert!(error.to_string().contains("16 endpoints already"), "{error}");
}
