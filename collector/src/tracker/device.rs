//! Disks and NICs of a run: which attachment it is, and its counters as they are.
//!
//! A device is known by its target or MAC, never by position or by the name of the host's device. What tells
//! two attachments of the same device apart: that it was away at a look, the hypervisor's own mark of the
//! attachment, or another source.

use std::collections::{BTreeMap, BTreeSet};

use metering::{DiskReading, DiskRegisters, Gap, GapReason, InstanceId, NicReading, NicRegisters, Window};

use super::run::Look;
use super::state::{DeviceTrack, Mark, RunTrack, State};
use super::{EpochCounter, Outcome, impossible, instance_gap, span};
use crate::observation::{End, Figures, ObservedDisk, ObservedNic};

const DISK_REGISTERS: [&str; 5] = ["read_bytes", "write_bytes", "read_ops", "write_ops", "flush_ops"];
const NIC_REGISTERS: [&str; 4] = ["rx_bytes", "tx_bytes", "rx_packets", "tx_packets"];

/// All devices of a run whose figures could be read. `plugged`: when devices were heard to change for the first time since
/// `last_read`.
pub(super) fn observe_all(
    state: &mut State,
    look: Look<'_>,
    last_read: Option<Mark>,
    plugged: Option<Mark>,
    run: &mut RunTrack,
    figures: &Figures,
    outcome: &mut Outcome,
) {
    let mut survey = Survey::new(state, look, last_read, run, outcome);
    if let Some(at) = plugged.filter(|_| run.is_surveyed) {
        survey.born_at = Some(at.wall.min(look.now.wall));
    }
    let disks = if look.is_idle() {
        survey.repeat_disks(&run.disks);
        std::mem::take(&mut run.disks)
    } else {
        survey.disks(std::mem::take(&mut run.disks), &figures.disks)
    };
    let nics = survey.nics(std::mem::take(&mut run.nics), &figures.nics);
    let not_counted = survey.report_not_counted(&run.not_counted);
    run.disks = disks;
    run.nics = nics;
    run.not_counted = not_counted;
    run.is_surveyed = true;
}

/// The run has ended: the final counters of NICs whose end the kernel told, and of disks that were asked after its last pause.
/// Gives the devices of which nothing is known since their last reading.
pub(super) fn end_all(
    state: &mut State,
    look: Look<'_>,
    last_read: Option<Mark>,
    run: &mut RunTrack,
    end: Option<&End>,
    outcome: &mut Outcome,
) -> Vec<String> {
    let (nics, disks) = end.map(|end| (end.nics.as_slice(), end.disks.as_slice())).unwrap_or_default();
    let mut survey = Survey::new(state, look, last_read, run, outcome);
    let mut before = std::mem::take(&mut run.nics);
    for (mac, registers) in nics {
        let mut track = before.remove(mac).unwrap_or_else(|| survey.attach(b"nic", mac, ""));
        survey.read_nic(&mut track, mac, *registers);
    }
    let mut disks_before = std::mem::take(&mut run.disks);
    for (disk, registers) in disks.iter().filter_map(|disk| Some((disk, disk.registers?))) {
        let known = disks_before.remove(&disk.target).filter(|track| continues(track, disk));
        let mut track = known.unwrap_or_else(|| survey.attach(b"disk", &disk.target, &disk.source));
        survey.read_disk(&mut track, disk, registers);
    }
    let mut missing: Vec<String> = disks_before.into_keys().collect();
    missing.extend(before.into_keys().filter(|mac| !run.not_counted.contains(mac)));
    missing
}

/// The final counters of NICs that were unplugged while the run goes on. What has their MAC from now on is another one.
pub(super) fn unplugged(
    state: &mut State,
    look: Look<'_>,
    last_read: Option<Mark>,
    run: &mut RunTrack,
    nics: &[(String, NicRegisters)],
    outcome: &mut Outcome,
) {
    for (mac, registers) in nics {
        if let Some(mut track) = run.nics.remove(mac) {
            Survey::new(state, look, last_read, run, outcome).read_nic(&mut track, mac, *registers);
        }
    }
}

/// The registers of all devices whose birth is not known, as they stand.
pub(super) fn repeat(instance_id: InstanceId, at: Mark, run: &RunTrack, outcome: &mut Outcome) {
    for (target, track) in run.disks.iter().filter(|(_, track)| track.epoch.born_at.is_none()) {
        outcome.readings.disks.extend(disk_reading(instance_id, at, target, track));
    }
    for (mac, track) in run.nics.iter().filter(|(_, track)| track.epoch.born_at.is_none()) {
        outcome.readings.nics.extend(nic_reading(instance_id, at, mac, track));
    }
}

