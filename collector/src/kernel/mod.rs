//! The kernel path: the figures of guests that the node's own kernel has, without asking libvirt or any guest.
//!
//! A thread samples all runs in time, hears devices and threads go away, and says when a run has ended. It adopts the
//! runs that a look of the hypervisor shows, and completes that look. What it cannot do here it reports, with the reason.

mod capability;
mod compare;
mod complete;
mod ledger;
mod links;
pub(crate) mod netlink;
mod path;
mod process;
mod snapshot;
mod taskstats;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use metering::{InstanceId, NicRegisters, Notice};
use rustix::event::epoll;
use rustix::event::{EventfdFlags, Timespec};

use self::path::Path;
pub use self::snapshot::{Capability, InstanceSnapshot, Missing, Snapshot, Sourced, TwoPaths};
use crate::clock::Clock;
use crate::observation::Observation;

/// The kernel path of one libvirt, and its thread.
pub struct Kernel {
    path: Arc<Mutex<Path>>,
    stop: Option<Arc<OwnedFd>>,
    thread: Option<JoinHandle<()>>,
}

/// Gives snapshots, also after the collector has ended.
#[derive(Clone)]
pub struct View(Arc<Mutex<Path>>);

/// The kernel's figures just before the hypervisor is asked.
#[derive(Debug, Default)]
pub struct Before {
    /// By process, not by instance: a restarted one begins at zero again.
    cpu_ns: HashMap<process::Process, u64>,
    nics: HashMap<u32, NicRegisters>,
}

/// What came of completing a look.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Instances of which not all figures are known: the look has to ask for everything about them.
    pub unknown: HashSet<InstanceId>,
    /// A run has ended that the hypervisor still shows.
    pub is_end_pending: bool,
    /// What an operator should know.
    pub notices: Vec<Notice>,
}

/// Whom to ask for what.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// Paused when their disks' counters were last given, and their process has used no CPU time since: they need not
    /// be asked.
    pub at_rest: HashSet<InstanceId>,
    /// Their process is stopped by a signal: they would never answer.
    pub stopped: HashSet<InstanceId>,
    /// Some of their registers are the hypervisor's.
    pub wholly: HashSet<InstanceId>,
    /// All that are known.
    pub all: HashSet<InstanceId>,
}

/// The number of the eventfd among what is waited for; processes have theirs.
const TOKEN_STOP: u64 = u64::MAX;
const TOKEN_LINKS: u64 = u64::MAX - 1;
const TOKEN_EXITS: u64 = u64::MAX - 2;

/// After the end of a run its devices go away within milliseconds. A look waits for them no longer than this.
const END_WAIT: Duration = Duration::from_millis(1_500);
const END_POLL: Duration = Duration::from_millis(5);

