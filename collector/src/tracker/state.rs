//! The tracker's memory: what it must know of the last look to make sense of the next one.
//!
//! It is kept next to the readings (see `spool`), in the same transaction, so that both always agree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metering::held::Held;
use metering::{BootId, Epoch, EpochId, InstanceId, Makeup, VolumeId, micros};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::timeline::Heard;

/// Milliseconds of something held.
pub type HeldMs = Held<1_000>;
/// Seconds of something held.
pub type HeldSeconds = Held<1_000_000>;
/// KiB x seconds of bytes held: 1,024 bytes x 1,000,000 us. A volume need not be whole KiB.
pub type HeldBytesAsKibSeconds = Held<1_024_000_000>;

/// Everything that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Which memory this is. It goes into every epoch: registers that are integrated here begin at zero with
    /// a new memory, so they must not continue an epoch of the old one.
    pub memory: Uuid,
    /// How many epochs were begun, so that no two are the same.
    pub epochs: u64,
    /// The last look, successful or not.
    pub last_look: Option<Mark>,
    /// The last look that saw the instances.
    pub last_observation: Option<Mark>,
    /// The last look that saw the volumes.
    pub last_volumes: Option<Mark>,
    /// Instances that were known then.
    pub instances: BTreeMap<InstanceId, InstanceTrack>,
    /// Volumes that existed then.
    pub volumes: BTreeMap<VolumeId, VolumeTrack>,
    /// Instances that were on their way to this node then: still another one's.
    #[serde(default)]
    pub arriving: BTreeSet<InstanceId>,
    /// What was heard later than the last look's instant.
    #[serde(default)]
    pub later: Vec<(InstanceId, Heard)>,
}

/// An instant that can be compared across reboots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The life of the kernel.
    pub boot_id: BootId,
    /// By the wall clock.
    pub wall: Timestamp,
    /// Since the kernel started.
    pub boot: Duration,
}

/// More switches than a guest that starts has before it can be read; what comes after them is told by looks.
const MAX_EARLY: usize = 64;

/// How far wall clock and kernel clock may drift apart between two looks before it was a step. Slewing moves a clock by
/// half a thousandth at most: half a second in a look's longest interval with a good margin.
const CLOCK_STEP_MIN: SignedDuration = SignedDuration::from_secs(2);

impl Mark {
    /// How far the wall clock was set between this look and `now`, if it was: negative when it was set back. Nothing
    /// can be said across a reboot.
    pub fn clock_step(self, now: Mark) -> Option<SignedDuration> {
        let by_kernel = SignedDuration::try_from(now.boot.checked_sub(self.boot)?).ok()?;
        let step = self.wall.duration_until(now.wall) - by_kernel;
        (self.boot_id == now.boot_id && CLOCK_STEP_MIN <= step.abs()).then_some(step)
    }
}

/// A life of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochTrack {
    /// Which.
    pub id: EpochId,
    /// When its registers stood at zero; `None`: adopted.
    pub born_at: Option<Timestamp>,
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceTrack {
    /// As last reported.
    pub name: String,
    /// As last reported.
    pub tenant_label: Option<String>,
    /// As last reported.
    #[serde(default)]
    pub makeup: Makeup,
    /// The last look that could read it.
    pub last_read: Option<Mark>,
    /// Its run, when it had one.
    pub run: Option<RunTrack>,
    /// Up to when its time is told.
    #[serde(default)]
    pub told_until: Option<Mark>,
    /// It went to another node and has not run here since: what it is there tells.
    #[serde(default)]
    pub is_elsewhere: bool,
    /// vCPUs and memory in KiB that its last run held: the best guess for one that nobody saw.
    #[serde(default)]
    pub last_held: Option<(u32, u64)>,
}

