//! The processes under attack: a control plane on a node with its own libvirtd, a node that joined through a proxy, its spool
//! on a small disk, and a supervisor that starts again what ended, as an init system would.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::guests::Site;
use crate::daemons::wait_for;
use crate::demo::Interrupt;
use crate::faults::{FaultProxy, FullDisk};
use crate::file_server::FileServer;
use crate::process::finish_command;
use crate::second_node::{Net, SecondNode};

/// Who pays for all guests.
pub(super) const TENANT: &str = "chaos";
/// Below /var/lib, where PostgreSQL's user can go.
const HOME: &str = "/var/lib/weir-chaos";
const LIBFAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
const START_LIMIT: Duration = Duration::from_secs(90);
/// What a collector may take after everything is healed until it reads again: it has to find its libvirtd.
const CALM: Duration = Duration::from_secs(5);
/// MiB of the node's disk.
const SPOOL_MIB: u64 = 48;
const LOG_LINES: usize = 12;
const POLL: Duration = Duration::from_millis(200);

/// One of Weir's processes, as a supervisor has it.
#[derive(Debug)]
pub(super) struct Process {
    child: Option<Child>,
    is_wanted: bool,
    what: &'static str,
}

/// Everything.
pub(super) struct World {
    binary: PathBuf,
    home: PathBuf,
    listen: String,
    nodes_listen: SocketAddr,
    pub(super) control: Process,
    pub(super) node: Process,
    pub(super) proxy: FaultProxy,
    servers: [FileServer; 2],
    near: SecondNode,
    pub(super) far: SecondNode,
    pub(super) disk: FullDisk,
    restarts: u64,
    from: Timestamp,
    is_kept: bool,
}

impl Process {
    const fn new(what: &'static str) -> Self {
        Self { child: None, is_wanted: false, what }
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        self.is_wanted = false;
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        let pid = Pid::from_raw(i32::try_from(child.id())?).context("a process id is positive")?;
        // One that has ended takes no signal; the supervisor will see it.
        let _ = kill_process(pid, signal);
        Ok(())
    }

    fn has_ended(&mut self) -> bool {
        let ended = self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
        ended && self.is_wanted
    }
}

