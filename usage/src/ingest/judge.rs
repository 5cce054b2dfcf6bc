//! Judges a batch's readings by what is known already: whose the instance is, and where its registers stood. Pure. It does
//! NOT judge a row by itself ([`super::screen`] did), and it changes nothing that is stored.
//!
//! Every rule errs on the side of what can be mended: registers are absolute, so what is refused today is counted with
//! the next reading that is believed, and what lies in quarantine can be released.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metering::{Epoch, EpochId, InstanceReading, InstanceState, ResourceKind};
use uuid::Uuid;

use super::known::{Head, Key, Known, KnownInstance, KnownVolume};
use super::rates::{self, Bound, RateLimits, Registers, Stand};
use super::screen::Screened;

/// A node that has not reported an instance for this long does not hold it any more, as far as another node's claim is
/// concerned: three readings that failed, at the usual interval. As long may its last readings follow those of the node
/// that took over.
pub const OWNER_SILENCE: Duration = Duration::from_secs(180);

/// What is known while a batch is judged: each reading that is believed becomes the one before the next.
pub(super) struct Judge<'a> {
    node_id: Uuid,
    limits: &'a RateLimits,
    /// For how long the node's kernel has been up, if it says.
    alive_us: Option<u64>,
    /// 0: not known.
    processors: u64,
    instances: BTreeMap<Uuid, KnownInstance>,
    volumes: BTreeMap<Uuid, KnownVolume>,
    /// Where registers stood before the batch.
    heads: &'a BTreeMap<Key, Head>,
    /// Where readings of the batch that are believed have left them.
    stands: BTreeMap<Key, Stand>,
}