/// A run of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTrack {
    /// The hypervisor's number of it.
    pub run_id: u32,
    /// In which life of the kernel.
    pub boot_id: BootId,
    /// The start of its process, once known.
    pub start_ticks: Option<u64>,
    /// Its epoch.
    pub epoch: EpochTrack,
    /// Until when time was integrated.
    pub held_until: Mark,
    /// What is held, once known.
    pub amounts: Option<Amounts>,
    /// `running_ms`.
    pub running: HeldMs,
    /// `vcpu_ms`.
    pub vcpu: HeldMs,
    /// `memory_kib_s`.
    pub memory: HeldSeconds,
    /// The last `cpu_ns`.
    pub cpu_ns: u64,
    /// Whether its devices were ever seen.
    pub is_surveyed: bool,
    /// Its disks, by target.
    pub disks: BTreeMap<String, DeviceTrack>,
    /// Its NICs, by MAC.
    pub nics: BTreeMap<String, DeviceTrack>,
    /// Devices that were reported as not counted.
    pub not_counted: BTreeSet<String>,
    /// When it began and ceased to execute before its amounts were known; `None`: that was not heard.
    #[serde(default)]
    pub early: Option<Vec<Switch>>,
    /// Paused for a migration: what it held since then is this node's only if it executes here again.
    #[serde(default)]
    pub is_moving: bool,
    /// For how many looks in a row it could not be read.
    #[serde(default)]
    pub unread_looks: u32,
    /// The first of them.
    #[serde(default)]
    pub unread_since: Option<Mark>,
    /// Whether an operator was told that it does not answer.
    #[serde(default)]
    pub is_silence_told: bool,
}

/// A change between executing and not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// When.
    pub at: Mark,
    /// To which.
    pub is_executing: bool,
}

/// What a run holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Whether it executes.
    pub is_executing: bool,
    /// vCPUs.
    pub vcpus: u32,
    /// Memory, in KiB.
    pub memory_kib: u64,
}

/// A disk or a NIC, attached once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceTrack {
    /// What backs a disk.
    pub source: String,
    /// The hypervisor's mark of this attachment.
    pub mark: Option<String>,
    /// What else belongs to the same disk.
    pub relatives: Vec<String>,
    /// Its epoch.
    pub epoch: EpochTrack,
    /// Its last registers.
    pub registers: Vec<u64>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeTrack {
    /// Its pool.
    pub pool: String,
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub path: Option<PathBuf>,
    /// The instance that it was attached to.
    pub instance_id: Option<InstanceId>,
    /// Its epoch.
    pub epoch: EpochTrack,
    /// Until when its size was integrated.
    pub held_until: Mark,
    /// Its size, once known.
    pub capacity_bytes: Option<u64>,
    /// `provisioned_kib_s`.
    pub provisioned: HeldBytesAsKibSeconds,
}

impl State {
    /// A memory of nothing. `memory` must never have been used before.
    #[must_use]
    pub fn new(memory: Uuid) -> Self {
        Self {
            memory,
            epochs: 0,
            last_look: None,
            last_observation: None,
            last_volumes: None,
            instances: BTreeMap::new(),
            volumes: BTreeMap::new(),
            arriving: BTreeSet::new(),
            later: Vec::new(),
        }
    }

    /// Dates all that is remembered by the wall clock as it is at `now`.
    pub fn date_by(&mut self, now: Mark) {
        let date = |mark: &mut Mark| *mark = mark.dated_by(now);
        for mark in [&mut self.last_look, &mut self.last_observation, &mut self.last_volumes] {
            mark.iter_mut().for_each(date);
        }
        for track in self.instances.values_mut() {
            track.last_read.iter_mut().chain(&mut track.told_until).for_each(date);
            if let Some(run) = &mut track.run {
                date(&mut run.held_until);
                run.unread_since.iter_mut().for_each(date);
                run.early.iter_mut().flatten().for_each(|switch| date(&mut switch.at));
            }
        }
        self.volumes.values_mut().for_each(|volume| date(&mut volume.held_until));
        self.later.iter_mut().for_each(|(_, heard)| date(&mut heard.at));
    }

    /// Where the known volumes lie, by pool and name.
    #[must_use]
    pub fn volume_paths(&self) -> BTreeMap<(String, String), PathBuf> {
        self.volumes
            .values()
            .filter_map(|volume| {
                let key = (volume.pool.clone(), volume.name.clone());
                Some((key, volume.path.clone()?))
            })
            .collect()
    }
}

impl Mark {
    /// The time from `self` to `later`: by the kernel's clock within one life of the kernel, which no
    /// setting of the wall clock can change; by the wall clock across lives, never negative.
    #[must_use]
    pub fn until(self, later: Mark) -> Duration {
        if self.boot_id == later.boot_id {
            later.boot.saturating_sub(self.boot)
        } else {
            Duration::try_from(later.wall.duration_since(self.wall)).unwrap_or(Duration::ZERO)
        }
    }