impl World {
    pub(super) fn start(weir: &Path, seed: u64, interrupt: &Interrupt) -> Result<Self> {
        let name = crate::unique_name("weirt-chaos");
        let home = Path::new(HOME).join(&name);
        fs::create_dir_all(home.join("control"))
            .with_context(|| format!("cannot make {}", home.display()))?;
        for directory in [Path::new(HOME), &home, &home.join("control")] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o711))?;
        }
        // Before the nodes: their namespaces see what is mounted when they are made.
        let disk = FullDisk::tmpfs(SPOOL_MIB)?;
        let near = SecondNode::start_with(&format!("{name}-n"), Net::Shared)?;
        let far = SecondNode::start(&format!("{name}-f"))?;
        let servers = [FileServer::start(near.server_address())?, FileServer::start(far.server_address())?];
        let nodes_listen: SocketAddr = free_address()?.parse()?;
        let proxy = FaultProxy::start_at(far.control_address(), nodes_listen, seed)?;
        let mut world = Self {
            binary: std::path::absolute(weir)?,
            listen: free_address()?,
            home,
            nodes_listen,
            control: Process::new("the control plane"),
            node: Process::new("the node"),
            proxy,
            servers,
            near,
            far,
            disk,
            restarts: 0,
            from: Timestamp::now(),
            is_kept: false,
        };
        fs::write(world.data().join("weir.toml"), world.configuration())?;
        world.shift_clock(0)?;
        world.start_control()?;
        world.wait_ready(interrupt)?;
        world.ask_text(&["tenant", "create", TENANT, "--time-zone", "UTC"])?;
        world.join()?;
        world.start_node()?;
        Ok(world)
    }

    pub(super) fn place(&self, site: Site) -> &SecondNode {
        match site {
            Site::Near => &self.near,
            Site::Far => &self.far,
        }
    }

    pub(super) fn place_mut(&mut self, site: Site) -> &mut SecondNode {
        match site {
            Site::Near => &mut self.near,
            Site::Far => &mut self.far,
        }
    }

    pub(super) fn server(&self, site: Site) -> &FileServer {
        &self.servers[usize::from(site == Site::Far)]
    }

    pub(super) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// The whole campaign, in whole usage windows.
    pub(super) fn span(&self) -> Result<(Timestamp, Timestamp)> {
        let minute = |at: Timestamp| at.as_second().div_euclid(60) * 60;
        Ok((
            Timestamp::from_second(minute(self.from))?,
            Timestamp::from_second(minute(Timestamp::now()) + 60)?,
        ))
    }

    pub(super) fn start_control(&mut self) -> Result<()> {
        let mut command = self.near.place().command(&text(&self.binary)?);
        command.args(["up", "--listen", &self.listen, "--data"]).arg(self.data());
        self.control.child = Some(self.spawn(command, "control.log")?);
        self.control.is_wanted = true;
        Ok(())
    }

    pub(super) fn start_node(&mut self) -> Result<()> {
        let mut command = self.far.place().command(&text(&self.binary)?);
        command.arg("--data").arg(self.node_data()).args(["node", "run"]);
        command
            .env("LD_PRELOAD", LIBFAKETIME)
            .env("FAKETIME_TIMESTAMP_FILE", self.clock_file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        self.node.child = Some(self.spawn(command, "node.log")?);
        self.node.is_wanted = true;
        Ok(())
    }

    /// The wall clock of the node's Weir, while it runs.
    pub(super) fn shift_clock(&mut self, seconds: i64) -> Result<()> {
        let file = self.clock_file();
        // A rename, so that no half-written figure is read.
        let next = file.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n"))?;
        fs::rename(&next, &file).context("cannot shift the clock")
    }

    /// False where there is no PostgreSQL now.
    pub(super) fn signal_postgres(&self, signal: Signal) -> Result<bool> {
        let note = fs::read_to_string(self.data().join("postgres/postmaster.pid")).unwrap_or_default();
        let Some(pid) = note.lines().next().and_then(|line| Pid::from_raw(line.trim().parse().ok()?)) else {
            return Ok(false);
        };
        let program = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default();
        Ok(program.trim() == "postgres" && kill_process(pid, signal).is_ok())
    }

    /// Starts again what ended by itself.
    pub(super) fn supervise(&mut self) -> Result<()> {
        if self.control.has_ended() {
            self.restarts += 1;
            println!("           the supervisor starts {} again", self.control.what);
            self.start_control()?;
        }
        if self.node.has_ended() {
            self.restarts += 1;
            println!("           the supervisor starts {} again", self.node.what);
            self.start_node()?;
        }
        Ok(())
    }

    /// Nothing is wrong with that node any more: waits until its collector certainly reads.
    pub(super) fn wait_until_reading(&mut self, site: Site, interrupt: &Interrupt) -> Result<()> {
        self.supervise()?;
        if site == Site::Near {
            self.wait_ready(interrupt)?;
        }
        interrupt.sleep(CALM)?;
        self.supervise()
    }

    pub(super) fn ask<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T> {
        let answer = self.ask_text(&[args, &["--json"]].concat())?;
        serde_json::from_str(&answer)
            .with_context(|| format!("`weir {}` answered: {}", args.join(" "), answer.trim()))
    }

    /// Rows of the database as `a|b`, asked for by its owner.
    pub(super) fn query(&self, sql: &str) -> Result<String> {
        let password = fs::read_to_string(self.data().join("secrets/postgres-postgres"))
            .context("cannot read the cluster's password")?;
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "weir", "-h"]);
        command.arg(self.data().join("run")).args(["-c", sql]).env("PGPASSWORD", password.trim());
        finish_command(command)
    }

    /// Leaves the logs and a copy of the database behind, for whoever has to find out what went wrong. Gives where.
    pub(super) fn keep(&mut self) -> Result<PathBuf> {
        self.is_kept = true;
        let password = fs::read_to_string(self.data().join("secrets/postgres-postgres"))
            .context("cannot read the cluster's password")?;
        let mut command = Command::new("pg_dump");
        command.args(["-U", "postgres", "-d", "weir", "-h"]).arg(self.data().join("run")).arg("-f");
        command.arg(self.home.join("weir.sql")).env("PGPASSWORD", password.trim());
        finish_command(command)?;
        Ok(self.home.clone())
    }

    /// The ends of both logs.
    pub(super) fn log_tails(&self) -> String {
        let tail = |name: &str| {
            let log = fs::read_to_string(self.home.join(name)).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            format!("the end of {name}:\n  {}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n  "))
        };
        [tail("control.log"), tail("node.log")].join("\n")
    }

    fn data(&self) -> PathBuf {
        self.home.join("control")
    }

    fn node_data(&self) -> PathBuf {
        self.disk.path().join("weir")
    }

    fn clock_file(&self) -> PathBuf {
        self.home.join("clock")
    }

    fn configuration(&self) -> String {
        format!(
            "[collector]\nreading_interval = \"1s\"\n\n[metering]\nwindow = \"1m\"\n\n[nodes]\nlisten = \"{}\"\naddress = \"{}:{}\"\n",
            self.nodes_listen,
            self.far.control_address(),
            self.proxy.address().port()
        )
    }

    fn join(&self) -> Result<()> {
        #[derive(Deserialize)]
        struct Token {
            token: String,
            url: String,
        }
        let made: Token = self.ask(&["node", "token", "create"])?;
        let mut command = Command::new(&self.binary);
        command.arg("--data").arg(self.node_data());
        command.args(["node", "join", &made.url, "--token", &made.token, "--only-join"]);
        command.args(["--reading-interval", "1s"]);
        self.far.run(&mut command).map(drop)
    }

    fn wait_ready(&mut self, interrupt: &Interrupt) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        loop {
            interrupt.check()?;
            self.supervise()?;
            let Err(error) = self.ask_text(&["status", "--json"]) else { return Ok(()) };
            if end <= Instant::now() {
                return Err(error.context("the control plane does not answer"));
            }
            std::thread::sleep(POLL);
        }
    }

    fn ask_text(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command.arg("--data").arg(self.data()).args(args);
        finish_command(command)
    }

    fn spawn(&self, mut command: Command, log: &str) -> Result<Child> {
        let log = File::options().create(true).append(true).open(self.home.join(log))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().context("cannot start weir")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.signal_postgres(Signal::CONT);
        let _ = self.control.signal(Signal::CONT);
        let _ = self.control.kill();
        let _ = self.signal_postgres(Signal::INT);
        let is_over = || (!matches!(self.signal_postgres(Signal::CONT), Ok(true))).then_some(());
        let _ = wait_for(Duration::from_secs(15), is_over);
        if self.is_kept || std::thread::panicking() {
            // What is in the database lies beside it.
            let _ = fs::remove_dir_all(self.data());
            eprintln!("testbed: the logs stay in {}", self.home.display());
            return;
        }
        let _ = fs::remove_dir_all(&self.home);
    }
}

fn free_address() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.to_string())
}

fn text(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => bail!("{} is not UTF-8", path.display()),
    }
}