/// What becomes of a row.
enum Verdict {
    Counts,
    /// It says nothing.
    Ignored,
    Refused(String),
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        node_id: Uuid,
        known: &'a Known,
        limits: &'a RateLimits,
        alive: Option<Duration>,
        processors: Option<u32>,
    ) -> Self {
        Self {
            node_id,
            limits,
            alive_us: alive.and_then(|alive| u64::try_from(alive.as_micros()).ok()),
            processors: processors.map_or(0, u64::from),
            instances: known.instances.clone(),
            volumes: known.volumes.clone(),
            heads: &known.heads,
            stands: BTreeMap::new(),
        }
    }

    /// Leaves in `screened` what may be true; the rest goes to its refused and ignored rows.
    pub(super) fn judge(mut self, screened: &mut Screened<'_>) {
        // What another node has, and this one only knows.
        let mut foreign = BTreeSet::new();
        for reading in std::mem::take(&mut screened.instances) {
            match self.instance(reading, screened) {
                Verdict::Counts => screened.instances.push(reading),
                Verdict::Ignored => {
                    foreign.insert(reading.instance_id.uuid());
                    screened.ignored += 1;
                }
                Verdict::Refused(reason) => screened.refuse_instance(reason, reading),
            }
        }
        for reading in std::mem::take(&mut screened.disks) {
            let r = reading.registers;
            let key = (reading.instance_id.uuid(), ResourceKind::Disk.as_str(), reading.target.clone());
            let registers = [r.read_bytes, r.write_bytes, r.read_ops, r.write_ops];
            let bounds = rates::of_disk(self.limits);
            match self.device(key, reading.observed_at, reading.epoch, registers, &bounds, &foreign) {
                Verdict::Counts => screened.disks.push(reading),
                Verdict::Ignored => screened.ignored += 1,
                Verdict::Refused(reason) => screened.refuse_disk(reason, reading),
            }
        }
        for reading in std::mem::take(&mut screened.nics) {
            let r = reading.registers;
            let key = (reading.instance_id.uuid(), ResourceKind::Nic.as_str(), reading.mac.clone());
            let registers = [r.rx_bytes, r.tx_bytes, r.rx_packets, r.tx_packets];
            let bounds = rates::of_nic(self.limits);
            match self.device(key, reading.observed_at, reading.epoch, registers, &bounds, &foreign) {
                Verdict::Counts => screened.nics.push(reading),
                Verdict::Ignored => screened.ignored += 1,
                Verdict::Refused(reason) => screened.refuse_nic(reason, reading),
            }
        }
        self.volumes(screened);
        screened.foreign = foreign;
    }

    fn instance(&mut self, reading: &InstanceReading, screened: &mut Screened<'_>) -> Verdict {
        let (id, r) = (reading.instance_id.uuid(), reading.registers);
        let verdict = self.whose(id, reading.observed_at, reading.epoch, reading.state);
        if !matches!(verdict, Verdict::Counts) {
            return verdict;
        }
        let known = self.instances.get(&id);
        let vcpus = u64::from(reading.vcpus).max(known.map_or(0, |known| known.vcpus));
        let memory = reading.memory_kib.max(known.map_or(0, |known| known.memory_kib));
        let bounds = rates::of_instance(vcpus, memory, self.processors);
        let key = (id, ResourceKind::Instance.as_str(), String::new());
        let registers = [r.cpu_ns, r.running_ms, r.vcpu_ms, r.memory_kib_s];
        if let Some(reason) = self.rate(key, reading.observed_at, reading.epoch, registers, &bounds) {
            return Verdict::Refused(reason);
        }
        self.believe(reading, screened);
        Verdict::Counts
    }

    /// Whether this node may report that. Whoever was seen to run it last has it until it ends there, is paused (as at
    /// the end of a migration), or falls silent.
    fn whose(&self, id: Uuid, at: Timestamp, epoch: Epoch, state: InstanceState) -> Verdict {
        let Some(known) = self.instances.get(&id).filter(|known| known.node_id != self.node_id) else {
            return Verdict::Counts;
        };
        if known.is_orphan || known.state == InstanceState::Gone || is_silent(known.last_seen_at, at) {
            return Verdict::Counts;
        }
        let is_alive = epoch.id != EpochId::NONE;
        if is_alive && is_farewell(self.node_id, known, at, epoch) {
            return Verdict::Counts;
        }
        match (state, known.state) {
            // Defined here and not running: that says nothing of the one that another node has.
            (InstanceState::Stopped | InstanceState::Gone, _) => Verdict::Ignored,
            _ if !is_alive => Verdict::Ignored,
            // The target of a migration that has not happened yet.
            (InstanceState::Paused, InstanceState::Running | InstanceState::Paused) => Verdict::Ignored,
            (InstanceState::Running, InstanceState::Running) => Verdict::Refused(format!(
                "it runs on node {}, which reported it at {}",
                known.node_id, known.last_seen_at
            )),
            _ => Verdict::Counts,
        }
    }

    /// Remembers what a reading that counts says about its instance.
    fn believe(&mut self, reading: &InstanceReading, screened: &mut Screened<'_>) {
        let id = reading.instance_id.uuid();
        let Some(known) = self.instances.get_mut(&id) else {
            let fresh = KnownInstance {
                first_seen_at: reading.observed_at,
                last_seen_at: reading.observed_at,
                node_id: self.node_id,
                state: reading.state,
                vcpus: u64::from(reading.vcpus),
                memory_kib: reading.memory_kib,
                former: None,
                held_since: Some(reading.observed_at),
                is_orphan: false,
            };
            self.instances.insert(id, fresh);
            return;
        };
        if known.node_id != self.node_id {
            let is_held = known.state == InstanceState::Running && !known.is_orphan;
            let (at, epoch) = (reading.observed_at, reading.epoch);
            if (is_held && is_farewell(self.node_id, known, at, epoch))
                || reading.observed_at < known.last_seen_at
            {
                screened.farewells.insert(id, known.held_since);
                known.former = known.former.or(Some(self.node_id));
                return;
            }
            (known.former, known.held_since) = (Some(known.node_id), Some(reading.observed_at));
            known.node_id = self.node_id;
            known.is_orphan = false;
        }
        if known.last_seen_at <= reading.observed_at {
            known.last_seen_at = reading.observed_at;
            known.state = reading.state;
            known.vcpus = u64::from(reading.vcpus);
            known.memory_kib = reading.memory_kib;
        }
    }

    fn device(
        &mut self,
        key: Key,
        at: Timestamp,
        epoch: Epoch,
        registers: Registers,
        bounds: &[Bound; 4],
        foreign: &BTreeSet<Uuid>,
    ) -> Verdict {
        match self.whose(key.0, at, epoch, InstanceState::Running) {
            Verdict::Refused(_) if foreign.contains(&key.0) => Verdict::Ignored,
            Verdict::Counts => match self.rate(key, at, epoch, registers, bounds) {
                Some(reason) => Verdict::Refused(reason),
                None => Verdict::Counts,
            },
            verdict => verdict,
        }
    }

    /// A volume that two nodes see is one volume: the first one's registers count until it falls silent.
    fn volumes(&mut self, screened: &mut Screened<'_>) {
        for mut reading in std::mem::take(&mut screened.volumes) {
            let (id, at) = (reading.volume_id.uuid(), reading.observed_at);
            let known = self.volumes.get(&id);
            let other = known.filter(|known| known.node_id.is_some_and(|node_id| node_id != self.node_id));
            if let Some(other) = other {
                let is_held = !other.is_orphan
                    && !other.is_gone
                    && other.last_observed_at.is_some_and(|last| !is_silent(last, at));
                // Before it was taken over, whoever had it is believed.
                let is_late = other.moved_at.is_some_and(|moved_at| at < moved_at);
                if is_held && !is_late {
                    screened.ignored += 1;
                    continue;
                }
            }
            let moved_at = known.and_then(|known| known.moved_at).or(other.map(|_| at));
            if moved_at.is_some_and(|moved_at| {
                reading.epoch.born_at.is_some_and(|born_at| born_at < moved_at && moved_at <= at)
            }) {
                // What it held before is in the registers of the node that had it.
                reading.to_mut().epoch.born_at = None;
            }
            let capacity = reading.capacity_bytes.max(known.map_or(0, |known| known.capacity_bytes));
            let key = (id, ResourceKind::Volume.as_str(), String::new());
            let registers = [reading.registers.provisioned_kib_s, 0, 0, 0];
            let bounds = rates::of_volume(capacity);
            match self.rate(key, at, reading.epoch, registers, &bounds) {
                Some(reason) => screened.refuse_volume(reason, &reading),
                None => {
                    self.believe_volume(&reading);
                    screened.volumes.push(reading);
                }
            }
        }
    }

    fn believe_volume(&mut self, reading: &metering::VolumeReading) {
        let Some(known) = self.volumes.get_mut(&reading.volume_id.uuid()) else { return };
        if known.last_observed_at.is_some_and(|last| reading.observed_at < last) {
            return;
        }
        if known.node_id.is_some_and(|node_id| node_id != self.node_id) {
            known.moved_at = Some(reading.observed_at);
        }
        known.node_id = Some(self.node_id);
        known.last_observed_at = Some(reading.observed_at);
        known.capacity_bytes = reading.capacity_bytes;
        known.is_gone = !reading.exists;
        known.is_orphan = false;
    }

    /// Why registers cannot stand where they do. If they can, they are what the next ones are judged by.
    fn rate(
        &mut self,
        key: Key,
        at: Timestamp,
        epoch: Epoch,
        registers: Registers,
        bounds: &[Bound; 4],
    ) -> Option<String> {
        let now = Stand { at, epoch: epoch.id, registers };
        let stored = || self.heads.get(&key).and_then(|head| head.stand);
        let before = self.stands.get(&key).copied().or_else(stored);
        let reason = rates::fault(before.as_ref(), epoch, &now, self.alive_us, bounds);
        if reason.is_none() && before.is_none_or(|before| before.at <= at) {
            self.stands.insert(key, now);
        }
        reason
    }
}

/// Whether a node tells, about a time until shortly after the other one took over, what it had before: it is known to have
/// had it, or the other one is the first that is known, and this life is older than that.
fn is_farewell(node_id: Uuid, known: &KnownInstance, at: Timestamp, epoch: Epoch) -> bool {
    known.held_since.is_some_and(|since| {
        let is_older = epoch.born_at.is_none_or(|born_at| born_at < since);
        !is_silent(since, at) && known.former.map_or(is_older, |former| former == node_id)
    })
}

/// Whether somebody who was last heard at `last` had fallen silent by `at`.
fn is_silent(last: Timestamp, at: Timestamp) -> bool {
    let silence = SignedDuration::try_from(OWNER_SILENCE).unwrap_or(SignedDuration::MAX);
    last.saturating_add(silence).is_ok_and(|end| end < at)
}
