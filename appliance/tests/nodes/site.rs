//! A control plane that listens to nodes, on a database that the test can look into, and nodes as processes.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use migrations::testing::TestDatabase;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::running::Weir;

/// How long a test waits for what must happen; a loaded machine is slow, not wrong.
const PATIENCE: Duration = Duration::from_secs(90);

/// Before the data directory: a node that reads every second.
pub const RUN: [&str; 5] = ["node", "run", "--reading-interval", "1s", "--data"];

/// A control plane and what it needs.
pub struct Site {
    // First: it is ended before what it stands on goes.
    up: Option<Weir>,
    pub runtime: tokio::runtime::Runtime,
    pub database: TestDatabase,
    pub dir: TempDir,
    address: Ipv4Addr,
    pub port: u16,
    settings: Vec<(&'static str, &'static str)>,
}

/// A node as a process.
pub struct Node {
    child: Child,
    pub data: PathBuf,
}

impl Site {
    pub fn start(settings: &[(&'static str, &'static str)]) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, settings)
    }

    /// On another address of this machine.
    pub fn start_at(address: Ipv4Addr, settings: &[(&'static str, &'static str)]) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let database = runtime.block_on(migrations::testing::database());
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
        let mut settings = settings.to_vec();
        settings.push(("WEIR__LOG__LEVEL", "error,actix_http=off"));
        settings.push(("WEIR__COLLECTOR__ENABLED", "false"));
        let mut site = Self { up: None, runtime, database, dir, address, port, settings };
        site.start_again();
        site
    }

    pub fn start_again(&mut self) {
        let listen = format!("{}:{}", self.address, self.port);
        let flags = ["--database-url", self.database.owner_url(), "--nodes-listen", &listen];
        self.up = Some(Weir::start_with(&self.dir.path().join("control"), &flags, &self.settings));
    }

    /// Starts it where it must not start; what it says.
    pub fn refused_start(&self) -> String {
        let (control, listen) = (self.dir.path().join("control"), format!("{}:{}", self.address, self.port));
        let mut command = weir();
        command.arg("--data").arg(&control).args([
            "up",
            "--listen",
            "127.0.0.1:0",
            "--nodes-listen",
            &listen,
        ]);
        command.args(["--database-url", self.database.owner_url()]).envs(self.settings.iter().copied());
        let output = command.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.up.take().unwrap().kill();
    }

    pub fn up(&self) -> &Weir {
        self.up.as_ref().unwrap()
    }

    pub fn url(&self) -> String {
        format!("https://{}:{}", self.address, self.port)
    }

    pub fn token(&self) -> String {
        self.up().ask(&["node", "token", "create"])["token"].as_str().unwrap().to_owned()
    }

    /// Joins a machine without running it; its data directory.
    pub fn join(&self, name: &str) -> PathBuf {
        let data = self.dir.path().join(name);
        let joined = try_join(&data, &self.url(), &self.token(), &["--name", name, "--only-join"]);
        assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
        data
    }

    pub fn node(&self, name: &str) -> Value {
        self.up().ask(&["node", "show", name])
    }

    /// The highest batch that is known of a node.
    pub fn last_seq(&self, name: &str) -> u64 {
        self.up().try_ask(&["node", "show", name]).and_then(|node| node["last_seq"].as_u64()).unwrap_or(0)
    }

    /// The open alerts of a kind.
    pub fn alerts(&self, kind: &str) -> usize {
        let alerts = self.up().try_ask(&["alert", "list"]).unwrap_or_default();
        let alerts = alerts["alerts"].as_array().cloned().unwrap_or_default();
        alerts.iter().filter(|alert| alert["kind"] == kind).count()
    }

    /// A number from the database.
    pub fn count(&self, sql: &str) -> i64 {
        self.runtime.block_on(async {
            let owner = self.database.owner_client().await;
            owner.query_one(sql, &[]).await.unwrap().get(0)
        })
    }

    /// Every batch of the ledger is there once, from the first to the last.
    pub fn assert_ledger_is_whole(&self) {
        let holes = "SELECT count(*) FROM (SELECT node_id FROM batch_ledger GROUP BY node_id
                     HAVING count(*) <> max(seq) OR min(seq) <> 1) AS with_holes";
        assert_eq!(self.count(holes), 0, "a batch is missing");
        let twice = "SELECT count(*) FROM (SELECT node_id, observed_at FROM node_reading
                     GROUP BY node_id, observed_at HAVING 1 < count(*)) AS twice";
        assert_eq!(self.count(twice), 0, "a reading is there twice");
    }
}

impl Node {
    /// A node that has joined.
    pub fn run(data: &Path) -> Self {
        let mut command = weir();
        command.args(RUN).arg(data);
        Self::run_as(data, command)
    }

    /// The same by a command of its own: elsewhere, or by another clock.
    pub fn run_as(data: &Path, mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("runs and delivers"), "weir node run said {line:?}");
        Self { child, data: data.to_owned() }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    /// What it says of itself.
    pub fn status(&self) -> Value {
        let output = weir().args(["--json", "status", "--data"]).arg(&self.data).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Why its last delivery was not taken.
    pub fn problem(&self) -> String {
        self.status()["last_delivery_problem"].as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn try_join(data: &Path, url: &str, token: &str, flags: &[&str]) -> Output {
    let mut command = weir();
    command.args(["node", "join", url, "--token", token, "--data"]).arg(data).args(flags);
    command.output().unwrap()
}

pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A copy of a directory, as of a disk.
pub fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

pub fn weir() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.env("WEIR__COLLECTOR__LIBVIRT_URI", "test:///default").env("WEIR__LOG__LEVEL", "error");
    command
}
