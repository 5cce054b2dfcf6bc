//! The state of the kernel path: which runs it knows, what it sampled of them, which have ended.
//!
//! Everything here happens under one lock, by the path's thread and by looks. Looks are completed in `complete`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use metering::{InstanceId, NicRegisters, Notice};
use rustix::event::epoll;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::capability::{self, CPU, EXITS, NICS, capability};
use super::ledger::{Final, Ledger};
use super::links::Links;
use super::netlink::Received;
use super::process::{self, Cgroup, Process};
use super::snapshot::{Capability, InstanceSnapshot, Snapshot, Sourced, TwoPaths};
use super::taskstats::{ExitRecord, ExitRecords};
use super::{Asks, Before, TOKEN_EXITS, TOKEN_LINKS};
use crate::clock::{Clock, Moment};
use crate::observation::{End, ObservedDisk};

/// A process that has been asked comes to rest within milliseconds after its answer.
const REST: SignedDuration = SignedDuration::from_millis(500);
const REST_KNOWN: SignedDuration = SignedDuration::from_secs(3);

/// The hypervisor's figures come from here.
pub(super) const BY_HYPERVISOR: &str = "virConnectGetAllDomainStats";

/// All of it.
pub struct Path {
    clock: Arc<dyn Clock>,
    pub(super) pid_dir: Option<PathBuf>,
    pub(super) links: Option<Links>,
    exits: Option<ExitRecords>,
    poll: Arc<OwnedFd>,
    capabilities: Vec<Capability>,
    pub(super) runs: HashMap<InstanceId, Track>,
    /// Runs that have ended and were not handed over durably yet.
    pub(super) ends: Vec<End>,
    pub(super) notices: Vec<Notice>,
    /// Instances that run by a process which cannot be found.
    pub(super) unfound: HashMap<InstanceId, Unfound>,
    has_news: bool,
    sampled_at: Option<Timestamp>,
    samples: u64,
    overruns: u64,
}

/// A run whose process cannot be found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfound {
    pub run_id: u32,
    pub since: Moment,
    pub is_told: bool,
}

/// One run.
pub(super) struct Track {
    pub run_id: u32,
    pub process: Process,
    pub pidfd: Option<OwnedFd>,
    pub cgroup: Option<Cgroup>,
    /// The two paths differed when the run was first read: its register stays the hypervisor's.
    pub is_by_hypervisor: bool,
    pub ledger: Ledger,
    pub sample: Option<Sample>,
    pub ended: Option<Ended>,
    pub nics: BTreeMap<String, NicTrack>,
    pub hypervisor_cpu: Option<Sourced<u64>>,
    pub difference: Option<String>,
    pub vcpus: Option<u32>,
    pub memory_kib: Option<u64>,
    /// Which disks there are, without counters.
    pub seen_disks: Vec<ObservedDisk>,
    pub disks: Option<Disks>,
}

/// A run's CPU time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub at: Timestamp,
    /// By the process' clock.
    pub clock_ns: u64,
    /// By the source of its register.
    pub figure_ns: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub at: Moment,
    pub cpu_ns: u64,
    pub is_exact: bool,
}

/// A NIC of a run.
#[derive(Clone, Debug)]
pub(super) struct NicTrack {
    pub device: String,
    pub index: u32,
    pub is_tap: bool,
    pub is_by_hypervisor: bool,
    pub hypervisor: Option<Sourced<NicRegisters>>,
    pub difference: Option<String>,
}

/// The disks of a run that was paused when they were read.
#[derive(Clone, Debug)]
pub(super) struct Disks {
    pub disks: Vec<ObservedDisk>,
    pub read_at: Timestamp,
    /// The process' clock when it had come to rest after that look.
    pub rest_ns: Option<u64>,
}

