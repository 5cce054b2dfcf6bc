//! The binary under test: started, asked and stopped as its user does it, by command line and JSON only.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;

use super::Interrupt;
use crate::daemons::wait_for;

/// From nothing to answering: makes a database cluster first.
const START_LIMIT: Duration = Duration::from_secs(90);
/// A clean stop ends the database too.
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
/// Lines of Weir's log that are shown when something failed.
const LOG_LINES: usize = 15;

/// What a killed process may take to be gone.
const GONE_LIMIT: Duration = Duration::from_secs(10);

/// A running `weir up`; dropping it stops it.
#[derive(Debug)]
pub(super) struct Weir {
    binary: PathBuf,
    data: PathBuf,
    config: PathBuf,
    log: PathBuf,
    listen: String,
    process: Mutex<Child>,
    /// Commands read it, an outage writes it: nobody asks a control plane that was killed on purpose.
    gate: RwLock<()>,
}

impl Weir {
    /// Starts it. `config` is inside the data directory, so that `make up` finds it again.
    pub(super) fn spawn(binary: &Path, data: &Path, config: &Path, log: &Path) -> Result<Self> {
        let listen = free_address("127.0.0.1")?;
        File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let process = Mutex::new(start(binary, data, config, log, &listen)?);
        let (binary, data) = (binary.to_owned(), data.to_owned());
        let (config, log) = (config.to_owned(), log.to_owned());
        Ok(Self { binary, data, config, log, listen, process, gate: RwLock::new(()) })
    }

    /// Keeps it from being killed on purpose: for those who ask it not by a command.
    pub(super) fn undisturbed(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets all commands end, and none begin until this is dropped.
    pub(super) fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// `kill -9` of it and of its PostgreSQL; returns their ids.
    pub(super) fn kill(&self) -> Result<String> {
        let postmaster = self.postmaster().context("PostgreSQL does not run")?;
        let mut process = self.lock();
        let own = process.id();
        process.kill().context("cannot kill weir")?;
        process.wait()?;
        // It may have gone with Weir already.
        let _ = kill_process(postmaster, Signal::KILL);
        let proc = format!("/proc/{}", postmaster.as_raw_nonzero());
        let gone = wait_for(GONE_LIMIT, || (!Path::new(&proc).exists()).then_some(()));
        gone.with_context(|| format!("PostgreSQL ({}) does not die", postmaster.as_raw_nonzero()))?;
        Ok(format!("{own}, {}", postmaster.as_raw_nonzero()))
    }

    /// Starts it on the same data and address, and waits until it answers.
    pub(super) fn start_again(&self, interrupt: &Interrupt) -> Result<()> {
        *self.lock() = start(&self.binary, &self.data, &self.config, &self.log, &self.listen)?;
        self.wait_ready(interrupt)
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn postmaster(&self) -> Option<Pid> {
        let file = fs::read_to_string(self.data.join("postgres/postmaster.pid")).ok()?;
        Pid::from_raw(file.lines().next()?.trim().parse().ok()?)
    }

    pub(super) fn wait_ready(&self, interrupt: &Interrupt) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        loop {
            interrupt.check()?;
            if let Some(status) = self.lock().try_wait()? {
                bail!("`weir up` ended before it was ready ({status})");
            }
            let Err(error) = self.run_now(&["status", "--json"], "") else {
                return Ok(());
            };
            if Instant::now() >= end {
                return Err(error.context(format!("Weir is not ready after {} s", START_LIMIT.as_secs())));
            }
            std::thread::sleep(POLL);
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.lock().id()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub(super) fn version(&self) -> Result<String> {
        Ok(self.run(&["--version"])?.trim().to_owned())
    }

    /// One command, as typed.
    pub(super) fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with(args, "")
    }

    /// One command, as typed, and what is typed into it.
    pub(super) fn run_with(&self, args: &[&str], input: &str) -> Result<String> {
        let _undisturbed = self.undisturbed();
        self.run_now(args, input)
    }

    fn run_now(&self, args: &[&str], input: &str) -> Result<String> {
        let mut process = Command::new(&self.binary)
            .arg("--data")
            .arg(&self.data)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // In a group of its own, like the server: a Ctrl-C between two steps must not leave half of one.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        if let Some(mut stdin) = process.stdin.take() {
            // A command that does not ask may have ended by now.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = process.wait_with_output()?;
        let line = args.join(" ");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`weir {line}` failed ({}): {}", output.status, said.trim());
        }
        String::from_utf8(output.stdout).with_context(|| format!("`weir {line}` did not print UTF-8"))
    }

    /// One command with `--json`, understood.
    pub(super) fn ask<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T> {
        let args = [args, &["--json"]].concat();
        let answer = self.run(&args)?;
        serde_json::from_str(&answer)
            .with_context(|| format!("`weir {}` answered: {}", args.join(" "), answer.trim()))
    }

    fn stop(&self) -> Result<()> {
        stop(&mut self.lock(), "Weir")
    }
}

/// Ends a process in order, by force when it does not go.
pub(super) fn stop(process: &mut Child, what: &str) -> Result<()> {
    if process.try_wait()?.is_some() {
        return Ok(());
    }
    let pid = Pid::from_raw(i32::try_from(process.id())?).context("a process id is positive")?;
    kill_process(pid, Signal::TERM).with_context(|| format!("cannot stop {what}"))?;
    let end = Instant::now() + STOP_LIMIT;
    while process.try_wait()?.is_none() {
        if Instant::now() >= end {
            process.kill()?;
            process.wait()?;
            bail!("{what} did not stop within {} s of SIGTERM and was killed", STOP_LIMIT.as_secs());
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn start(binary: &Path, data: &Path, config: &Path, log: &Path, listen: &str) -> Result<Child> {
    let log =
        File::options().append(true).open(log).with_context(|| format!("cannot write {}", log.display()))?;
    Command::new(binary)
        .args(["up", "--listen", listen, "--data"])
        .arg(data)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C is for the demo: it still needs Weir to tidy up.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))
}

impl Drop for Weir {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("weir-demo: {error:#}");
        }
    }
}

/// The end of Weir's log, for somebody who has to find out why.
pub(super) fn log_tail(log: &Path) -> String {
    let Ok(text) = fs::read_to_string(log) else {
        return String::new();
    };
    let lines: Vec<_> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(LOG_LINES)..];
    format!("the end of {}:\n  {}", log.display(), tail.join("\n  "))
}

/// A port of the host that nobody listens on now.
pub(super) fn free_address(host: &str) -> Result<String> {
    let listener = TcpListener::bind((host, 0)).with_context(|| format!("no free port on {host}"))?;
    Ok(listener.local_addr()?.to_string())
}