/// A disk's registers as they stand; `None`: it was never read.
fn disk_reading(instance_id: InstanceId, at: Mark, target: &str, track: &DeviceTrack) -> Option<DiskReading> {
    let &[read_bytes, write_bytes, read_ops, write_ops, flush_ops] = track.registers.as_slice() else {
        return None;
    };
    Some(DiskReading {
        instance_id,
        target: target.to_owned(),
        source: track.source.clone(),
        observed_at: at.wall,
        epoch: track.epoch.into(),
        registers: DiskRegisters { read_bytes, write_bytes, read_ops, write_ops, flush_ops },
    })
}

/// A NIC's registers as they stand; `None`: it was never read.
fn nic_reading(instance_id: InstanceId, at: Mark, mac: &str, track: &DeviceTrack) -> Option<NicReading> {
    let &[rx_bytes, tx_bytes, rx_packets, tx_packets] = track.registers.as_slice() else {
        return None;
    };
    Some(NicReading {
        instance_id,
        mac: mac.to_owned(),
        observed_at: at.wall,
        epoch: track.epoch.into(),
        registers: NicRegisters { rx_bytes, tx_bytes, rx_packets, tx_packets },
    })
}

/// One look at the devices of one run.
struct Survey<'a> {
    instance_id: InstanceId,
    now: Mark,
    is_blocks: bool,
    span: Window,
    born_at: Option<jiff::Timestamp>,
    run_epoch: [u8; 8],
    epochs: EpochCounter<'a>,
    not_counted: BTreeMap<String, String>,
    outcome: &'a mut Outcome,
}

impl<'a> Survey<'a> {
    fn new(
        state: &'a mut State,
        look: Look<'_>,
        last_read: Option<Mark>,
        run: &RunTrack,
        outcome: &'a mut Outcome,
    ) -> Self {
        let born_at = if run.is_surveyed {
            // Plugged in since then: the look before is the earliest instant possible.
            last_read.map(|mark| mark.wall.min(look.now.wall))
        } else {
            run.epoch.born_at
        };
        Survey {
            instance_id: look.instance_id,
            now: look.now,
            is_blocks: look.is_blocks(),
            span: span(last_read.map(|mark| mark.wall), look.now.wall),
            born_at,
            run_epoch: run.epoch.id.as_i64().to_be_bytes(),
            epochs: EpochCounter { memory: *state.memory.as_bytes(), epochs: &mut state.epochs },
            not_counted: BTreeMap::new(),
            outcome,
        }
    }

    /// They were not asked because they did nothing: their registers stand where they stood.
    fn repeat_disks(&mut self, disks: &BTreeMap<String, DeviceTrack>) {
        for (target, track) in disks {
            let reading = disk_reading(self.instance_id, self.now, target, track);
            self.outcome.readings.disks.extend(reading);
        }
    }

    fn disks(
        &mut self,
        mut before: BTreeMap<String, DeviceTrack>,
        observed: &[ObservedDisk],
    ) -> BTreeMap<String, DeviceTrack> {
        let mut after = BTreeMap::new();
        let is_any_counted = observed.iter().any(|disk| disk.registers.is_some());
        if !is_any_counted && observed.iter().any(|disk| !disk.source.is_empty()) {
            let detail = "no disk's counters were given: something else works on the instance";
            self.gap(None, GapReason::InstanceBusy, detail.to_owned());
        }
        for disk in observed {
            let known = before.remove(&disk.target).filter(|track| continues(track, disk));
            let mut track = known.unwrap_or_else(|| self.attach(b"disk", &disk.target, &disk.source));
            track.source.clone_from(&disk.source);
            track.relatives.clone_from(&disk.relatives);
            track.mark = disk.mark.map(|mark| mark.to_string()).or(track.mark);
            match disk.registers {
                Some(registers) => self.read_disk(&mut track, disk, registers),
                None if is_any_counted => {
                    let detail = "the hypervisor does not count this disk".to_owned();
                    self.not_counted.insert(disk.target.clone(), detail);
                }
                None => {}
            }
            after.insert(disk.target.clone(), track);
        }
        self.unplugged(before);
        after
    }

    fn read_disk(&mut self, track: &mut DeviceTrack, disk: &ObservedDisk, registers: DiskRegisters) {
        let DiskRegisters { read_bytes, write_bytes, read_ops, write_ops, flush_ops } = registers;
        let values = [read_bytes, write_bytes, read_ops, write_ops, flush_ops];
        if self.is_possible(track, &disk.target, &DISK_REGISTERS, &values) {
            let reading = disk_reading(self.instance_id, self.now, &disk.target, track);
            self.outcome.readings.disks.extend(reading);
        }
    }