impl Path {
    /// Tries what can be had here.
    pub fn open(uri: &str, clock: Arc<dyn Clock>) -> Self {
        let pid_dir = process::pid_dir(uri);
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC);
        let away = match (&pid_dir, &poll) {
            (None, _) => Some(format!("{uri} is no libvirt of this machine, or one without processes")),
            (_, Err(error)) => Some(format!("no epoll: {error}")),
            (Some(dir), _) => std::fs::read_dir(dir).err().map(|error| format!("{}: {error}", dir.display())),
        };
        let (mut links, mut exits) = (None, None);
        let mut capabilities = vec![capability(CPU, away.clone())];
        if away.is_none() {
            let (opened, why) = parted(Links::open());
            links = opened;
            capabilities.push(capability(NICS, why));
            let (opened, why) = parted(ExitRecords::open());
            exits = opened;
            capabilities.push(capability(EXITS, why));
        } else {
            capabilities.push(capability(NICS, away.clone()));
            capabilities.push(capability(EXITS, away.clone()));
        }
        for missing in &capabilities {
            if let Some(why) = &missing.missing {
                tracing::warn!(
                    what = missing.name,
                    why = why.why,
                    lost = why.lost,
                    remedy = why.remedy,
                    "a part of the kernel path is not available"
                );
            }
        }
        let poll = Arc::new(poll.unwrap_or_else(|_| fallback()));
        let add = |socket, token| {
            epoll::add(&*poll, socket, epoll::EventData::new_u64(token), epoll::EventFlags::IN)
        };
        let added = links.as_ref().map(|links| add(links.changes(), TOKEN_LINKS));
        let heard = exits.as_ref().map(|exits| add(exits.socket(), TOKEN_EXITS));
        for error in [added, heard].into_iter().flatten().filter_map(Result::err) {
            tracing::warn!(%error, "an end is noticed at the next sample only");
        }
        Self {
            clock,
            pid_dir: pid_dir.filter(|_| away.is_none()),
            links,
            exits,
            poll,
            capabilities,
            runs: HashMap::new(),
            ends: Vec::new(),
            notices: Vec::new(),
            unfound: HashMap::new(),
            has_news: false,
            sampled_at: None,
            samples: 0,
            overruns: 0,
        }
    }

    pub fn is_away(&self) -> bool {
        self.pid_dir.is_none()
    }

    /// From now on there is no kernel path.
    pub fn give_up(&mut self, why: &str) {
        tracing::error!(why, "the kernel path has ended; libvirt's figures alone are used");
        self.pid_dir = None;
        self.runs.clear();
        self.capabilities = [CPU, NICS, EXITS].map(|name| capability(name, Some(why.to_owned()))).to_vec();
        self.notices.extend(capability::notices(&self.capabilities));
    }

    pub fn notices(&self) -> Vec<Notice> {
        capability::notices(&self.capabilities)
    }

    pub fn poll(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.poll)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    pub(super) fn moment(&self) -> Moment {
        self.clock.now()
    }

    /// Whether a run has ended since this was last asked.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    pub fn asks(&mut self) -> Asks {
        let now = self.clock.now().wall;
        let unfound: HashSet<InstanceId> = self.unfound.keys().copied().collect();
        let mut asks = Asks { wholly: unfound.clone(), all: unfound, ..Asks::default() };
        for (instance_id, track) in &mut self.runs {
            asks.all.insert(*instance_id);
            let clock_ns = track.process.clock_ns();
            if let (Some(disks), Some(clock_ns)) = (&mut track.disks, clock_ns) {
                disks.rest(clock_ns, now);
                if disks.rest_ns == Some(clock_ns) {
                    asks.at_rest.insert(*instance_id);
                    continue;
                }
            }
            if track.process.is_stopped() {
                asks.stopped.insert(*instance_id);
            }
            let is_by_hypervisor =
                track.is_by_hypervisor || track.nics.values().any(|nic| nic.is_by_hypervisor);
            if is_by_hypervisor || track.vcpus.is_none() || self.links.is_none() {
                asks.wholly.insert(*instance_id);
            }
        }
        asks
    }

    /// Takes in what the kernel has told, without waiting.
    pub fn catch_up(&mut self) {
        if let Some(links) = &mut self.links {
            match links.catch_up() {
                Ok(false) => {}
                Ok(true) => tracing::warn!("changes of network devices were lost; they were listed anew"),
                Err(error) => tracing::warn!(%error, "changes of network devices cannot be read"),
            }
        }
        self.forget_devices();
        self.drain_exits();
        self.notice_ends();
    }

    /// Forgets devices that went away and are of no run that is known.
    pub(super) fn forget_devices(&mut self) {
        let Self { links, runs, .. } = self;
        if let Some(links) = links {
            let nics = || runs.values().flat_map(|track| track.nics.values());
            links.forget_departed_but(|index| nics().any(|nic| nic.index == index));
        }
    }

    /// Reads clocks and counters of all runs.
    pub fn sample(&mut self) {
        let now = self.sample_without_rest();
        for track in self.runs.values_mut().filter(|track| track.ended.is_none()) {
            if let (Some(disks), Some(sample)) = (&mut track.disks, track.sample) {
                disks.rest(sample.clock_ns, now);
            }
        }
        if self.exits.is_some() {
            self.settle();
        }
        self.notice_ends();
        self.samples += 1;
    }

    pub fn begin_look(&mut self) -> Before {
        self.catch_up();
        self.sample_without_rest();
        let cpu = self.runs.values().filter_map(|track| Some((track.process, track.sample?.figure_ns)));
        let mut before = Before { cpu_ns: cpu.collect(), nics: HashMap::new() };
        if let Some(links) = &self.links {
            for nic in self.runs.values().flat_map(|track| track.nics.values()) {
                if let Some(counters) = links.counters(nic.index, nic.is_tap) {
                    before.nics.insert(nic.index, counters);
                }
            }
        }
        before
    }

    /// As `sample`, for looks: a process has not come to rest yet when the hypervisor has just asked it. Gives when.
    pub(super) fn sample_without_rest(&mut self) -> Timestamp {
        let now = self.clock.now().wall;
        if let Some(links) = &mut self.links
            && let Err(error) = links.sample()
        {
            tracing::warn!(%error, "the counters of network devices cannot be read");
        }
        for track in self.runs.values_mut().filter(|track| track.ended.is_none()) {
            track.sample(now);
        }
        self.sampled_at = Some(now);
        now
    }

    /// A run is known from now on. Its end is noticed by its descriptor where exit records are not to be had.
    pub(super) fn adopt(&mut self, instance_id: InstanceId, run_id: u32, process: Process) {
        let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
        let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        if let Some(pidfd) = &pidfd {
            let token = epoll::EventData::new_u64(u64::from(process.pid));
            if let Err(error) = epoll::add(&*self.poll, pidfd, token, epoll::EventFlags::IN) {
                tracing::debug!(%error, pid = process.pid, "its end is noticed at the next sample only");
            }
        }
        let mut track = Track {
            run_id,
            process,
            pidfd,
            cgroup: process.cgroup(),
            is_by_hypervisor: false,
            ledger: Ledger::default(),
            sample: None,
            ended: None,
            nics: BTreeMap::new(),
            hypervisor_cpu: None,
            difference: None,
            vcpus: None,
            memory_kib: None,
            seen_disks: Vec::new(),
            disks: None,
        };
        track.sample(self.clock.now().wall);
        self.runs.insert(instance_id, track);
        if self.exits.is_some() {
            self.settle();
        }
    }

    /// Opens the accounts anew in which something has happened. Records that come in meanwhile are of threads that the
    /// account may have seen living or not, so it is done again then.
    fn settle(&mut self) {
        for round in 0..3 {
            self.drain_exits();
            let mut is_any_open = false;
            for track in self.runs.values_mut() {
                // One that did not stand still a moment ago does not now: the next sample tries again.
                let is_tried = 0 < round && track.ledger.is_open();
                if track.ended.is_some()
                    || track.ledger.is_settled()
                    || (is_tried && !track.ledger.has_heard())
                {
                    continue;
                }
                is_any_open = true;
                if let Some(opening) = track.process.clock_and_threads() {
                    track.ledger.open(opening);
                }
            }
            if !is_any_open {
                return;
            }
        }
    }

    fn drain_exits(&mut self) {
        let Some(exits) = &mut self.exits else {
            return;
        };
        let mut records: Vec<ExitRecord> = Vec::new();
        let mut is_overrun = false;
        loop {
            match exits.receive(|record| records.push(record)) {
                Ok(Received::Some) => {}
                Ok(Received::Overrun) => is_overrun = true,
                Ok(Received::Nothing) => break,
                Err(error) => {
                    tracing::warn!(%error, "exit records cannot be read");
                    break;
                }
            }
        }
        let now = self.clock.now();
        for record in records {
            let Some(track) = self.runs.values_mut().find(|track| track.process.pid == record.pid) else {
                continue;
            };
            if track.ended.is_none() {
                track.ledger.record(record.thread, record.cpu_ns);
                if record.is_last && track.pidfd.is_none() {
                    track.end(now);
                    self.has_news = true;
                }
            }
        }
        if is_overrun {
            self.overruns += 1;
            tracing::warn!(
                "exit records of the kernel were lost: more threads ended at once than its buffer holds"
            );
            for track in self.runs.values_mut().filter(|track| track.ended.is_none()) {
                track.ledger.close();
            }
        }
    }

    /// Runs whose process has ended. The records of all its threads were sent before its descriptor says so, though not
    /// in any order.
    fn notice_ends(&mut self) {
        let ended: Vec<InstanceId> = self
            .runs
            .iter()
            .filter(|(_, track)| track.ended.is_none() && track.is_over())
            .map(|(id, _)| *id)
            .collect();
        if ended.is_empty() {
            return;
        }
        self.drain_exits();
        let now = self.clock.now();
        for instance_id in ended {
            if let Some(track) = self.runs.get_mut(&instance_id).filter(|track| track.ended.is_none()) {
                track.end(now);
                self.has_news = true;
            }
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let instances = self.runs.iter().map(|(id, track)| track.snapshot(*id, self.links.as_ref()));
        let mut instances: Vec<InstanceSnapshot> = instances.collect();
        instances.sort_by_key(|instance| instance.instance_id);
        Snapshot {
            sampled_at: self.sampled_at,
            samples: self.samples,
            overruns: self.overruns,
            capabilities: self.capabilities.clone(),
            instances,
        }
    }
}

