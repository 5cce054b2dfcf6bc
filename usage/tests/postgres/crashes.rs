//! A control plane that dies in the middle of taking a batch in: at each table of the transaction, in its commit, and after it
//! before anybody is told. All of the batch is there or nothing, and when it comes again it counts once.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use metering::{Batch, wire};
use migrations::testing::TestDatabase;
use migrations::{Database, PoolLimits};
use tokio_postgres::Client;
use usage::{Delivery, IngestSettings, Ingestor};

use crate::story::*;

/// `URL FILE END`: this program takes the batch of the file in; END says whether it lives to tell.
const CHILD: &str = "WEIR_TEST_INGEST_CHILD";
const ENTRY: &str = "crashes::child_that_takes_a_batch_in";
const PATIENCE: Duration = Duration::from_secs(60);
/// What COMMIT waits for in the last case, as somebody's lock.
const IN_COMMIT: i64 = 22_028;

/// The body of that process. As a test of its own it does nothing.
#[tokio::test]
async fn child_that_takes_a_batch_in() {
    let Ok(what) = std::env::var(CHILD) else {
        return;
    };
    let words: Vec<&str> = what.rsplitn(3, ' ').collect();
    let [end, file, url] = words[..] else { panic!("{CHILD}={what}") };
    let batch = wire::decode(&std::fs::read(file).unwrap()).unwrap();
    let db = Database::connect(url, PoolLimits::default()).await.unwrap();
    let ingestor = Ingestor::new(db, IngestSettings::new(settings().window));
    let ingested = ingestor.ingest(&batch, &Delivery::default(), at(86_400)).await.unwrap();
    if end == "dies" {
        std::process::abort();
    }
    println!("\nduplicate {}", ingested.is_duplicate);
}

fn start(db: &TestDatabase, file: &Path, end: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", ENTRY, "--nocapture"])
        .env(CHILD, format!("{} {} {end}", db.owner_url(), file.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Sends it to a control plane that lives; whether it was there already.
fn is_duplicate(db: &TestDatabase, file: &Path) -> bool {
    let output = start(db, file, "tells").wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().find_map(|line| line.strip_prefix("duplicate ")).unwrap().parse().unwrap()
}

/// Kills whoever takes the batch in while it waits for a lock of `holder`'s, and lets go of that.
async fn kill_in(db: &TestDatabase, holder: &Client, file: &Path, lock: &str, what: &str) {
    holder.batch_execute(lock).await.unwrap();
    let mut child = start(db, file, "tells");
    let since = Instant::now();
    // Not from pg_stat_activity, which stands still within a transaction.
    let waiting = "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database
                   WHERE NOT granted AND datname = current_database()";
    let pid: i32 = loop {
        if let Some(row) = holder.query_opt(waiting, &[]).await.unwrap() {
            break row.get(0);
        }
        assert!(since.elapsed() < PATIENCE, "{what}: it was never waited for");
        assert!(child.try_wait().unwrap().is_none(), "{what}: it ended without waiting");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    child.kill().unwrap();
    child.wait().unwrap();
    holder.batch_execute("ROLLBACK; SELECT pg_advisory_unlock_all()").await.unwrap();
    // The server's process sees that nobody listens when it has carried its statement out.
    while holder.query_opt("SELECT 1 FROM pg_stat_activity WHERE pid = $1", &[&pid]).await.unwrap().is_some()
    {
        assert!(since.elapsed() < PATIENCE, "{what}: the server's process does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything that a batch leaves.
async fn traces(client: &Client, batch: &Batch) -> i64 {
    let all = "SELECT (SELECT count(*) FROM batch_ledger WHERE node_id = $1 AND seq = $2)
                    + (SELECT count(*) FROM instance_reading WHERE observed_at = $3)
                    + (SELECT count(*) FROM reading_gap WHERE node_id = $1 AND seq = $2)
                    + (SELECT count(*) FROM quarantine WHERE node_id = $1 AND seq = $2)";
    let seq = i64::try_from(batch.seq.0).unwrap();
    let observed_at = batch.readings.instances[0].observed_at;
    client.query_one(all, &[&batch.node_id.uuid(), &seq, &observed_at]).await.unwrap().get(0)
}

/// A batch with a bit of everything, told apart by its second.
fn whole(node: &mut Node, second: i64) -> Batch {
    let (id, life) = (instance_id(), epoch("a", Some(0)));
    let mut batch = node.instances(vec![reading(id, second, life, 10), reading(id, -315_360_000, life, 10)]);
    batch.instances = vec![facts(id, "web", None)];
    batch.gaps = vec![gap(id, None, second - 1, second)];
    batch
}

#[tokio::test]
async fn a_control_plane_that_dies_at_any_step_of_a_batch_leaves_all_of_it_or_nothing_and_it_counts_once() {
    let db = migrations::testing::database().await;
    let holder = db.owner_client().await;
    let mut node = Node::new(&db);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("batch");
    // Days have their partitions and the node is known, so that a batch's transaction is all that happens.
    let first = whole(&mut node, 1);
    node.must_send(&first).await;
    let tables = [
        "node",
        "batch_ledger",
        "instance",
        "instance_reading",
        "reading_gap",
        "reading_head",
        "dirty_window",
        "quarantine",
    ];
    for (n, table) in tables.iter().enumerate() {
        let batch = whole(&mut node, 10 + i64::try_from(n).unwrap());
        std::fs::write(&file, wire::encode(&batch).unwrap()).unwrap();
        let lock = format!("BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE");
        kill_in(&db, &holder, &file, &lock, table).await;
        assert_eq!(traces(&holder, &batch).await, 0, "{table}: nothing of it is there");
        assert!(!is_duplicate(&db, &file), "{table}: it comes again, and counts");
        assert_eq!(traces(&holder, &batch).await, 4, "{table}: all of it");
        assert!(is_duplicate(&db, &file), "{table}: and counts once");
        assert_eq!(traces(&holder, &batch).await, 4);
    }
    check_after_commit(&db, &holder, &mut node, &file).await;
}

/// Dead in the commit, of which nobody hears the outcome, and dead after it.
async fn check_after_commit(db: &TestDatabase, holder: &Client, node: &mut Node, file: &Path) {
    let batch = whole(node, 100);
    std::fs::write(file, wire::encode(&batch).unwrap()).unwrap();
    let died = start(db, file, "dies").wait().unwrap();
    assert!(!died.success());
    assert_eq!(traces(holder, &batch).await, 4, "it was durable before anybody was told");
    assert!(is_duplicate(db, file));

    let slow = format!(
        "CREATE FUNCTION wait_in_commit() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock({IN_COMMIT}); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER wait_in_commit AFTER INSERT ON batch_ledger DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION wait_in_commit();"
    );
    holder.batch_execute(&slow).await.unwrap();
    let batch = whole(node, 200);
    std::fs::write(file, wire::encode(&batch).unwrap()).unwrap();
    let lock = format!("BEGIN; SELECT pg_advisory_lock({IN_COMMIT})");
    kill_in(db, holder, file, &lock, "COMMIT").await;
    let outcome = traces(holder, &batch).await;
    assert!(outcome == 0 || outcome == 4, "all or nothing: {outcome}");
    assert_eq!(is_duplicate(db, file), outcome == 4, "what came of the commit is known when it comes again");
    assert_eq!(traces(holder, &batch).await, 4);
    assert!(is_duplicate(db, file));
}
