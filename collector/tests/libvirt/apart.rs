//! A collector in a process of its own, which delivers while it meters and can be killed at any moment.
//!
//! Its directory and what it delivered outlive it. What it is told and says goes over its standard streams.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use collector::{Parcel, Receipt, Settings, Sink, SinkError, Spool, ship, start};
use metering::{Batch, BatchSeq, wire};
use tempfile::TempDir;

/// `URI INTERVAL_MS DIRECTORY`: this program is the collector.
const CHILD: &str = "WEIR_TEST_COLLECTOR_CHILD";
/// The test below, by which this program becomes the collector.
const ENTRY: &str = "apart::child_that_meters_until_it_is_killed";

/// Where collectors live one after another, and what they have delivered.
pub struct Home {
    dir: TempDir,
    state_dir: PathBuf,
}

/// A collector at work. Dropping it kills it.
pub struct Apart {
    child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Home {
    /// Nobody lives here yet.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = dir.path().join("state");
        Self::with(dir, state_dir)
    }

    /// The same, with the spool on a disk of the caller's.
    pub fn on(state_dir: PathBuf) -> Self {
        Self::with(tempfile::tempdir().unwrap(), state_dir)
    }

    fn with(dir: TempDir, state_dir: PathBuf) -> Self {
        std::fs::create_dir(dir.path().join("delivered")).unwrap();
        Self { dir, state_dir }
    }

    /// Starts a collector, `inside` of whatever the caller wants.
    pub fn start(&self, uri: &str, interval: Duration, inside: impl FnOnce(Command) -> Command) -> Apart {
        let what = format!("{uri} {} {}", interval.as_millis(), self.dir.path().display());
        let mut program = Command::new(std::env::current_exe().unwrap());
        program
            .args(["--exact", ENTRY, "--nocapture"])
            .env(CHILD, what)
            .env("WEIR_TEST_STATE", &self.state_dir);
        let mut child = inside(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Apart { child, orders, lines }
    }

    /// What was delivered so far, in order: each number once, and no hole before the last one.
    pub fn delivered(&self) -> Vec<Batch> {
        let files = std::fs::read_dir(self.dir.path().join("delivered")).unwrap();
        let mut batches = BTreeMap::new();
        for path in files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_none()) {
            let batch = wire::decode(&std::fs::read(path).unwrap()).unwrap();
            batches.insert(batch.seq, batch);
        }
        let numbers: Vec<u64> = batches.keys().map(|seq| seq.0).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        batches.into_values().collect()
    }

    /// Everything, when nobody lives here any more: also what still waits in the spool.
    pub fn all(&self) -> Vec<Batch> {
        let spool = Spool::open(&self.state_dir).unwrap();
        let shelf = Shelf { dir: self.dir.path().join("delivered") };
        while let Some(batch) = spool.oldest().unwrap() {
            shelf.put(&batch).unwrap();
            spool.acknowledge(batch.seq).unwrap();
        }
        self.delivered()
    }
}

impl Apart {
    /// Has it take a look, which is durable when this returns.
    pub fn look(&mut self) {
        self.orders.write_all(b"look\n").unwrap();
        let said = self.lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("looked "));
        assert_eq!(said.as_deref(), Some("looked true"), "the collector has ended, or could not read");
    }

    /// SIGKILL, and nothing else.
    pub fn kill(mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "it ended by itself");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It may be killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A control plane that keeps each batch in a file of its own.
struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    /// A batch that comes again is the same.
    fn put(&self, batch: &Batch) -> std::io::Result<()> {
        let bytes = wire::encode(batch).unwrap();
        let path = self.dir.join(batch.seq.to_string());
        if let Ok(before) = std::fs::read(&path) {
            assert_eq!(wire::decode(&before).unwrap(), *batch, "delivered again, and another one");
            return Ok(());
        }
        let unfinished = path.with_extension("unfinished");
        std::fs::write(&unfinished, bytes)?;
        std::fs::rename(unfinished, path)
    }
}

impl Sink for Shelf {
    async fn deliver(&self, parcel: Parcel) -> Result<Receipt, SinkError> {
        self.put(&parcel.batch).map_err(|error| SinkError::Away(Box::new(error)))?;
        Ok(Receipt { known_until: parcel.batch.seq, covered_until: BatchSeq(0) })
    }
}

/// The body of that process. As a test of its own it does nothing.
#[test]
fn child_that_meters_until_it_is_killed() {
    let Ok(what) = std::env::var(CHILD) else {
        return;
    };
    let words: Vec<&str> = what.split(' ').collect();
    let [uri, interval, home] = words[..] else { panic!("{CHILD}={what}") };
    let settings = Settings {
        libvirt_uri: uri.to_owned(),
        reading_interval: Duration::from_millis(interval.parse().unwrap()),
        sample_interval: Duration::from_secs(1),
        cross_check_interval: collector::DEFAULT_CROSS_CHECK_INTERVAL,
        state_dir: std::env::var_os("WEIR_TEST_STATE").unwrap().into(),
        node_name: "node".to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(meter(settings, Path::new(home)));
}

/// Until it is killed, or nobody is there who could do so.
async fn meter(settings: Settings, home: &Path) {
    let collector = start(settings).unwrap();
    let shelf = Shelf { dir: home.join("delivered") };
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(ship(collector.spool().clone(), collector.notify(), shelf, stopped));
    for order in std::io::stdin().lines().map_while(Result::ok) {
        assert_eq!(order, "look");
        let is_read = collector.read_now().await.is_ok();
        println!("\nlooked {is_read}");
        std::io::stdout().flush().unwrap();
    }
}
