//! The same on hypertables, where TimescaleDB is to be had. Where it is not, the plain profile is gone through again,
//! so that the story itself is always told.

use migrations::testing::{database_as, has_timescale};
use migrations::{Scope, StorageProfile};

use crate::story::*;

#[tokio::test]
async fn hypertables_take_derive_hide_and_drop_as_partitions_do() {
    let profile = if has_timescale() { StorageProfile::Timescale } else { StorageProfile::Plain };
    let db = database_as(profile).await;
    assert_eq!(db.storage_profile().await.unwrap(), profile);
    let acme = tenant(&db, "acme").await;
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(-86_400)));
    let hours = -24..=24;
    let mut batch = node.instances(
        hours.map(|hour| reading(id, hour * 3_600, a, (hour + 24).unsigned_abs() * 3_600)).collect(),
    );
    batch.instances = vec![facts(id, "web", Some("acme"))];
    batch.readings.disks = vec![disk(id, "vda", 0, a, 5)];
    batch.readings.nics = vec![nic(id, "52:54:00:00:00:01", 0, a, 5)];
    batch.readings.node = Some(metering::NodeReading { observed_at: at(0), ..Default::default() });
    node.must_send(&batch).await;
    let late = node.instances(vec![reading(id, -1_800, a, 23 * 3_600 + 1)]);
    node.must_send(&late).await;
    derive(&db, 86_400).await;
    check_conservation(&db).await;
    assert_eq!(count(&db, Scope::Tenant(acme.id.uuid()), "visible_instance_reading").await, 50);
    assert_eq!(count(&db, Scope::Tenant(uuid::Uuid::new_v4()), "visible_instance_reading").await, 0);
    let copy = "COPY instance_reading FROM STDIN BINARY";
    assert!(is_copy_refused(&db, Scope::Tenant(acme.id.uuid()), copy).await);
    assert!(!is_copy_refused(&db, Scope::Provider, copy).await);
    let dropped = query(
        &db,
        Scope::Provider,
        "SELECT weir_drop_partitions('instance_reading', '2026-10-25') AS dropped",
    )
    .await[0]
        .get::<_, i32>("dropped");
    assert_eq!(dropped, 1, "the day before");
}

#[tokio::test]
async fn where_the_licence_allows_it_old_readings_are_compressed_and_late_ones_still_come_in() {
    if !has_timescale() {
        // Nothing to compress on plain PostgreSQL: say so in the catalogue instead.
        let db = migrations::testing::database().await;
        let rows = query(&db, Scope::Provider, "SELECT profile FROM weir_storage").await;
        assert_eq!(rows[0].get::<_, String>("profile"), "plain");
        return;
    }
    let db = database_as(StorageProfile::Timescale).await;
    let owner = db.owner_client().await;
    let licence: String =
        owner.query_one("SELECT current_setting('timescaledb.license')", &[]).await.unwrap().get(0);
    let policies: i64 = owner
        .query_one(
            "SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(policies, if licence == "timescale" { 5 } else { 0 });
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let batch = node.instances((1..=500).map(|s| reading(id, s * 2, a, s.unsigned_abs() * 2)).collect());
    node.must_send(&batch).await;
    if licence == "timescale" {
        owner.batch_execute("SELECT compress_chunk(c) FROM show_chunks('instance_reading') c").await.unwrap();
    }
    let late = node.instances(vec![reading(id, 501, a, 501)]);
    node.must_send(&late).await;
    derive(&db, 1_000).await;
    check(&db, "cpu_ns", "unassigned 0 1000 1000 0 0").await;
    check_conservation(&db).await;
}
