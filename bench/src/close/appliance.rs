//! `weir up` on the bench's database, and commands given to it: what is timed is what a provider types.
//!
//! It meters nothing (no collector, libvirt's test driver) and reads no configuration of this machine.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// What a stop in order may take before it becomes a kill.
const STOP_LIMIT: Duration = Duration::from_secs(30);
const STOP_LOOK: Duration = Duration::from_millis(50);

/// A running `weir up`; it ends when this is dropped.
pub struct Appliance {
    child: Child,
    program: PathBuf,
    data: TempDir,
}

impl Appliance {
    /// Starts `program` on a database and waits until it says that it is up.
    ///
    /// # Errors
    /// There is no such program, or it does not come up.
    pub fn start(program: &Path, database_url: &str) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("weir-bench-up-").tempdir_in("/var/tmp")?;
        let config = data.path().join("weir.toml");
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&config)?;
        // A TOML string is a JSON string here: an address of a database has no control characters.
        let url = serde_json::to_string(database_url)?;
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[database]\nurl = {url}\n[collector]\nenabled = false\n\
             libvirt_uri = \"test:///default\"\n[log]\nlevel = \"warn\"\n"
        );
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        let log = File::create(data.path().join("weir.log"))?;
        let mut child = Command::new(program)
            .args(["up", "--data"])
            .arg(data.path())
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| {
                format!(
                    "cannot run {}; build it (cargo build --release -p appliance) or name it: --weir FILE",
                    program.display()
                )
            })?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let appliance = Self { child, program: program.to_owned(), data };
        ensure!(line.contains(" is up"), "weir up did not come up: {}", appliance.log());
        Ok(appliance)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What a command answers.
    ///
    /// # Errors
    /// It failed.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let output = Command::new(&self.program)
            .arg("--data")
            .arg(self.data.path())
            .arg("--json")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("weir {}: {} {}", arguments.join(" "), said.trim(), self.log());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The end of what it logged.
    fn log(&self) -> String {
        let text = fs::read_to_string(self.data.path().join("weir.log")).unwrap_or_default();
        text.lines().rev().take(5).collect::<Vec<_>>().join(" / ")
    }

    fn stop(&mut self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("a process id is positive")?;
        kill_process(pid, Signal::TERM)?;
        let mut waited = Duration::ZERO;
        while self.child.try_wait()?.is_none() {
            if STOP_LIMIT <= waited {
                self.child.kill()?;
                self.child.wait()?;
                bail!("weir up did not stop and was killed");
            }
            std::thread::sleep(STOP_LOOK);
            waited += STOP_LOOK;
        }
        Ok(())
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("weir-bench: {error:#}");
        }
    }
}
