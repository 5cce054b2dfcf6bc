//! Disks and NICs of a run: which attachment it is, and its counters as they are.
//!
//! A device is known by its target or MAC, never by position or by the name of the host's device. What tells
//! two attachments of the same device apart: that it was away at a look, the hypervisor's own mark of the
//! attachment, or another source.

use std::collections::{BTreeMap, BTreeSet};

use metering::{DiskReading, DiskRegisters, Gap, GapReason, InstanceId, NicReading, NicRegisters, Window};

use super::state::{DeviceTrack, Mark, RunTrack, State};
use super::{EpochCounter, Outcome, impossible, instance_gap, span};
use crate::observation::{Figures, ObservedDisk, ObservedNic};

const DISK_REGISTERS: [&str; 5] = ["read_bytes", "write_bytes", "read_ops", "write_ops", "flush_ops"];
const NIC_REGISTERS: [&str; 4] = ["rx_bytes", "tx_bytes", "rx_packets", "tx_packets"];

/// All devices of a run whose figures could be read.
pub(super) fn observe_all(
    state: &mut State,
    now: Mark,
    instance_id: InstanceId,
    last_read: Option<Mark>,
    run: &mut RunTrack,
    figures: &Figures,
    outcome: &mut Outcome,
) {
    let born_at = if run.is_surveyed {
        // Plugged in since then: the look before is the earliest instant possible.
        last_read.map(|mark| mark.wall.min(now.wall))
    } else {
        run.epoch.born_at
    };
    let mut survey = Survey {
        instance_id,
        now,
        span: span(last_read.map(|mark| mark.wall), now.wall),
        born_at,
        run_epoch: run.epoch.id.as_i64().to_be_bytes(),
        epochs: EpochCounter { memory: *state.memory.as_bytes(), epochs: &mut state.epochs },
        not_counted: BTreeMap::new(),
        outcome,
    };
    let disks = survey.disks(std::mem::take(&mut run.disks), &figures.disks);
    let nics = survey.nics(std::mem::take(&mut run.nics), &figures.nics);
    let not_counted = survey.report_not_counted(&run.not_counted);
    run.disks = disks;
    run.nics = nics;
    run.not_counted = not_counted;
    run.is_surveyed = true;
}

/// One look at the devices of one run.
struct Survey<'a> {
    instance_id: InstanceId,
    now: Mark,
    span: Window,
    born_at: Option<jiff::Timestamp>,
    run_epoch: [u8; 8],
    epochs: EpochCounter<'a>,
    not_counted: BTreeMap<String, String>,
    outcome: &'a mut Outcome,
}

impl Survey<'_> {
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
        after
    }

    fn read_disk(&mut self, track: &mut DeviceTrack, disk: &ObservedDisk, registers: DiskRegisters) {
        let DiskRegisters { read_bytes, write_bytes, read_ops, write_ops, flush_ops } = registers;
        let values = [read_bytes, write_bytes, read_ops, write_ops, flush_ops];
        if self.is_possible(track, &disk.target, &DISK_REGISTERS, &values) {
            self.outcome.readings.disks.push(DiskReading {
                instance_id: self.instance_id,
                target: disk.target.clone(),
                source: disk.source.clone(),
                observed_at: self.now.wall,
                epoch: track.epoch.into(),
                registers,
            });
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
        after
    }

    fn read_nic(&mut self, track: &mut DeviceTrack, mac: &str, registers: NicRegisters) {
        let NicRegisters { rx_bytes, tx_bytes, rx_packets, tx_packets } = registers;
        let values = [rx_bytes, tx_bytes, rx_packets, tx_packets];
        if self.is_possible(track, mac, &NIC_REGISTERS, &values) {
            self.outcome.readings.nics.push(NicReading {
                instance_id: self.instance_id,
                mac: mac.to_owned(),
                observed_at: self.now.wall,
                epoch: track.epoch.into(),
                registers,
            });
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