impl Disks {
    /// The process' clock is read: the first time after its answer it is where the process has come to rest. When
    /// nobody has read it for long, that is not known any more.
    fn rest(&mut self, clock_ns: u64, now: Timestamp) {
        let since = now.duration_since(self.read_at);
        if self.rest_ns.is_none() && REST <= since && since <= REST_KNOWN {
            self.rest_ns = Some(clock_ns);
        }
    }
}

impl Track {
    fn sample(&mut self, at: Timestamp) {
        let Some(clock_ns) = self.process.clock_ns() else {
            return;
        };
        self.ledger.clock(clock_ns);
        let figure_ns = match &self.cgroup {
            None => Some(clock_ns),
            Some(cgroup) => cgroup.ns(),
        };
        if let Some(figure_ns) = figure_ns {
            self.sample = Some(Sample { at, clock_ns, figure_ns });
        }
    }

    fn is_over(&self) -> bool {
        match &self.pidfd {
            Some(pidfd) => is_readable(pidfd),
            None => process::of_pid(self.process.pid) != Some(self.process),
        }
    }

    /// The process is gone. What it used after the last sample counts on, whatever the register's source is.
    fn end(&mut self, at: Moment) {
        let total = self.ledger.total();
        let since = self.sample.map_or(0, |sample| total.ns().saturating_sub(sample.clock_ns));
        let cpu_ns = self.sample.map_or(total.ns(), |sample| sample.figure_ns.saturating_add(since));
        self.ended = Some(Ended { at, cpu_ns, is_exact: matches!(total, Final::Exact(_)) });
        // It would stay readable.
        self.pidfd = None;
    }

