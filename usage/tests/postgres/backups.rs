//! A database that is lost after a backup: the nodes send again what it does not have, and every figure is as before.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use metering::{Batch, BatchSeq};
use migrations::cluster::{ClusterOptions, PrivateCluster};
use migrations::{Database, PoolLimits, Scope};
use usage::backups::{self, BackupError};
use usage::{Delivery, IngestError, IngestSettings, Ingestor};

use crate::story::*;

/// A node's spool: what is kept, in order, and how far it was acknowledged.
struct Keeper {
    node: Node,
    kept: Vec<Batch>,
    acknowledged: BatchSeq,
    refilled: usize,
}

impl Keeper {
    fn new(node: Node) -> Self {
        Self { node, kept: Vec::new(), acknowledged: BatchSeq(0), refilled: 0 }
    }

    /// Delivers everything that waits, at `second`.
    async fn ship(&mut self, ingestor: &Ingestor, second: i64) {
        while let Some(batch) = self.kept.iter().find(|batch| self.acknowledged < batch.seq) {
            let delivery = Delivery { after: self.acknowledged, sent: None };
            match ingestor.ingest(batch, &delivery, at(second)).await {
                Ok(ingested) => {
                    assert_eq!(ingested.known_until, batch.seq);
                    self.acknowledged = batch.seq;
                    self.kept.retain(|batch| ingested.covered_until < batch.seq);
                }
                Err(IngestError::Behind { known_until, after }) => {
                    assert_eq!(after, self.acknowledged);
                    self.refilled += self.kept.iter().filter(|batch| batch.seq <= after).count();
                    self.acknowledged = known_until;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

/// Everything that a bill could come from.
async fn figures(db: &Database) -> Vec<String> {
    let text =
        "SELECT concat_ws(' ', tenant_id, kind, resource, device, meter, window_start, window_end, quantity,
                                 measured_us, estimated_us, missing_us) AS line
                FROM usage_record ORDER BY line";
    query(db, Scope::Provider, text).await.iter().map(|row| row.get("line")).collect()
}

async fn open(cluster: &PrivateCluster) -> (Database, Ingestor) {
    migrations::migrate(cluster.url()).await.unwrap();
    let db = Database::connect(cluster.url(), PoolLimits::default()).await.unwrap();
    let ingestor = Ingestor::new(db.clone(), IngestSettings::new(settings().window));
    (db, ingestor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_is_restored_from_a_backup_is_refilled_by_its_nodes_to_the_last_unit() {
    let place = tempfile::Builder::new().prefix("weir-backup-").tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (data, copy) = (place.path().join("data"), place.path().join("copy"));
    let cluster = PrivateCluster::start(ClusterOptions::new(data.clone())).await.unwrap();
    let (db, ingestor) = open(&cluster).await;
    let mut keepers = [Keeper::new(Node::new(&db)), Keeper::new(Node::new(&db))];
    let ids = [instance_id(), instance_id()];
    let look = |keeper: &mut Keeper, n: usize, second: i64| {
        let life = epoch(&format!("{n} {}", second / 1_500), Some(second / 1_500 * 1_500));
        let value = (second % 1_500).unsigned_abs() * 900;
        let mut batch = keeper.node.instances(vec![reading(ids[n], second, life, value)]);
        batch.readings.disks = vec![disk(ids[n], "vda", second, life, value)];
        keeper.kept.push(batch);
    };
    for second in (60..=3_000).step_by(60) {
        for (n, keeper) in keepers.iter_mut().enumerate() {
            look(keeper, n, second);
            keeper.ship(&ingestor, second + 1).await;
        }
    }
    drop((db, ingestor));
    // The backup: a copy of the files at rest.
    cluster.stop().await;
    let status = Command::new("cp").arg("-a").args([&data, &copy]).status().unwrap();
    assert!(status.success());
    let cluster = PrivateCluster::start(ClusterOptions::new(data)).await.unwrap();
    let (db, ingestor) = open(&cluster).await;
    let covered = backups::note(&db, at(3_010), "a copy", at(3_100)).await.unwrap();
    // All but the last ten minutes, which may not have been committed when it began.
    assert!(
        covered.iter().all(|c| c.covered_until == BatchSeq(40) && c.known_until == BatchSeq(50)),
        "{covered:?}"
    );
    for second in (3_060..=6_000).step_by(60) {
        for (n, keeper) in keepers.iter_mut().enumerate() {
            look(keeper, n, second);
            keeper.ship(&ingestor, second + 1).await;
        }
    }
    derive(&db, 6_000).await;
    let before = figures(&db).await;
    check_conservation(&db).await;
    drop((db, ingestor));
    cluster.stop().await;

    let cluster = PrivateCluster::start(ClusterOptions::new(copy)).await.unwrap();
    let (db, ingestor) = open(&cluster).await;
    for (n, keeper) in keepers.iter_mut().enumerate() {
        assert_eq!((keeper.kept.len(), keeper.kept[0].seq), (60, BatchSeq(41)));
        look(keeper, n, 6_060);
        keeper.ship(&ingestor, 6_061).await;
        assert_eq!(keeper.refilled, 60);
    }
    derive(&db, 6_000).await;
    let after = figures(&db).await;
    let of_that_time = |lines: &[String]| {
        lines.iter().filter(|line| !line.contains("13:00:00+00 2026-10-25 14")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(of_that_time(&after), of_that_time(&before));
    check_conservation(&db).await;
    let totals = "SELECT sum(rows)::bigint AS n, count(*) AS batches FROM batch_ledger";
    let rows = query(&db, Scope::Provider, totals).await;
    assert_eq!((rows[0].get::<_, i64>("n"), rows[0].get::<_, i64>("batches")), (404, 202));
    cluster.stop().await;
}

#[tokio::test]
async fn a_backup_covers_what_was_surely_committed_when_it_began_and_never_less_than_before() {
    let db = migrations::testing::database().await;
    let mut node = Node::new(&db);
    assert!(backups::note(&db, at(0), "", at(0)).await.unwrap().is_empty());
    for second in [0, 700, 1_400] {
        let batch = node.batch();
        node.ingestor.ingest(&batch, &Delivery::default(), at(second)).await.unwrap();
    }
    for (covers_to, expected) in [(600, 0), (601, 1), (1_300, 1), (2_001, 3), (900, 3)] {
        let covered = backups::note(&db, at(covers_to), "nightly", at(9_000)).await.unwrap();
        assert_eq!(covered[0].covered_until, BatchSeq(expected), "{covers_to}");
    }
    let next = node.batch();
    let ingested = node.ingestor.ingest(&next, &Delivery::default(), at(2_500)).await.unwrap();
    assert_eq!((ingested.covered_until, ingested.known_until), (BatchSeq(3), BatchSeq(4)));
    let error = backups::note(&db, at(9_001), "", at(9_000)).await.unwrap_err();
    assert!(matches!(error, BackupError::Future { .. }), "{error}");
    let listed = backups::list(&db, 2).await.unwrap();
    assert_eq!((listed.len(), listed[0].note.as_str()), (2, "nightly"));
}

#[tokio::test]
async fn a_node_that_was_told_more_than_is_known_here_is_sent_back_and_nothing_is_stored() {
    let db = migrations::testing::database().await;
    let mut node = Node::new(&db);
    let (first, second) = (node.batch(), node.batch());
    let after = |seq| Delivery { after: BatchSeq(seq), sent: None };
    let error = node.ingestor.ingest(&second, &after(1), at(1)).await.unwrap_err();
    assert!(matches!(error, IngestError::Behind { known_until: BatchSeq(0), .. }), "{error}");
    assert!(!error.is_final() && !error.is_transient());
    assert_eq!(count(&db, Scope::Provider, "batch_ledger").await, 0);
    node.ingestor.ingest(&first, &after(0), at(1)).await.unwrap();
    node.ingestor.ingest(&second, &after(1), at(1)).await.unwrap();
    let again = node.ingestor.ingest(&first, &after(0), at(1)).await.unwrap();
    assert_eq!((again.is_duplicate, again.known_until), (true, BatchSeq(2)));
}
