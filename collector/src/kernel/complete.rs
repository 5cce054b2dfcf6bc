//! Completing a look: the kernel's figures for what the hypervisor was not asked, comparison where both have one, and the
//! last figures of runs that are not there any more.
//!
//! The source of a register is chosen when its run is first read, and kept: registers of one life never mix sources.

use std::collections::{HashMap, HashSet};

use metering::{InstanceId, Notice, NoticeKind};

use super::links::Links;
use super::path::{BY_HYPERVISOR, Disks, NicTrack, Path, Track, Unfound};
use super::process::Process;
use super::snapshot::Sourced;
use super::{Before, Completion, capability, compare, process};
use crate::clock::Moment;
use crate::observation::{End, Figures, Observation, ObservedInstance, ObservedNic, Run, Scope};

/// So long an instance may run by a process that cannot be found before an operator is told: libvirt writes the pid file
/// before the process is QEMU, shows the run for a moment after the file has gone, and takes seconds for either on a busy
/// machine. Its figures are libvirt's meanwhile.
const UNFOUND_AFTER: std::time::Duration = std::time::Duration::from_secs(30);

/// A process younger than the look may be the next run's already.
const START_PRECISION: std::time::Duration = std::time::Duration::from_millis(10);

impl Path {
    /// Whether everything that ends with the runs which this look does not show has been heard.
    pub(super) fn is_end_complete(&mut self, observation: &Observation) -> bool {
        self.catch_up();
        let (links, shown) = (self.links.as_ref(), shown(observation));
        self.runs.iter().all(|(id, track)| {
            let is_gone = |nic: &NicTrack| links.is_none_or(|links| !links.is_there(nic.index));
            let has_all_ended = || track.ended.is_some() && track.nics.values().all(is_gone);
            shown.get(id).is_some_and(|run| track.is_of(run)) || has_all_ended()
        })
    }

    pub(super) fn complete(
        &mut self,
        observation: &mut Observation,
        before: &Before,
        known_cpu_ns: &impl Fn(InstanceId, u32) -> Option<u64>,
    ) -> Completion {
        let mut completion = Completion::default();
        if self.is_away() {
            completion.notices = std::mem::take(&mut self.notices);
            steady_all(observation, known_cpu_ns);
            return completion;
        }
        self.sample_without_rest();
        self.catch_up();
        self.end_runs(observation);
        let at = observation.at;
        let running = shown(observation).into_keys().collect();
        self.forget_unfound(&running);
        for instance in &mut observation.instances {
            let is_partial = match &observation.scope {
                Scope::Everything => false,
                Scope::Blocks { wholly, .. } => !wholly.contains(&instance.instance_id),
            };
            if let Some(run) = &mut instance.run
                && self.is_adopted(instance.instance_id, &instance.name, run, at)
            {
                let instance_id = instance.instance_id;
                let (links, track) = (&mut self.links, self.runs.get_mut(&instance_id));
                let notices = &mut completion.notices;
                if let Some(track) = track {
                    run.is_silent |= track.process.is_stopped();
                    let mut fill =
                        Fill { instance_id, at, before, is_partial, links, ends: &mut self.ends, notices };
                    let is_whole = fill.run(track, run);
                    if is_partial && !is_whole {
                        completion.unknown.insert(instance_id);
                    }
                }
            } else if instance.run.is_some() && is_partial {
                completion.unknown.insert(instance.instance_id);
            }
        }
        self.forget_devices();
        completion.is_end_pending = self.runs.values().any(|track| track.ended.is_some());
        steady_all(observation, known_cpu_ns);
        observation.ends.extend(self.ends.iter().cloned());
        completion.notices.append(&mut self.notices);
        completion
    }

    /// What was handed over is durable.
    pub(super) fn committed(&mut self) {
        self.ends.clear();
    }