    /// The instant `time` later, on both clocks.
    #[must_use]
    pub fn after(self, time: Duration) -> Mark {
        let wall = micros(self.wall.checked_add(time).unwrap_or(Timestamp::MAX));
        Mark { boot_id: self.boot_id, wall, boot: self.boot.saturating_add(time) }
    }

    /// The same instant by the wall clock as it is at `now`, if that was set meanwhile. What a look tells is dated by one
    /// clock, whatever showed when it was heard: whoever judges that clock judges all of it.
    #[must_use]
    pub fn dated_by(self, now: Mark) -> Mark {
        if self.boot_id != now.boot_id {
            return self;
        }
        let dated = match now.boot.checked_sub(self.boot) {
            Some(ago) => now.before(ago),
            None => now.after(self.boot.saturating_sub(now.boot)),
        };
        let step = self.wall.duration_until(dated.wall);
        if CLOCK_STEP_MIN <= step.abs() { Mark { wall: dated.wall, ..self } } else { self }
    }

    /// The instant `time` before, on both clocks.
    #[must_use]
    pub fn before(self, time: Duration) -> Mark {
        Mark {
            boot_id: self.boot_id,
            wall: micros(self.wall.checked_sub(time).unwrap_or(Timestamp::MIN)),
            boot: self.boot.saturating_sub(time),
        }
    }
}

impl From<EpochTrack> for Epoch {
    fn from(track: EpochTrack) -> Self {
        Self { id: track.id, born_at: track.born_at }
    }
}

impl RunTrack {
    /// Integrates what was held until `now`. While the amounts are not known yet, and while another node may be the one
    /// that holds them, the time is kept for later. An instant that has passed already changes nothing.
    pub fn hold_until(&mut self, now: Mark) {
        let has_passed = self.held_until.boot_id == now.boot_id && now.boot < self.held_until.boot;
        let Some(amounts) = self.amounts.filter(|_| !self.is_moving && !has_passed) else {
            return;
        };
        let time = self.held_until.until(now);
        self.running.add(u64::from(amounts.is_executing), time);
        self.vcpu.add(u64::from(amounts.vcpus), time);
        self.memory.add(amounts.memory_kib, time);
        self.held_until = now;
    }

    /// It begins or ceases to execute.
    pub fn execute(&mut self, at: Mark, is_executing: bool) {
        if is_executing {
            self.is_moving = false;
        }
        self.hold_until(at);
        match &mut self.amounts {
            Some(amounts) => amounts.is_executing = is_executing,
            None => {
                let early = self.early.get_or_insert_default();
                if early.len() < MAX_EARLY {
                    early.push(Switch { at, is_executing });
                }
            }
        }
    }

    /// The amounts are known at last: what was heard before then is integrated with them.
    pub fn know(&mut self, amounts: Amounts) {
        self.amounts = Some(Amounts { is_executing: false, ..amounts });
        for switch in self.early.take().unwrap_or_default() {
            self.execute(switch.at, switch.is_executing);
        }
    }
}

impl VolumeTrack {
    /// Integrates what was held until `now`. While the size is not known yet the time is kept for later.
    pub fn hold_until(&mut self, now: Mark) {
        let Some(capacity_bytes) = self.capacity_bytes else {
            return;
        };
        self.provisioned.add(capacity_bytes, self.held_until.until(now));
        self.held_until = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_noticed_and_one_that_drifts_is_not() {
        let mark = |boot, wall_ms: i64| Mark {
            boot_id: BootId::from_uuid(Uuid::from_u128(boot)),
            wall: Timestamp::from_millisecond(1_790_000_000_000 + wall_ms).unwrap(),
            boot: Duration::from_secs(160),
        };
        let before = Mark { boot: Duration::from_secs(100), ..mark(1, 0) };
        let step = |now: Mark| before.clock_step(now).map(|step| step.as_secs());
        assert_eq!(step(mark(1, 60_000)), None);
        assert_eq!(step(mark(1, 60_500)), None);
        assert_eq!(step(mark(1, 3_660_000)), Some(3_600));
        assert_eq!(step(mark(1, -3_540_000)), Some(-3_600));
        assert_eq!(step(mark(2, 3_660_000)), None, "another life of the kernel");
    }
}
