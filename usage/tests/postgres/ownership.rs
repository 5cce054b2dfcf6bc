//! Who pays, at every instant.

use metering::{InstanceState, TenantId, VolumeId};
use migrations::Scope;
use usage::registry::{self, RegistryError};
use uuid::Uuid;

use crate::story::*;

#[tokio::test]
async fn a_change_of_owner_within_a_window_splits_it_exactly() {
    let db = migrations::testing::database().await;
    let (acme, globex) = (tenant(&db, "acme").await, tenant(&db, "globex").await);
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let batch = node.instances(vec![reading(id, 10, a, 11), reading(id, 20, a, 30)]);
    node.must_send(&batch).await;
    derive(&db, 20).await;
    check(&db, "cpu_ns", "unassigned 0 30 20 0 0").await;
    registry::assign(&db, id, acme.id, None, settings()).await.unwrap();
    derive(&db, 20).await;
    check(&db, "cpu_ns", "acme 0 30 20 0 0").await;
    registry::assign(&db, id, globex.id, Some(at(13)), settings()).await.unwrap();
    // Whoever asks for the payers of a few is told what the list of all says; of unknown ones, nothing.
    let asked = [id, instance_id()];
    let holders = registry::holders(&db, Scope::Provider, &asked).await.unwrap();
    assert_eq!(holders.into_iter().collect::<Vec<_>>(), [(id, globex.id)]);
    let holders = registry::holders(&db, Scope::Tenant(acme.id.uuid()), &asked).await.unwrap();
    assert!(holders.is_empty(), "it is another's now");
    derive(&db, 20).await;
    // C(13) = 11 + floor(19 * 3 / 10) = 16.
    check(&db, "cpu_ns", "acme 0 16 13 0 0\nglobex 13 14 7 0 0").await;
    check_conservation(&db).await;
    // And the same for periods that are cut anywhere: the pieces of both add up to what was read.
    let pieces = [window(0, 12), window(12, 14), window(14, 3_600)];
    let mut sum = 0;
    for tenant in [acme.id, globex.id] {
        sum += total(
            &usage::records::usage_of(&db, tenant, &pieces, settings(), at(20)).await.unwrap(),
            "cpu_ns",
        );
    }
    assert_eq!(sum, 30);
    // Given back: nobody pays from then on, and it is not dropped.
    registry::assign(&db, id, TenantId::UNASSIGNED, Some(at(5)), settings()).await.unwrap();
    derive(&db, 20).await;
    check(&db, "cpu_ns", "acme 0 5 5 0 0\nunassigned 5 25 15 0 0").await;
    check_conservation(&db).await;
}

#[tokio::test]
async fn usage_of_nobody_is_kept_and_shown_and_found_in_any_period() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let mut batch = node.instances(vec![reading(id, 10, a, 10), reading(id, 4_000, a, 4_000)]);
    batch.instances = vec![facts(id, "stray", Some("no-such-tenant"))];
    node.must_send(&batch).await;
    derive(&db, 4_000).await;
    for pieces in [vec![window(0, 7_200)], vec![window(0, 1_777), window(1_777, 3_700), window(3_700, 9_999)]]
    {
        let records = usage::records::unassigned(&db, &pieces, settings(), at(4_000)).await.unwrap();
        assert_eq!(total(&records, "cpu_ns"), 4_000, "{pieces:?}");
        assert!(records.iter().all(|record| record.resource_name == "stray"));
    }
    // A tenant of that name later is not thereby the payer; the provider says so.
    let late = tenant(&db, "no-such-tenant").await;
    assert!(
        usage::records::usage_of(&db, late.id, &[window(0, 7_200)], settings(), at(4_000))
            .await
            .unwrap()
            .is_empty()
    );
    registry::assign(&db, id, late.id, None, settings()).await.unwrap();
    derive(&db, 4_000).await;
    assert!(
        usage::records::unassigned(&db, &[window(0, 7_200)], settings(), at(4_000)).await.unwrap().is_empty()
    );
    check_conservation(&db).await;
}

#[tokio::test]
async fn a_label_that_comes_after_its_readings_still_owns_them_all_and_volumes_follow() {
    let db = migrations::testing::database().await;
    let acme = tenant(&db, "acme").await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(3)));
    let vda = VolumeId::from_uuid(Uuid::new_v4());
    let mut first = node.instances(vec![reading(id, 10, a, 10)]);
    first.instances = vec![facts(id, "web", Some("acme"))];
    first.volumes = vec![volume_facts(vda, "web.qcow2", Some(id))];
    first.readings.volumes = vec![volume(vda, 10, a, 70)];
    let mut second = node.instances(vec![reading(id, 20, a, 20)]);
    second.readings.volumes = vec![volume(vda, 20, a, 170)];
    // The later one comes first, without a name.
    node.must_send(&second).await;
    derive(&db, 20).await;
    assert_eq!(registry::instances(&db, Scope::Provider).await.unwrap()[0].name, id.to_string());
    node.must_send(&first).await;
    derive(&db, 20).await;
    check(&db, "cpu_ns", "acme 3 20 17 0 0").await;
    check(&db, "provisioned_kib_s", "acme 3 170 17 0 0").await;
    let found = registry::find_instance(&db, Scope::Tenant(acme.id.uuid()), "web").await.unwrap();
    assert_eq!(
        (found.first_seen_at, found.last_seen_at, found.state),
        (at(3), at(20), InstanceState::Running)
    );
    assert_eq!(registry::volumes(&db, Scope::Tenant(acme.id.uuid())).await.unwrap()[0].name, "web.qcow2");
    let records =
        usage::records::usage_of(&db, acme.id, &[window(0, 3_600)], settings(), at(20)).await.unwrap();
    assert!(records.iter().any(|record| record.resource_name == "default/web.qcow2"));
}