    /// Runs that the look does not show any more.
    fn end_runs(&mut self, observation: &Observation) {
        let shown = shown(observation);
        let over: Vec<InstanceId> = self
            .runs
            .iter()
            .filter(|(id, track)| !shown.get(id).is_some_and(|run| track.is_of(run)))
            .map(|(id, _)| *id)
            .collect();
        for instance_id in over {
            if let Some(track) = self.runs.remove(&instance_id) {
                let at = track.ended.map_or_else(|| self.moment(), |ended| ended.at);
                let cpu_ns = track.cpu_ns().filter(|_| !track.is_by_hypervisor);
                let mut nics = Vec::new();
                if let Some(links) = &mut self.links {
                    for (mac, nic) in track.nics.iter().filter(|(_, nic)| !nic.is_by_hypervisor) {
                        nics.extend(links.counters(nic.index, nic.is_tap).map(|last| (mac.clone(), last)));
                    }
                }
                // One word for each run: what was unplugged before and is not durable yet is in it.
                let run_id = track.run_id;
                let is_of_run = |end: &End| end.instance_id == instance_id && end.run_id == run_id;
                for earlier in self.ends.extract_if(.., |end| is_of_run(end)) {
                    let is_new = |(mac, _): &(String, _)| !nics.iter().any(|(known, _)| known == mac);
                    let more: Vec<_> = earlier.nics.into_iter().filter(is_new).collect();
                    nics.extend(more);
                }
                self.ends.push(End { instance_id, run_id, at, cpu_ns, nics, disks: Vec::new() });
            }
        }
    }

    /// Whether the run's process is known, after trying to find it.
    fn is_adopted(&mut self, instance_id: InstanceId, name: &str, run: &Run, at: Moment) -> bool {
        if self.runs.contains_key(&instance_id) {
            return true;
        }
        let Some(pid_dir) = &self.pid_dir else {
            return false;
        };
        let is_of_run = |process: Process| run.started.is_none_or(|start| start.ticks == process.start_ticks);
        match process::find(pid_dir, name, instance_id) {
            Ok(process) if !is_of_run(process) => {
                let why = format!("process {} began at another time than this run", process.pid);
                self.not_found(instance_id, name, run.run_id, at, &why);
                false
            }
            Ok(process) if process.started() + START_PRECISION < at.boot => {
                self.adopt(instance_id, run.run_id, process);
                if self.unfound.remove(&instance_id).is_some_and(|unfound| unfound.is_told) {
                    self.notices.push(unfound(instance_id, true, "its process is known".to_owned()));
                }
                true
            }
            Ok(_) => false,
            Err(why) => {
                self.not_found(instance_id, name, run.run_id, at, &why);
                false
            }
        }
    }

    /// Told once, when it has lasted: at a start and at an end it is the rule for a moment.
    fn not_found(&mut self, instance_id: InstanceId, name: &str, run_id: u32, at: Moment, why: &str) {
        let new = Unfound { run_id, since: at, is_told: false };
        let known = self.unfound.entry(instance_id).or_insert(new);
        if known.run_id != run_id && !known.is_told {
            *known = new;
        }
        if !known.is_told && UNFOUND_AFTER <= at.boot.saturating_sub(known.since.boot) {
            known.is_told = true;
            tracing::warn!(instance = name, why, "the kernel path does not know its process");
            let detail = format!("its process is not known, so libvirt's figures alone are used: {why}");
            self.notices.push(unfound(instance_id, false, detail));
        }
    }

    /// Nobody needs to know any more that the process of an instance is not known which has none.
    fn forget_unfound(&mut self, shown: &HashSet<InstanceId>) {
        let gone = self.unfound.extract_if(|instance_id, _| !shown.contains(instance_id));
        for (instance_id, _) in gone.filter(|(_, unfound)| unfound.is_told) {
            self.notices.push(unfound(instance_id, true, "it does not run any more".to_owned()));
        }
    }
}

fn unfound(instance_id: InstanceId, is_over: bool, detail: String) -> Notice {
    let device = Some(capability::CPU.to_owned());
    Notice { kind: NoticeKind::KernelPathAway, instance_id: Some(instance_id), device, is_over, detail }
}

/// Filling in the figures of one run.
struct Fill<'a> {
    instance_id: InstanceId,
    at: Moment,
    before: &'a Before,
    is_partial: bool,
    links: &'a mut Option<Links>,
    ends: &'a mut Vec<End>,
    notices: &'a mut Vec<Notice>,
}

