//! PostgreSQL dies in the middle of a batch, again and again: all of a batch is there, or nothing.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use metering::Batch;
use migrations::cluster::{ClusterOptions, ClusterState, PrivateCluster};
use migrations::{Database, PoolLimits, Scope};
use usage::{Delivery, Ingested, Ingestor};

use crate::story::*;

/// How long a server may take to come back on a machine that compiles beside it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills the server and tells which process it was.
fn kill_9(cluster: &PrivateCluster) -> u32 {
    let ClusterState::Running { pid } = *cluster.supervise().borrow() else { panic!("the server runs") };
    let process = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    pid
}

/// Sends until it is acknowledged, as a node's spool does.
async fn insist(ingestor: &Ingestor, batch: &Batch) -> Ingested {
    let since = Instant::now();
    loop {
        match ingestor.ingest(batch, &Delivery::default(), at(86_400)).await {
            Ok(ingested) => return ingested,
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
        assert!(since.elapsed() < PATIENCE, "the server did not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn rows(db: &Database) -> (i64, i64) {
    let since = Instant::now();
    loop {
        if let Ok(mut session) = db.session().await
            && let Ok(transaction) = session.begin(Scope::Provider).await
            && let Ok(row) = transaction
                .query_one(
                    "SELECT (SELECT count(*) FROM visible_instance_reading) AS readings,
                            (SELECT coalesce(sum(rows), 0)::bigint FROM batch_ledger) AS promised",
                    &[],
                )
                .await
        {
            return (row.get("readings"), row.get("promised"));
        }
        assert!(since.elapsed() < PATIENCE, "the server did not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_while_it_copies_leaves_all_of_a_batch_or_nothing() {
    let place = tempfile::Builder::new().prefix("weir-usage-").tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let cluster = PrivateCluster::start(ClusterOptions::new(place.path().join("data"))).await.unwrap();
    migrations::migrate(cluster.url()).await.unwrap();
    let db = Database::connect(cluster.url(), PoolLimits::default()).await.unwrap();
    let (mut node, id, a) = (Node::new(&db), instance_id(), epoch("a", Some(0)));
    let mut sent = 0;
    let mut interrupted = 0;
    for (round, delay_ms) in [5_u64, 20, 60, 120, 250].into_iter().enumerate() {
        let start = i64::try_from(round).unwrap() * 10_000;
        let batch = node
            .instances((1..=10_000).map(|n| reading(id, start + n, a, (start + n).unsigned_abs())).collect());
        let ingestor = Ingestor::new(db.clone(), usage::IngestSettings::new(settings().window));
        let kill = async {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            kill_9(&cluster)
        };
        let delivery = Delivery::default();
        let (outcome, killed) = tokio::join!(ingestor.ingest(&batch, &delivery, at(86_400)), kill);
        interrupted += usize::from(outcome.is_err());
        let (found, promised) = rows(&db).await;
        assert_eq!(
            found, promised,
            "round {round}: readings without their ledger line, or the other way round"
        );
        assert!(found == sent || found == sent + 10_000, "round {round}: {found}");
        if outcome.is_ok() {
            assert_eq!(found, sent + 10_000, "round {round}: acknowledged and lost");
        }
        insist(&ingestor, &batch).await;
        sent += 10_000;
        assert_eq!(rows(&db).await, (sent, sent));
        // The killed server's last process may have answered all of this before the supervisor noticed: another server
        // must run.
        let mut state = cluster.supervise();
        let running =
            state.wait_for(|state| matches!(state, ClusterState::Running { pid } if *pid != killed));
        tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    }
    assert!(0 < interrupted, "no batch was hit: nothing was tried");
    // On a busy machine the new server may take its time to answer.
    assert_eq!(rows(&db).await, (sent, sent));
    derive(&db, 50_000).await;
    assert_eq!(check_conservation(&db).await, 4);
    cluster.stop().await;
}
