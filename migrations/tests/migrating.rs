//! The runner, on an empty database of a private cluster.

use std::os::unix::fs::PermissionsExt;

use migrations::cluster::{ClusterOptions, PrivateCluster};
use migrations::{Database, DbError, PoolLimits, StorageProfile, migrate};
use tokio_postgres::NoTls;

/// The best that a private server has here.
fn offered() -> StorageProfile {
    if migrations::testing::has_timescale() { StorageProfile::Timescale } else { StorageProfile::Plain }
}

async fn cluster() -> (tempfile::TempDir, PrivateCluster) {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let cluster = PrivateCluster::start(ClusterOptions::new(place.path().join("data"))).await.unwrap();
    (place, cluster)
}

#[tokio::test]
async fn migrating_twice_or_from_many_at_once_is_migrating_once() {
    let (_place, cluster) = cluster().await;
    let url = cluster.url().to_owned();
    match Database::connect(&url, PoolLimits::default()).await {
        Err(DbError::NotMigrated(_)) => {}
        other => panic!("an empty database must be told from a migrated one: {other:?}"),
    }

    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = url.clone();
        tasks.spawn(async move { migrate(&url).await.unwrap() });
    }
    let mut reports = tasks.join_all().await;
    reports.sort_by_key(|report| report.applied.len());
    let last = reports.pop().unwrap();
    assert_eq!(last.applied.first().map(String::as_str), Some("V0001__tenancy"));
    assert_eq!(last.profile, offered());
    assert!(reports.iter().all(|report| report.applied.is_empty()), "{reports:?}");

    let again = migrate(&url).await.unwrap();
    assert_eq!(again.applied, Vec::<String>::new());
    let database = Database::connect(&url, PoolLimits::default()).await.unwrap();
    assert_eq!(database.storage_profile().await.unwrap(), offered());

    // A second database on the same server finds the role there and is migrated all the same.
    let (superuser, connection) = tokio_postgres::connect(cluster.superuser_url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    superuser.batch_execute("CREATE DATABASE second OWNER weir").await.unwrap();
    let second = format!("{}second", url.strip_suffix("weir").unwrap());
    assert_eq!(migrate(&second).await.unwrap().applied, last.applied);

    // A login that may not make the role is told what to have done.
    for sql in ["CREATE ROLE plain LOGIN PASSWORD 'x'", "CREATE DATABASE third OWNER plain"] {
        superuser.batch_execute(sql).await.unwrap();
    }
    let (_, host) = url.split_once('@').unwrap();
    let third = format!("postgresql://plain:x@{}third", host.strip_suffix("weir").unwrap());
    let error = migrate(&third).await.unwrap_err();
    assert!(error.to_string().contains("GRANT weir_app TO \"plain\""), "{error}");
    cluster.stop().await;
}

#[tokio::test]
async fn a_migration_that_was_edited_after_it_landed_is_refused() {
    let (_place, cluster) = cluster().await;
    migrate(cluster.url()).await.unwrap();
    let (owner, connection) = tokio_postgres::connect(cluster.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    owner.batch_execute("UPDATE refinery_schema_history SET checksum = '1' WHERE version = 1").await.unwrap();
    match migrate(cluster.url()).await {
        Err(DbError::Migration(_)) => {}
        other => panic!("the edit went unseen: {other:?}"),
    }
    cluster.stop().await;
}