#[tokio::test]
async fn a_guest_that_waits_for_its_tenant_is_billed_once_the_tenant_is_made() {
    let db = migrations::testing::database().await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let vda = VolumeId::from_uuid(Uuid::new_v4());
    let mut batch = node.instances(vec![reading(id, 10, a, 10)]);
    batch.instances = vec![facts(id, "web", Some("late"))];
    batch.volumes = vec![volume_facts(vda, "web.qcow2", Some(id))];
    batch.readings.volumes = vec![volume(vda, 10, a, 70)];
    node.must_send(&batch).await;
    derive(&db, 10).await;
    check(&db, "cpu_ns", "unassigned 0 10 10 0 0").await;
    tenant(&db, "late").await;
    derive(&db, 10).await;
    check(&db, "cpu_ns", "late 0 10 10 0 0").await;
    check(&db, "provisioned_kib_s", "late 0 70 10 0 0").await;
}

#[tokio::test]
async fn names_that_are_not_there_or_there_twice_are_refused_by_name() {
    let db = migrations::testing::database().await;
    let (mut node, ids, a) = (Node::new(&db), [instance_id(), instance_id()], epoch("a", Some(0)));
    let mut batch = node.instances(ids.iter().map(|id| reading(*id, 10, a, 10)).collect());
    batch.instances = ids.iter().map(|id| facts(*id, "twin", None)).collect();
    node.must_send(&batch).await;
    let twice = registry::find_instance(&db, Scope::Provider, "twin").await.unwrap_err().to_string();
    assert!(twice.contains("2 instances") && twice.contains(&ids[0].to_string()), "{twice}");
    let by_id = registry::find_instance(&db, Scope::Provider, &ids[1].to_string()).await.unwrap();
    assert_eq!(by_id.id, ids[1]);
    // Once one is gone, the name is the other's.
    let batch = node.instances(vec![gone(ids[0], 20)]);
    node.must_send(&batch).await;
    assert_eq!(registry::find_instance(&db, Scope::Provider, "twin").await.unwrap().id, ids[1]);
    for asked in ["", "nobody", "a\0b", &"x".repeat(10_000), &Uuid::new_v4().to_string()] {
        let error = registry::find_instance(&db, Scope::Provider, asked).await.unwrap_err();
        assert!(matches!(error, RegistryError::NoInstance { .. }), "{asked}");
        assert!(error.to_string().len() < 300);
        assert!(matches!(
            registry::find_tenant(&db, Scope::Provider, asked).await,
            Err(RegistryError::NoTenant { .. })
        ));
    }
    let ghost = TenantId::from_uuid(Uuid::new_v4());
    let error = registry::assign(&db, ids[0], ghost, None, settings()).await.unwrap_err();
    assert!(matches!(error, RegistryError::NoTenant { .. }));
    let acme = tenant(&db, "acme").await;
    let error = registry::assign(&db, instance_id(), acme.id, None, settings()).await.unwrap_err();
    assert!(matches!(error, RegistryError::NoInstance { .. }));
    let error = registry::assign(&db, ids[0], acme.id, Some(at(-400_000_000)), settings()).await.unwrap_err();
    assert!(matches!(error, RegistryError::BadInstant { .. }));
}

#[tokio::test]
async fn a_tenant_is_made_once_and_put_on_a_plan() {
    let db = migrations::testing::database().await;
    let acme = tenant(&db, "acme").await;
    let new = registry::NewTenant::new(acme.name.clone(), "Again", "UTC");
    let error = registry::create_tenant(&db, &new, settings()).await.unwrap_err();
    assert!(matches!(error, RegistryError::TenantExists { .. }));
    let long = "x".repeat(201);
    for display_name in ["", &long, "a\0", "  ", "\u{200b}", "\u{202e}gnp"] {
        let new = registry::NewTenant { display_name, ..new.clone() };
        let error = registry::create_tenant(&db, &new, settings()).await.unwrap_err();
        assert!(matches!(error, RegistryError::DisplayName { .. }));
    }
    let new = registry::NewTenant { time_zone: "Asia/Kolkata", ..new };
    let error = registry::create_tenant(&db, &new, settings()).await.unwrap_err().to_string();
    assert!(error.contains("metering.window"), "{error}");
    assert_eq!(registry::find_tenant(&db, Scope::Provider, &acme.id.to_string()).await.unwrap(), acme);
    let name = metering::TenantName::new("planned").unwrap();
    let new = registry::NewTenant {
        plan_name: Some("standard"),
        added_by: Some("somebody"),
        ..registry::NewTenant::new(name, "Planned", "UTC")
    };
    let planned = registry::create_tenant(&db, &new, settings()).await.unwrap();
    assert_eq!((planned.plan_name.as_deref(), acme.plan_name), (Some("standard"), None));
    assert_eq!(registry::find_tenant(&db, Scope::Provider, "planned").await.unwrap(), planned);
}
