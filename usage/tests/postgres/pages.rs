//! Lists by the page, and two people who change the same tenant.

use metering::{InstanceState, TenantId};
use migrations::Scope;
use usage::registry::{
    self, InstanceCursor, InstanceQuery, PAGE_MAX, RegistryError, TenantChange, TenantCursor, TenantQuery,
};

use crate::story::*;

#[tokio::test]
async fn page_after_page_shows_every_instance_once_in_order() {
    let db = migrations::testing::database().await;
    let (a, b) = (tenant(&db, "a").await, tenant(&db, "b").await);
    let mut node = Node::new(&db);
    let mut batch = node.batch();
    for n in 0..25 {
        let id = instance_id();
        // Names that repeat: the id decides.
        let label = ["a", "b", "nobody"][n % 3];
        batch.instances.push(facts(id, &format!("web-{}", n % 5), Some(label)));
        batch.readings.instances.push(reading(id, 10, epoch("x", Some(0)), 5));
        if n % 10 == 0 {
            batch.readings.instances.push(gone(id, 20));
        }
    }
    node.must_send(&batch).await;
    let everything = registry::instances(&db, Scope::Provider).await.unwrap();
    assert_eq!(everything.len(), 25);
    let check = async |scope, query: InstanceQuery<'_>, expected: Vec<metering::InstanceId>| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = InstanceQuery { after, limit: 4, ..query.clone() };
            let page = registry::instances_page(&db, scope, &page).await.unwrap();
            found.extend(page.items.iter().map(|instance| instance.id));
            assert!(page.items.iter().all(|instance| instance.vcpus.is_some()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{scope:?} {query:?}");
    };
    let which = |keeps: &dyn Fn(&registry::Instance) -> bool| {
        everything.iter().filter(|i| keeps(i)).map(|i| i.id).collect::<Vec<_>>()
    };
    let lives = |i: &registry::Instance| i.gone_at.is_none();
    let all = InstanceQuery::default;
    let of_a = Scope::Tenant(a.id.uuid());
    check(Scope::Provider, all(), which(&lives)).await;
    check(of_a, all(), which(&|i| lives(i) && i.tenant_id == Some(a.id))).await;
    check(of_a, InstanceQuery { tenant: Some(b.id), ..all() }, vec![]).await;
    check(
        Scope::Provider,
        InstanceQuery { tenant: Some(b.id), ..all() },
        which(&|i| lives(i) && i.tenant_id == Some(b.id)),
    )
    .await;
    let nobody = InstanceQuery { tenant: Some(TenantId::UNASSIGNED), ..all() };
    check(Scope::Provider, nobody, which(&|i| lives(i) && i.tenant_id.is_none())).await;
    let is_gone = InstanceQuery { state: Some(InstanceState::Gone), ..all() };
    check(Scope::Provider, is_gone, which(&|i| !lives(i))).await;
    let search = InstanceQuery { search: Some(" WEB-3 "), ..all() };
    check(Scope::Provider, search, which(&|i| lives(i) && i.name == "web-3")).await;
    for nothing in ["%", "_", "web-\0", "'; DROP TABLE instance"] {
        check(Scope::Provider, InstanceQuery { search: Some(nothing), ..all() }, vec![]).await;
    }
    let one = everything.iter().find(|i| lives(i)).unwrap().id;
    let by_id = one.to_string();
    check(Scope::Provider, InstanceQuery { search: Some(&by_id), ..all() }, vec![one]).await;
    let beyond = Some(InstanceCursor { name: "zzz".into(), id: one });
    let query = InstanceQuery { after: beyond, limit: usize::MAX, ..all() };
    assert_eq!(registry::instances_page(&db, Scope::Provider, &query).await.unwrap().items, []);
    let query = InstanceQuery { limit: PAGE_MAX * 10, ..all() };
    assert_eq!(registry::instances_page(&db, Scope::Provider, &query).await.unwrap().next, None);
}

#[tokio::test]
async fn what_a_tenant_no_longer_holds_is_not_in_its_list_nor_are_its_figures_shown() {
    let db = migrations::testing::database().await;
    let (a, b) = (tenant(&db, "a").await, tenant(&db, "b").await);
    let (mut node, id) = (Node::new(&db), instance_id());
    let mut batch = node.instances(vec![reading(id, 10, epoch("x", Some(0)), 5)]);
    batch.instances = vec![facts(id, "web", Some("a"))];
    node.must_send(&batch).await;
    registry::assign(&db, id, b.id, Some(at(5)), settings()).await.unwrap();
    let list = async |scope| {
        let query = InstanceQuery { limit: 10, ..InstanceQuery::default() };
        registry::instances_page(&db, scope, &query).await.unwrap().items
    };
    let (of_a, of_b) = (Scope::Tenant(a.id.uuid()), Scope::Tenant(b.id.uuid()));
    assert_eq!(list(of_a).await, []);
    assert_eq!(list(of_b).await[0].vcpus, Some(2));
    assert_eq!(registry::instances(&db, of_a).await.unwrap()[0].vcpus, None);
    assert_eq!(usage::readings::latest(&db, of_a).await.unwrap(), []);
    assert_eq!(usage::readings::latest(&db, of_b).await.unwrap().len(), 1);
    // An older reading that comes late is not the latest.
    let late = node
        .instances(vec![metering::InstanceReading { vcpus: 9, ..reading(id, 7, epoch("x", Some(0)), 3) }]);
    node.must_send(&late).await;
    assert_eq!(list(of_b).await[0].vcpus, Some(2));
    let latest = usage::readings::latest(&db, Scope::Provider).await.unwrap();
    assert_eq!(latest[0].reading, reading(id, 10, epoch("x", Some(0)), 5));
}

#[tokio::test]
async fn tenants_are_listed_by_the_page_too() {
    let db = migrations::testing::database().await;
    for name in ["a", "b", "c", "d"] {
        tenant(&db, name).await;
    }
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let query = TenantQuery { after, limit: 2, ..TenantQuery::default() };
        let page = registry::tenants_page(&db, Scope::Provider, &query).await.unwrap();
        names.extend(page.items.into_iter().map(|tenant| tenant.name.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c", "d", "unassigned"]);
    let query = TenantQuery { search: Some("C"), after: Some(TenantCursor { name: "b".into() }), limit: 9 };
    assert_eq!(registry::tenants_page(&db, Scope::Provider, &query).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn of_two_who_change_the_same_tenant_the_second_is_told_and_changes_nothing() {
    let db = migrations::testing::database().await;
    let a = tenant(&db, "a").await;
    assert_eq!((a.revision, a.email.as_deref()), (1, None));
    let address = ["Street 1".to_owned()];
    let change = TenantChange {
        display_name: "A Ltd",
        address: &address,
        tax_number: Some("DE1"),
        email: Some("billing@example.org"),
    };
    let changed = registry::update_tenant(&db, a.id, 1, &change).await.unwrap();
    assert_eq!((changed.revision, changed.email.as_deref()), (2, Some("billing@example.org")));
    for stale in [0, 1, 3, u64::MAX] {
        let other = TenantChange { display_name: "B", ..change };
        let error = registry::update_tenant(&db, a.id, stale, &other).await.unwrap_err();
        assert!(matches!(error, RegistryError::Changed { revision: 2 }), "{stale}: {error}");
    }
    // Whatever changes a tenant counts.
    registry::set_party(&db, a.id, &[], None).await.unwrap();
    let found = registry::find_tenant(&db, Scope::Provider, "a").await.unwrap();
    assert_eq!((found.revision, found.display_name.as_str()), (3, "A Ltd"));
    let bad = TenantChange { email: Some("a@b\r\nBcc: c@d"), ..change };
    let error = registry::update_tenant(&db, a.id, 3, &bad).await.unwrap_err();
    assert!(matches!(error, RegistryError::Email { .. }), "{error}");
    let nobody = TenantId::from_uuid(uuid::Uuid::new_v4());
    let error = registry::update_tenant(&db, nobody, 1, &change).await.unwrap_err();
    assert!(matches!(error, RegistryError::NoTenant { .. }), "{error}");
    let (mut won, mut lost) = (0, 0);
    let tries = (0..8).map(|_| registry::update_tenant(&db, a.id, 3, &change));
    for outcome in futures_util::future::join_all(tries).await {
        match outcome {
            Ok(_) => won += 1,
            Err(RegistryError::Changed { .. }) => lost += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((won, lost), (1, 7));
}