impl Fill<'_> {
    /// False: something that was not asked for is not known here either.
    fn run(&mut self, track: &mut Track, run: &mut Run) -> bool {
        let is_busy = run.figures.is_none();
        if is_busy && track.vcpus.is_none() {
            return true;
        }
        let figures = run.figures.get_or_insert_with(Figures::default);
        if is_busy {
            // The hypervisor gave nothing at all: its devices are still those that were there.
            figures.nics = track.nics.iter().map(|(mac, nic)| not_read(mac, nic)).collect();
        }
        let is_monitor_silent = figures.vcpus.is_none() && figures.memory_kib.is_none();
        if figures.disks.is_empty() && (self.is_partial || is_monitor_silent) {
            figures.disks.clone_from(&track.seen_disks);
        } else if is_read(figures) {
            track.remember_disks(figures);
        }
        self.cpu(track, figures);
        let are_nics_whole = self.nics(track, figures);
        track.vcpus = figures.vcpus.or(track.vcpus);
        track.memory_kib = figures.memory_kib.or(track.memory_kib);
        (figures.vcpus, figures.memory_kib) = (track.vcpus, track.memory_kib);
        track.disks(figures, run.is_executing, self.at);
        let is_known = figures.vcpus.is_some() && figures.memory_kib.is_some();
        is_busy || (is_known && are_nics_whole && !track.is_by_hypervisor)
    }

    fn cpu(&mut self, track: &mut Track, figures: &mut Figures) {
        let Some(kernel) = track.cpu_ns() else {
            return;
        };
        let before = self.before.cpu_ns.get(&track.process).copied();
        if let Some(hypervisor) = figures.cpu_ns {
            let is_first = track.hypervisor_cpu.is_none();
            let difference = compare::cpu(before, hypervisor, kernel);
            let source = BY_HYPERVISOR.to_owned();
            track.hypervisor_cpu = Some(Sourced { value: hypervisor, at: self.at.wall, source });
            track.is_by_hypervisor |= is_first && difference.is_some();
            self.told(None, &mut track.difference, difference, is_first);
        }
        if !track.is_by_hypervisor {
            figures.cpu_ns = Some(before.unwrap_or(kernel));
        }
    }

    /// False: a NIC's counters were not asked for and are not known here either.
    fn nics(&mut self, track: &mut Track, figures: &mut Figures) -> bool {
        let Some(links) = self.links.as_mut() else {
            return false;
        };
        let mut unplugged: Vec<String> = track.nics.keys().cloned().collect();
        let mut is_whole = true;
        let mut told = Vec::new();
        let mut last = Vec::new();
        for nic in &mut figures.nics {
            let (Some(mac), Some(device)) = (&nic.mac, &nic.host_device) else {
                continue;
            };
            unplugged.retain(|known| known != mac);
            if track.nics.get(mac).is_some_and(|known| known.device != *device) {
                // Replugged: another device, whose predecessor has its last counters.
                last.extend(track.nics.remove(mac).map(|gone| (mac.clone(), gone)));
            }
            if !track.nics.contains_key(mac)
                && track.ended.is_none()
                && let Some(index) = links.index_of(device)
            {
                let is_tap = links.is_tap(index);
                track.nics.insert(mac.clone(), NicTrack::new(device, index, is_tap));
            }
            let Some(known) = track.nics.get_mut(mac) else {
                is_whole &= nic.registers.is_some();
                continue;
            };
            let Some(kernel) = links.counters(known.index, known.is_tap) else {
                is_whole &= nic.registers.is_some();
                continue;
            };
            let before = self.before.nics.get(&known.index).copied();
            if let Some(hypervisor) = nic.registers {
                let is_first = known.hypervisor.is_none();
                let difference = compare::nic(before, hypervisor, kernel);
                let source = BY_HYPERVISOR.to_owned();
                known.hypervisor = Some(Sourced { value: hypervisor, at: self.at.wall, source });
                known.is_by_hypervisor |= is_first && difference.is_some();
                told.push((mac.clone(), std::mem::take(&mut known.difference), difference.clone(), is_first));
                known.difference = difference;
            }
            if known.is_by_hypervisor {
                is_whole &= nic.registers.is_some();
            } else {
                nic.registers = Some(before.unwrap_or(kernel));
            }
        }
        if !self.is_partial || !figures.nics.is_empty() {
            for mac in unplugged {
                last.extend(track.nics.remove(&mac).map(|gone| (mac, gone)));
            }
        }
        self.unplug(track.run_id, last);
        for (mac, mut was, is, is_first) in told {
            self.told(Some(&mac), &mut was, is, is_first);
        }
        is_whole
    }

    /// NICs that were unplugged while their run goes on: their last counters are told like those of a run that ended.
    fn unplug(&mut self, run_id: u32, gone: Vec<(String, NicTrack)>) {
        let Some(links) = self.links.as_mut() else {
            return;
        };
        let mut nics = Vec::new();
        for (mac, nic) in gone.into_iter().filter(|(_, nic)| !nic.is_by_hypervisor) {
            nics.extend(links.last_counters(nic.index, nic.is_tap).map(|last| (mac, last)));
        }
        if !nics.is_empty() {
            let (instance_id, at) = (self.instance_id, self.at);
            self.ends.push(End { instance_id, run_id, at, cpu_ns: None, nics, disks: Vec::new() });
        }
    }

    /// A difference is told once, and its end once; the first comparison of a run also ends what an earlier collector
    /// told.
    fn told(&mut self, device: Option<&str>, was: &mut Option<String>, is: Option<String>, is_first: bool) {
        let is_news = was.is_some() != is.is_some() || (is_first && is.is_none());
        if is_news {
            let detail = is.clone().unwrap_or_else(|| "both paths tell the same".to_owned());
            if is.is_some() {
                tracing::warn!(instance = %self.instance_id, detail, "the two paths differ");
            }
            self.notices.push(Notice {
                kind: NoticeKind::PathsDiffer,
                instance_id: Some(self.instance_id),
                device: device.map(str::to_owned),
                is_over: is.is_none(),
                detail,
            });
        }
        *was = is;
    }
}

