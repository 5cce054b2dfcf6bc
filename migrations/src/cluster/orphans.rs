//! Ends what an earlier run left behind in a data directory: a server whose parent was killed, or processes whose
//! server was. The caller holds the lock on the data directory. It does NOT touch any other process: each is known by
//! its working directory, which PostgreSQL sets to its data directory, checked again once it cannot be mistaken.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal};

use super::error::{ClusterError, io_error};
use super::layout::remove_if_there;

/// Where the server notes down its process id.
const NOTE: &str = "postmaster.pid";

/// A fast shutdown writes a checkpoint; on a slow disk that takes its time.
const FAST_SHUTDOWN_MAX: Duration = Duration::from_secs(30);

/// An immediate shutdown writes nothing; PostgreSQL itself kills what has not ended after 5 s.
const IMMEDIATE_SHUTDOWN_MAX: Duration = Duration::from_secs(10);

/// Processes that lost their server notice at their next wait.
const BEREAVED_MAX: Duration = Duration::from_secs(2);

/// Short against all of the above, long against the look through /proc.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Ends all PostgreSQL processes that work in `pgdata`, waits until they are gone, and removes the server's note of its
/// process id: after a power cut that id may be another process' of the same user, and PostgreSQL would not start.
pub(crate) fn clear(pgdata: &Path) -> Result<(), ClusterError> {
    end_all(pgdata)?;
    let note = pgdata.join(NOTE);
    remove_if_there(&note).map_err(io_error("remove", &note))
}

fn end_all(pgdata: &Path) -> Result<(), ClusterError> {
    let left = working_in(pgdata);
    if left.is_empty() {
        return Ok(());
    }
    let server = server_of(pgdata).filter(|pid| left.contains(pid));
    tracing::warn!(count = left.len(), server, "ending the PostgreSQL processes of an earlier run");
    if let Some(pid) = server {
        signal(pgdata, pid, Signal::INT);
        if wait_until_gone(pgdata, FAST_SHUTDOWN_MAX) {
            return Ok(());
        }
        signal(pgdata, pid, Signal::QUIT);
        if wait_until_gone(pgdata, IMMEDIATE_SHUTDOWN_MAX) {
            return Ok(());
        }
    } else if wait_until_gone(pgdata, BEREAVED_MAX) {
        return Ok(());
    }
    // The server is gone or deaf. Its processes must not outlive it beside a new one; killing them loses nothing
    // that was committed.
    for signal_now in [Signal::QUIT, Signal::KILL] {
        for pid in working_in(pgdata) {
            signal(pgdata, pid, signal_now);
        }
        if wait_until_gone(pgdata, BEREAVED_MAX) {
            return Ok(());
        }
    }
    working_in(pgdata).first().map_or(Ok(()), |pid| Err(ClusterError::Orphan { pid: *pid }))
}

fn wait_until_gone(pgdata: &Path, at_most: Duration) -> bool {
    let since = Instant::now();
    while !working_in(pgdata).is_empty() {
        if at_most <= since.elapsed() {
            return false;
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    true
}

/// The server's process as it noted it down; the note may be stale.
fn server_of(pgdata: &Path) -> Option<i32> {
    std::fs::read_to_string(pgdata.join(NOTE)).ok()?.lines().next()?.trim().parse().ok()
}

fn working_in(pgdata: &Path) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| is_ours(pgdata, *pid))
        .collect()
}

/// A zombie has no working directory, so one that has ended but was not waited for does not count.
fn is_ours(pgdata: &Path, pid: i32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == pgdata)
        && std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.trim_end() == "postgres")
}

/// Signals a process that is held by a file descriptor first, so that a reused id cannot be hit.
fn signal(pgdata: &Path, pid: i32, signal: Signal) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    let Ok(held) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    if is_ours(pgdata, pid.as_raw_nonzero().get()) {
        // It may have ended in between: the caller looks again.
        let _ = rustix::process::pidfd_send_signal(&held, signal);
    }
}
