//! The binary under test: started, asked and stopped as its user does it, by command line and JSON only.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;

use super::Interrupt;

/// From nothing to answering: makes a database cluster first.
const START_LIMIT: Duration = Duration::from_secs(90);
/// A clean stop ends the database too.
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
/// Lines of Weir's log that are shown when something failed.
const LOG_LINES: usize = 15;

/// A running `weir up`; dropping it stops it.
#[derive(Debug)]
pub(super) struct Weir {
    binary: PathBuf,
    data: PathBuf,
    url: String,
    process: Child,
}

impl Weir {
    /// Starts it. `config` is inside the data directory, so that `make up` finds it again.
    pub(super) fn spawn(binary: &Path, data: &Path, config: &Path, log: &Path) -> Result<Self> {
        let listen = free_address()?;
        let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let process = Command::new(binary)
            .args(["up", "--listen", &listen, "--data"])
            .arg(data)
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the demo: it still needs Weir to tidy up.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        Ok(Self {
            binary: binary.to_owned(),
            data: data.to_owned(),
            url: format!("http://{listen}"),
            process,
        })
    }

    pub(super) fn wait_ready(&mut self, interrupt: &Interrupt) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        loop {
            interrupt.check()?;
            if let Some(status) = self.process.try_wait()? {
                bail!("`weir up` ended before it was ready ({status})");
            }
            let Err(error) = self.run(&["status", "--json"]) else {
                return Ok(());
            };
            if Instant::now() >= end {
                return Err(error.context(format!("Weir is not ready after {} s", START_LIMIT.as_secs())));
            }
            std::thread::sleep(POLL);
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn url(&self) -> &str {
        &self.url
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

    fn stop(&mut self) -> Result<()> {
        if self.process.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = Pid::from_raw(i32::try_from(self.process.id())?).context("a process id is positive")?;
        kill_process(pid, Signal::TERM).context("cannot stop weir")?;
        let end = Instant::now() + STOP_LIMIT;
        while self.process.try_wait()?.is_none() {
            if Instant::now() >= end {
                self.process.kill()?;
                self.process.wait()?;
                bail!("Weir did not stop within {} s of SIGTERM and was killed", STOP_LIMIT.as_secs());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
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

/// A port that nobody listens on now.
fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.to_string())
}