impl NicTrack {
    fn new(device: &str, index: u32, is_tap: bool) -> Self {
        let device = device.to_owned();
        Self { device, index, is_tap, is_by_hypervisor: false, hypervisor: None, difference: None }
    }
}

fn not_read(mac: &str, nic: &NicTrack) -> ObservedNic {
    ObservedNic { mac: Some(mac.to_owned()), host_device: Some(nic.device.clone()), registers: None }
}

fn is_read(figures: &Figures) -> bool {
    figures.disks.iter().any(|disk| disk.registers.is_some())
}

impl Track {
    /// Whether a look shows this run. A restarted libvirtd numbers runs from 1 again, so the start of the process decides
    /// where it is known.
    fn is_of(&self, run: &Run) -> bool {
        let is_same_start = run.started.is_none_or(|start| start.ticks == self.process.start_ticks);
        run.run_id == self.run_id && is_same_start
    }

    /// Which disks there are, for looks in which the hypervisor does not say.
    fn remember_disks(&mut self, figures: &Figures) {
        self.seen_disks.clone_from(&figures.disks);
        for disk in &mut self.seen_disks {
            disk.registers = None;
        }
    }

    /// Disks that were not asked have the counters that they had: a paused guest whose process has used no CPU time
    /// since then did nothing. What was asked now is remembered for that.
    fn disks(&mut self, figures: &mut Figures, is_executing: Option<bool>, at: Moment) {
        if is_read(figures) {
            let (disks, read_at) = (figures.disks.clone(), at.wall);
            self.disks = (is_executing == Some(false)).then_some(Disks { disks, read_at, rest_ns: None });
        } else if let Some(known) = &self.disks
            && known.rest_ns.is_some()
            && known.rest_ns == self.process.clock_ns()
        {
            figures.disks.clone_from(&known.disks);
        }
    }
}

/// No register falls because its source has changed since the collector's last start.
fn steady_all(observation: &mut Observation, known: &impl Fn(InstanceId, u32) -> Option<u64>) {
    for ObservedInstance { instance_id, run, .. } in &mut observation.instances {
        if let Some(run) = run
            && let Some(figures) = &mut run.figures
            && let Some(cpu_ns) = figures.cpu_ns
        {
            figures.cpu_ns = Some(compare::steady(cpu_ns, known(*instance_id, run.run_id)));
        }
    }
}

fn shown(observation: &Observation) -> HashMap<InstanceId, &Run> {
    let runs = observation.instances.iter();
    runs.filter_map(|instance| Some((instance.instance_id, instance.run.as_ref()?))).collect()
}