impl Kernel {
    /// Starts the path for the libvirt at `uri`. `tell` is called when a run has ended. What cannot be had here is in
    /// the capability report; this never fails.
    pub fn start(
        uri: &str,
        clock: Arc<dyn Clock>,
        sample_interval: Duration,
        tell: impl Fn() + Send + 'static,
    ) -> Self {
        let path = Arc::new(Mutex::new(Path::open(uri, clock)));
        let is_away = lock(&path).is_away();
        let none = Self { path: Arc::clone(&path), stop: None, thread: None };
        if is_away {
            return none;
        }
        let Ok(stop) = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK) else {
            lock(&path).give_up("no descriptor to wake its thread by");
            return none;
        };
        let stop = Arc::new(stop);
        let (of_thread, stopped) = (Arc::clone(&path), Arc::clone(&stop));
        let spawned = std::thread::Builder::new()
            .name("weir-kernel".to_owned())
            .spawn(move || run(&of_thread, &stopped, sample_interval, &tell));
        match spawned {
            Ok(thread) => Self { path, stop: Some(stop), thread: Some(thread) },
            Err(error) => {
                lock(&path).give_up(&format!("no thread: {error}"));
                none
            }
        }
    }

    /// The path without its thread: it samples when it is told to. For measurements.
    pub(crate) fn by_hand(uri: &str, clock: Arc<dyn Clock>) -> Self {
        Self { path: Arc::new(Mutex::new(Path::open(uri, clock))), stop: None, thread: None }
    }

    /// A path that is not there, for looks at something else than a libvirt of this machine.
    #[cfg(test)]
    pub fn none() -> Self {
        Self::by_hand("test:///default", Arc::new(crate::clock::SystemClock))
    }

    /// Samples all runs.
    pub(crate) fn sample(&self) {
        lock(&self.path).sample();
    }

    /// What is and is not available here, as notices: sent when the collector starts.
    pub fn notices(&self) -> Vec<Notice> {
        lock(&self.path).notices()
    }

    /// For inspection.
    pub fn view(&self) -> View {
        View(Arc::clone(&self.path))
    }

    /// Whether there is no kernel path here, so that the hypervisor must give all figures each time.
    pub fn is_away(&self) -> bool {
        lock(&self.path).is_away()
    }

    /// Whom to ask for what in a look.
    pub fn asks(&self) -> Asks {
        lock(&self.path).asks()
    }

    /// Samples; to be called just before the hypervisor is asked.
    pub fn begin_look(&self) -> Before {
        lock(&self.path).begin_look()
    }

    /// Samples again, adopts new runs, and puts the kernel's figures, those that did not need asking, and the runs that
    /// ended into the observation. `known_cpu_ns`: the CPU time at which a run's register stands.
    pub fn complete(
        &self,
        observation: &mut Observation,
        before: &Before,
        known_cpu_ns: impl Fn(InstanceId, u32) -> Option<u64>,
    ) -> Completion {
        let deadline = std::time::Instant::now() + END_WAIT;
        loop {
            let mut path = lock(&self.path);
            if path.is_end_complete(observation) || deadline <= std::time::Instant::now() {
                return path.complete(observation, before, &known_cpu_ns);
            }
            drop(path);
            std::thread::sleep(END_POLL);
        }
    }

    /// The observation that was completed is durable: its ends need not be told again.
    pub fn committed(&self) {
        lock(&self.path).committed();
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            // An eventfd takes eight bytes at any time.
            let _ = rustix::io::write(stop, &1_u64.to_ne_bytes());
        }
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl View {
    /// What the path holds now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        lock(&self.0).snapshot()
    }
}

/// A process by its number alone, for measurements.
pub(crate) fn process(pid: u32) -> process::Process {
    process::Process { pid, start_ticks: 0 }
}

fn lock(path: &Mutex<Path>) -> MutexGuard<'_, Path> {
    path.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread: waits for the next sample, for devices and threads that go away, and for the end.
fn run(path: &Mutex<Path>, stop: &OwnedFd, interval: Duration, tell: &impl Fn()) {
    let poll = lock(path).poll();
    if epoll::add(&*poll, stop, epoll::EventData::new_u64(TOKEN_STOP), epoll::EventFlags::IN).is_err() {
        lock(path).give_up("its thread cannot be woken");
        return;
    }
    let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
    loop {
        events.clear();
        let wait = until_next(lock(path).now(), interval);
        let timeout = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let waited = epoll::wait(&*poll, rustix::buffer::spare_capacity(&mut events), Some(&timeout));
        if waited.is_err_and(|error| error != rustix::io::Errno::INTR) {
            lock(path).give_up("waiting for the kernel failed");
            return;
        }
        if events.iter().any(|event| event.data.u64() == TOKEN_STOP) {
            return;
        }
        let has_ended = {
            let mut path = lock(path);
            path.catch_up();
            if events.is_empty() {
                path.sample();
            }
            path.take_news()
        };
        if has_ended {
            tell();
        }
    }
}

/// The time until the next multiple of `interval` of the wall clock, which is in microseconds.
fn until_next(now: jiff::Timestamp, interval: Duration) -> Duration {
    let interval_us = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
    let left = interval_us - now.as_microsecond().rem_euclid(interval_us);
    Duration::from_micros(u64::try_from(left).unwrap_or(1))
}
