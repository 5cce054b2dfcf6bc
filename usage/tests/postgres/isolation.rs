//! Tenant A sees nothing of B, and nobody changes a reading.

use metering::{TenantId, VolumeId};
use migrations::{Database, Scope};
use usage::registry;
use uuid::Uuid;

use crate::story::*;

/// Everything that a tenant could ask about.
async fn seen(db: &Database, scope: Scope) -> Vec<(&'static str, i64)> {
    let mut seen = Vec::new();
    for table in [
        "visible_instance_reading",
        "visible_disk_reading",
        "visible_nic_reading",
        "visible_volume_reading",
        "visible_node_reading",
        "usage_record",
        "instance",
        "instance_tenant",
        "volume",
        "volume_tenant",
        "node",
        "batch_ledger",
        "reading_gap",
        "quarantine",
        "reading_head",
        "dirty_window",
    ] {
        seen.push((table, count(db, scope, table).await));
    }
    seen.retain(|(_, rows)| *rows != 0);
    seen
}

/// Instances of acme, of globex and of nobody, with three, five and seven readings of everything.
async fn three_holders(db: &Database) {
    let mut node = Node::new(db);
    let a = epoch("a", Some(0));
    for (name, rows) in [("acme", 3), ("globex", 5), ("nobody", 7)] {
        let (id, vol) = (instance_id(), VolumeId::from_uuid(Uuid::new_v4()));
        let mut batch = node.batch();
        batch.instances = vec![facts(id, name, Some(name))];
        batch.volumes = vec![volume_facts(vol, name, Some(id))];
        for n in 1..=rows {
            batch.readings.instances.push(reading(id, n, a, n.unsigned_abs()));
            batch.readings.disks.push(disk(id, "vda", n, a, n.unsigned_abs()));
            batch.readings.nics.push(nic(id, "52:54:00:00:00:01", n, a, n.unsigned_abs()));
            batch.readings.volumes.push(volume(vol, n, a, n.unsigned_abs()));
        }
        batch.readings.node = Some(metering::NodeReading { observed_at: at(rows), ..Default::default() });
        batch.gaps = vec![gap(id, Some("vda"), 100, 200)];
        node.must_send(&batch).await;
    }
}

#[tokio::test]
async fn a_tenant_sees_its_own_readings_usage_and_things_and_none_of_the_others() {
    let db = migrations::testing::database().await;
    let (acme, globex) = (tenant(&db, "acme").await, tenant(&db, "globex").await);
    three_holders(&db).await;
    derive(&db, 10).await;
    let expected = |rows| {
        vec![
            ("visible_instance_reading", rows),
            ("visible_disk_reading", rows),
            ("visible_nic_reading", rows),
            ("visible_volume_reading", rows),
            ("usage_record", 11),
            ("instance", 1),
            ("instance_tenant", 1),
            ("volume", 1),
            ("volume_tenant", 1),
        ]
    };
    assert_eq!(seen(&db, Scope::Tenant(acme.id.uuid())).await, expected(3));
    assert_eq!(seen(&db, Scope::Tenant(globex.id.uuid())).await, expected(5));
    assert_eq!(seen(&db, Scope::Tenant(Uuid::new_v4())).await, vec![]);
    assert_eq!(count(&db, Scope::Provider, "visible_instance_reading").await, 15);

    // Through the interface too, and another's name or id does not even exist.
    let scope = Scope::Tenant(acme.id.uuid());
    let own = registry::instances(&db, scope).await.unwrap();
    assert_eq!((own.len(), own[0].name.as_str(), &own[0].node_name), (1, "acme", &None));
    assert_eq!(registry::tenants(&db, scope).await.unwrap(), std::slice::from_ref(&acme));
    assert!(registry::nodes(&db, scope).await.unwrap().is_empty());
    for asked in ["globex", "nobody", &globex.id.to_string()] {
        assert!(registry::find_instance(&db, scope, asked).await.is_err());
        assert!(registry::find_tenant(&db, scope, asked).await.is_err());
    }
    assert_eq!(usage::readings::latest(&db, scope).await.unwrap().len(), 1);
    let foreign = registry::find_instance(&db, Scope::Provider, "globex").await.unwrap().id;
    assert!(usage::readings::epochs_of(&db, scope, foreign, window(0, 100)).await.unwrap().is_empty());
    for pieces in [[window(0, 3_600)], [window(0, 7)]] {
        for (tenant, most) in [(acme.id, 3), (globex.id, 5), (TenantId::UNASSIGNED, 7)] {
            let records = usage::records::usage_of(&db, tenant, &pieces, settings(), at(10)).await.unwrap();
            assert_eq!((records.len(), total(&records, "cpu_ns")), (11, most));
        }
    }
}

#[tokio::test]
async fn readings_belong_to_whoever_held_the_instance_at_that_instant() {
    let db = migrations::testing::database().await;
    let (acme, globex) = (tenant(&db, "acme").await, tenant(&db, "globex").await);
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let batch = node.instances((1..=10).map(|s| reading(id, s, a, s.unsigned_abs())).collect());
    node.must_send(&batch).await;
    registry::assign(&db, id, acme.id, None, settings()).await.unwrap();
    registry::assign(&db, id, globex.id, Some(at(4)), settings()).await.unwrap();
    assert_eq!(count(&db, Scope::Tenant(acme.id.uuid()), "visible_instance_reading").await, 3);
    assert_eq!(count(&db, Scope::Tenant(globex.id.uuid()), "visible_instance_reading").await, 7);
}

#[tokio::test]
async fn nobody_changes_or_forges_a_reading() {
    let db = migrations::testing::database().await;
    let acme = tenant(&db, "acme").await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let batch = node.instances(vec![reading(id, 1, a, 1)]);
    node.must_send(&batch).await;
    derive(&db, 1).await;
    let forge = "INSERT INTO nic_reading (instance_id, node_id, observed_at, received_at, epoch, rx_bytes, tx_bytes,
                 rx_packets, tx_packets, mac) VALUES (gen_random_uuid(), gen_random_uuid(), '2026-10-25', now(), 1, 1,
                 1, 1, 1, '')";
    for (scope, statement) in [
        (Scope::Provider, "UPDATE instance_reading SET cpu_ns = 0"),
        (Scope::Provider, "DELETE FROM instance_reading"),
        (Scope::Provider, "TRUNCATE instance_reading"),
        (Scope::Provider, "SELECT count(*) FROM instance_reading"),
        (Scope::Tenant(acme.id.uuid()), forge),
        (Scope::Tenant(acme.id.uuid()), "SELECT count(*) FROM instance_reading"),
    ] {
        let mut session = db.session().await.unwrap();
        let transaction = session.begin(scope).await.unwrap();
        assert!(transaction.execute(statement, &[]).await.is_err(), "{statement}");
    }
    let copy = "COPY instance_reading FROM STDIN BINARY";
    assert!(is_copy_refused(&db, Scope::Tenant(acme.id.uuid()), copy).await);
    assert!(!is_copy_refused(&db, Scope::Provider, copy).await);
    for statement in ["UPDATE usage_record SET quantity = 0", "DELETE FROM usage_record"] {
        let mut session = db.session().await.unwrap();
        let transaction = session.begin(Scope::Tenant(acme.id.uuid())).await.unwrap();
        assert_eq!(transaction.execute(statement, &[]).await.unwrap_or(0), 0, "{statement}");
    }
    check_conservation(&db).await;
}
