//! Keeps `postgres` running: a thread that spawns it, waits for it, and spawns it again when it died by itself. It does
//! NOT know whether the server is ready to be used.
//!
//! It is a thread, not a task, because the kernel's parent-death signal is tied to the thread that spawned the child,
//! and tokio's threads come and go.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::sync::watch;

use super::account::Account;
use super::orphans;

/// A server that dies at once must not burn the CPU; one that died by chance should be back soon.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// A server that lived this long counts as healthy: the next restart is a first one again.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// Some tens of thousands of lines: enough to see what happened, no danger to the disk. One older file is kept.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How often the log is measured.
const LOG_LOOK_INTERVAL: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// What the private server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterState {
    /// It was spawned, as this process. It may still be recovering.
    Running {
        /// The server's process id.
        pid: u32,
    },
    /// It died by itself; this is the so-manieth attempt in a row to bring it back.
    Restarting {
        /// Counted from 1.
        attempt: u32,
    },
    /// It ended and stays so.
    Stopped,
}

/// How to spawn the server.
pub(super) struct Launch {
    pub(super) account: Account,
    pub(super) program: PathBuf,
    pub(super) pgdata: PathBuf,
    pub(super) log: PathBuf,
}

/// The handle of the supervising thread.
pub(super) struct Server {
    control: Arc<Control>,
    state: watch::Receiver<ClusterState>,
}

#[derive(Default)]
struct Control {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    /// Set once it has been seen working: from then on its death is mended, before that it is an error of the start.
    is_kept: bool,
    is_stopping: bool,
    /// Holds the process, so that a signal cannot hit another one that got its id.
    process: Option<OwnedFd>,
}

impl Server {
    /// Spawns the server. `lock` is the data directory's and given back when the server has ended for good.
    pub(super) fn spawn(launch: Launch, lock: Arc<File>) -> io::Result<Self> {
        let control = Arc::new(Control::default());
        let (sender, state) = watch::channel(ClusterState::Restarting { attempt: 0 });
        let theirs = Arc::clone(&control);
        std::thread::Builder::new().name("weir-postgres".to_owned()).spawn(move || {
            supervise(&launch, &theirs, &sender);
            drop(lock);
            sender.send_replace(ClusterState::Stopped);
        })?;
        Ok(Self { control, state })
    }

    pub(super) fn state(&self) -> watch::Receiver<ClusterState> {
        self.state.clone()
    }

    /// From now on the server is brought back when it dies.
    pub(super) fn keep(&self) {
        self.control.lock().is_kept = true;
    }

    /// Asks the server to end, and keeps it from coming back.
    pub(super) fn stop(&self, signal: Signal) {
        let mut inner = self.control.lock();
        inner.is_stopping = true;
        inner.send(signal);
        self.control.changed.notify_all();
    }
}

impl Control {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that holds the lock can leave it half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits before the next attempt; false when there shall be none.
    fn pause(&self, pause: Duration) -> bool {
        let inner = self.lock();
        let (inner, _) = self
            .changed
            .wait_timeout_while(inner, pause, |inner| !inner.is_stopping)
            .unwrap_or_else(PoisonError::into_inner);
        !inner.is_stopping
    }
}

impl Inner {
    fn send(&self, signal: Signal) {
        if let Some(process) = &self.process {
            // An error means that it has ended already.
            let _ = rustix::process::pidfd_send_signal(process, signal);
        }
    }
}

impl Launch {
    fn spawn(&self) -> io::Result<Child> {
        self.bound_log()?;
        let log = OpenOptions::new().create(true).append(true).mode(0o640).open(&self.log)?;
        // SIGINT is PostgreSQL's fast shutdown: it comes when Weir is killed.
        self.account
            .command(&self.program, Some(Signal::INT))
            .current_dir("/")
            .arg("-D")
            .arg(&self.pgdata)
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()
    }

    /// Moves a log that has grown too large aside. The server keeps the file open, so it is copied and emptied.
    fn bound_log(&self) -> io::Result<()> {
        match self.log.metadata() {
            Ok(metadata) if LOG_BYTES_MAX < metadata.len() => {
                std::fs::copy(&self.log, self.log.with_extension("log.1"))?;
                OpenOptions::new().write(true).open(&self.log)?.set_len(0)
            }
            _ => Ok(()),
        }
    }
}

fn supervise(launch: &Launch, control: &Control, state: &watch::Sender<ClusterState>) {
    let mut attempt = 0;
    loop {
        let since = Instant::now();
        let ended = run_once(launch, control, state);
        let (is_kept, is_stopping) = {
            let inner = control.lock();
            (inner.is_kept, inner.is_stopping)
        };
        if is_stopping || !is_kept {
            return;
        }
        attempt = if since.elapsed() < HEALTHY_AFTER { attempt + 1 } else { 1 };
        let pause = BACKOFF_MIN.saturating_mul(1 << attempt.min(16)).min(BACKOFF_MAX);
        match ended {
            Ok(status) => tracing::error!(%status, attempt, "PostgreSQL ended by itself; starting it again"),
            Err(error) => tracing::error!(%error, attempt, "PostgreSQL could not be started; trying again"),
        }
        state.send_replace(ClusterState::Restarting { attempt });
        if !control.pause(pause) {
            return;
        }
        // Processes that lost their server keep a new one from starting.
        if let Err(error) = orphans::clear(&launch.pgdata) {
            tracing::error!(%error, "cannot clear up after PostgreSQL");
        }
    }
}

/// Spawns the server and waits for its end.
fn run_once(
    launch: &Launch,
    control: &Control,
    state: &watch::Sender<ClusterState>,
) -> io::Result<ExitStatus> {
    let mut child = launch.spawn()?;
    let watched = Pid::from_child(&child);
    let held = rustix::process::pidfd_open(watched, PidfdFlags::empty());
    let (process, ours) = match held.and_then(|fd| Ok((rustix::io::fcntl_dupfd_cloexec(&fd, 0)?, fd))) {
        Ok(both) => both,
        Err(error) => {
            // Not to be supervised means not to run.
            child.kill()?;
            child.wait()?;
            return Err(error.into());
        }
    };
    {
        let mut inner = control.lock();
        inner.process = Some(process);
        if inner.is_stopping {
            inner.send(Signal::INT);
        }
    }
    state.send_replace(ClusterState::Running { pid: child.id() });
    loop {
        let mut fds = [PollFd::new(&ours, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&LOG_LOOK_INTERVAL)) {
            Ok(0) => {
                if let Err(error) = launch.bound_log() {
                    tracing::warn!(%error, log = %launch.log.display(), "cannot bound PostgreSQL's log");
                }
            }
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot watch PostgreSQL, only wait for it");
                break;
            }
        }
    }
    let status = child.wait();
    control.lock().process = None;
    status
}