    /// The figure of its register at present.
    pub fn cpu_ns(&self) -> Option<u64> {
        self.ended.map(|ended| ended.cpu_ns).or(self.sample.map(|sample| sample.figure_ns))
    }

    fn snapshot(&self, instance_id: InstanceId, links: Option<&Links>) -> InstanceSnapshot {
        let source = match (&self.cgroup, &self.ended) {
            (_, Some(ended)) if ended.is_exact => format!("exit records of process {}", self.process.pid),
            (Some(cgroup), _) => cgroup.path().display().to_string(),
            (None, _) => format!("CPU clock of process {}", self.process.pid),
        };
        let kernel = self.sample.zip(self.cpu_ns());
        let cpu_ns = TwoPaths {
            kernel: kernel.map(|(sample, value)| Sourced { value, at: sample.at, source }),
            hypervisor: self.hypervisor_cpu.clone(),
            difference: self.difference.clone(),
        };
        let nic = |nic: &NicTrack| {
            let value = links.and_then(|links| links.counters(nic.index, nic.is_tap));
            let source = format!("RTM_GETSTATS of {} (device {})", nic.device, nic.index);
            TwoPaths {
                kernel: value.zip(self.sample).map(|(value, sample)| Sourced {
                    value,
                    at: sample.at,
                    source,
                }),
                hypervisor: nic.hypervisor.clone(),
                difference: nic.difference.clone(),
            }
        };
        InstanceSnapshot {
            instance_id,
            run_id: self.run_id,
            pid: Some(self.process.pid),
            cpu_ns,
            nics: self.nics.iter().map(|(mac, track)| (mac.clone(), nic(track))).collect(),
        }
    }
}

fn parted<T, E: std::error::Error>(result: Result<T, E>) -> (Option<T>, Option<String>) {
    match result {
        Ok(opened) => (Some(opened), None),
        Err(error) => (None, capability::reason(&error)),
    }
}

fn is_readable(fd: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready != 0)
}

/// Stands for an epoll that could not be made, on a path that is away and never waits.
fn fallback() -> OwnedFd {
    rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)
        .or_else(|_| rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()))
        .expect("a process that can open no file at all has ended before this")
}