    fn nics(
        &mut self,
        mut before: BTreeMap<String, DeviceTrack>,
        observed: &[ObservedNic],
    ) -> BTreeMap<String, DeviceTrack> {
        let mut after = BTreeMap::new();
        for (n, nic) in observed.iter().enumerate() {
            let Some(mac) = &nic.mac else {
                let detail = "the NIC has no MAC address, by which it would be known".to_owned();
                self.not_counted.insert(format!("nic {n}"), detail);
                continue;
            };
            if after.contains_key(mac) {
                let detail = "another NIC of the instance has the same MAC address".to_owned();
                self.not_counted.insert(mac.clone(), detail);
                continue;
            }
            let known = before.remove(mac).filter(|track| {
                // The host's device is made at each attachment and never renamed.
                track.mark.is_none() || nic.host_device.is_none() || track.mark == nic.host_device
            });
            let mut track = known.unwrap_or_else(|| self.attach(b"nic", mac, ""));
            track.mark = nic.host_device.clone().or(track.mark);
            match nic.registers {
                Some(registers) => self.read_nic(&mut track, mac, registers),
                // Not asked for.
                None if self.is_blocks && nic.host_device.is_some() => {}
                None => {
                    let detail = match &nic.host_device {
                        Some(device) => format!("the host does not count {device}"),
                        None => "no device of the host is behind the NIC, so nobody counts it".to_owned(),
                    };
                    self.not_counted.insert(mac.clone(), detail);
                }
            }
            after.insert(mac.clone(), track);
        }
        self.unplugged(before);
        after
    }

    fn read_nic(&mut self, track: &mut DeviceTrack, mac: &str, registers: NicRegisters) {
        let NicRegisters { rx_bytes, tx_bytes, rx_packets, tx_packets } = registers;
        let values = [rx_bytes, tx_bytes, rx_packets, tx_packets];
        if self.is_possible(track, mac, &NIC_REGISTERS, &values) {
            let reading = nic_reading(self.instance_id, self.now, mac, track);
            self.outcome.readings.nics.extend(reading);
        }
    }

    /// What is not there any more was unplugged; what it did since it was read last is not known.
    fn unplugged(&mut self, gone: BTreeMap<String, DeviceTrack>) {
        for (device, track) in gone {
            if !track.registers.is_empty() {
                let detail = "it was unplugged between two readings".to_owned();
                self.gap(Some(&device), GapReason::EndedUnread, detail);
            }
        }
    }

    fn attach(&mut self, kind: &[u8], key: &str, source: &str) -> DeviceTrack {
        let parts = [kind, &self.run_epoch, key.as_bytes(), source.as_bytes()];
        DeviceTrack {
            source: source.to_owned(),
            mark: None,
            relatives: Vec::new(),
            epoch: self.epochs.begin(self.born_at, &parts),
            registers: Vec::new(),
        }
    }

    /// Whether new registers can be true; if so they are remembered, otherwise there is a gap.
    fn is_possible(&mut self, track: &mut DeviceTrack, device: &str, names: &[&str], after: &[u64]) -> bool {
        match impossible(names, &track.registers, after) {
            None => {
                track.registers = after.to_vec();
                true
            }
            Some(detail) => {
                self.gap(Some(device), GapReason::Impossible, detail);
                false
            }
        }
    }

    /// A device that nobody counts is reported once, not at each look. Gives all of them.
    fn report_not_counted(&mut self, before: &BTreeSet<String>) -> BTreeSet<String> {
        let all = std::mem::take(&mut self.not_counted);
        for (device, detail) in &all {
            if !before.contains(device) {
                self.gap(Some(device), GapReason::NotCounted, detail.clone());
            }
        }
        all.into_keys().collect()
    }

    fn gap(&mut self, device: Option<&str>, reason: GapReason, detail: String) {
        let gap: Gap = instance_gap(self.instance_id, device, self.span, reason, detail);
        self.outcome.gaps.push(gap);
    }
}

/// Whether a disk is still the attachment that is known, so that its counters go on. The medium of a drive may
/// change, and so may the image of a disk by a snapshot, a commit or a copy; another image is another disk.
fn continues(track: &DeviceTrack, disk: &ObservedDisk) -> bool {
    let is_same_mark = match (&track.mark, disk.mark) {
        (Some(before), Some(after)) => *before == after.to_string(),
        _ => true,
    };
    let is_related = track.relatives.contains(&disk.source) || disk.relatives.contains(&track.source);
    disk.is_removable || is_related || (track.source == disk.source && is_same_mark)
}
