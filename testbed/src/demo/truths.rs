//! From a guest's record to what each meter may say: by its orders and by libvirt's last figures. Pure.

use jiff::Timestamp;

use super::judge::{Bounds, Ordered, Rule};
use super::plans::Play;
use super::records::{GuestRecord, LifeEnd, VolumeRecord};
use super::stage::Platform;
use crate::lifecycle::Life;
use crate::orders::{BOOT_READ_BYTES, BOOT_READ_OPS, MIB, PLUG_READ_BYTES, PLUG_READ_OPS};
use crate::truth::{DiskFigures, NicFigures};

/// One reading, the distance between what happened and the reading next to it.
const SAMPLE_MS: u64 = 1000;
/// How long a volume may be there unseen before it is deleted: a look begins with each second and comes to the volumes at
/// some time within it, so that two sights are up to two seconds apart. With one alone the demo was off once by 41 ms.
const LAST_SIGHT_MS: u64 = 2 * SAMPLE_MS;

/// The exit record of a thread that runs when it is ended lacks what came after the last tick of the scheduler: 4 ms at
/// 250 Hz. Its clock, read just before, does not.
const TICKS_NS: u64 = 10_000_000;
/// One for each thread that may have run when a process was held still, so that it could be killed: the vCPU's and the main loop.
/// With one alone the demo was off once by 0.6 ms, on a machine that did much else.
const HELD_STILL_NS: u64 = 2 * 4_000_000;

/// A meter: its name, its unit, the resource that it is measured on and the register that it is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meter {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) resource: &'static str,
    pub(super) register: &'static str,
}

/// All meters, in the order of the report.
pub(super) const METERS: [Meter; 11] = [
    meter("running_ms", "ms", "instance", "running_ms"),
    meter("vcpu_ms", "ms", "instance", "vcpu_ms"),
    meter("cpu_ns", "ns", "instance", "cpu_ns"),
    meter("memory_kib_s", "KiB·s", "instance", "memory_kib_s"),
    meter("provisioned_kib_s", "KiB·s", "volume", "provisioned_kib_s"),
    meter("disk_read_bytes", "bytes", "disk", "read_bytes"),
    meter("disk_write_bytes", "bytes", "disk", "write_bytes"),
    meter("disk_read_ops", "ops", "disk", "read_ops"),
    meter("disk_write_ops", "ops", "disk", "write_ops"),
    meter("net_rx_bytes", "bytes", "nic", "rx_bytes"),
    meter("net_tx_bytes", "bytes", "nic", "tx_bytes"),
];

/// What one meter of one guest may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MeterTruth {
    pub(super) meter: Meter,
    pub(super) rule: Rule,
    pub(super) ordered: Option<Ordered>,
    pub(super) libvirt: Bounds,
}

const fn meter(
    name: &'static str,
    unit: &'static str,
    resource: &'static str,
    register: &'static str,
) -> Meter {
    Meter { name, unit, resource, register }
}

impl GuestRecord {
    /// The truth about every meter, in the order of [`METERS`].
    pub(super) fn truth(&self, platform: &Platform, now: Timestamp) -> Vec<MeterTruth> {
        self.truth_by(&platform.watcher(self.plan.site).lives(&self.libvirt_name, now))
    }

    fn truth_by(&self, lives: &[Life]) -> Vec<MeterTruth> {
        METERS.iter().map(|meter| self.truth_of(*meter, lives)).collect()
    }

    fn truth_of(&self, meter: Meter, lives: &[Life]) -> MeterTruth {
        let held = |libvirt| (Rule::Held, None, libvirt);
        let (rule, ordered, libvirt) = match meter.name {
            "running_ms" => held(sum(lives.iter().map(running))),
            "vcpu_ms" => held(self.held_by_lives(lives, |end| end.before.vcpus.unwrap_or(0), 1)),
            "memory_kib_s" => held(self.held_by_lives(lives, |end| end.before.memory_kib.unwrap_or(0), 1000)),
            "cpu_ns" => (self.cpu_rule(), None, self.cpu()),
            "provisioned_kib_s" => (Rule::HeldStorage, None, sum(self.volumes.iter().map(provisioned))),
            "disk_read_bytes" => self
                .ordered_disk(|disk| disk.read_bytes, self.read_ordered(1, BOOT_READ_BYTES, PLUG_READ_BYTES)),
            "disk_read_ops" => {
                self.ordered_disk(|disk| disk.read_ops, self.read_ordered(MIB, BOOT_READ_OPS, PLUG_READ_OPS))
            }
            "disk_write_bytes" => self.ordered_disk(|disk| disk.write_bytes, self.written_ordered()),
            "disk_write_ops" => self.ordered_disk(|disk| disk.write_ops, self.written_ordered() / MIB),
            "net_rx_bytes" => self.payload(|nic| nic.rx_bytes, self.per_life(|o, nic| o.fetched_bytes(nic))),
            _ => self.payload(|nic| nic.tx_bytes, self.per_life(|o, nic| o.sent_bytes(nic))),
        };
        MeterTruth { meter, rule, ordered, libvirt }
    }

    fn lives_count(&self) -> u64 {
        self.lives.len() as u64
    }

    fn ordered_disk(
        &self,
        of: impl Fn(&DiskFigures) -> u64,
        ordered: u64,
    ) -> (Rule, Option<Ordered>, Bounds) {
        let counted = self.disks.iter().map(|(_, disk)| of(disk)).sum();
        (Rule::OrderedCounter, Some(Ordered::Exactly(ordered)), Bounds::exactly(counted))
    }

    fn payload(&self, of: impl Fn(&NicFigures) -> u64, ordered: u64) -> (Rule, Option<Ordered>, Bounds) {
        let counted = self.nics.iter().map(|(_, nic)| of(nic)).sum();
        (Rule::Counter, Some(Ordered::AtLeast(ordered)), Bounds::exactly(counted))
    }

    fn per_life(&self, of: impl Fn(&crate::orders::Orders, &str) -> u64) -> u64 {
        self.lives_count() * (of(&self.orders, "eth0") + of(&self.orders, "eth1"))
    }

    fn written_ordered(&self) -> u64 {
        self.lives_count() * (self.orders.write_bytes("vda") + self.orders.write_bytes("vdb"))
    }

    /// What is ordered, and what firmware and kernel read to find out what the disk is.
    fn read_ordered(&self, divisor: u64, at_boot: u64, when_plugged: u64) -> u64 {
        let work = (self.orders.read_bytes("vda") + self.orders.read_bytes("vdb")) / divisor;
        let plugged = if self.plan.play == Play::Hotplugged { when_plugged } else { 0 };
        self.lives_count() * (work + at_boot + plugged)
    }

    fn cpu_rule(&self) -> Rule {
        match self.plan.play {
            Play::Killed => Rule::CpuTimeOfKilled,
            _ => Rule::CpuTime,
        }
    }

    fn cpu(&self) -> Bounds {
        let slack = if self.plan.play == Play::Killed { HELD_STILL_NS } else { TICKS_NS };
        sum(self.lives.iter().map(|life| Bounds::around(life.cpu_ns, slack)))
    }

    /// What is held while the process exists: from its start by the kernel to its end by libvirt, and read last between
    /// the suspending for its stop and that end.
    fn held_by_lives(&self, lives: &[Life], held: impl Fn(&LifeEnd) -> u64, divisor: u64) -> Bounds {
        sum(self.lives.iter().zip(lives).map(|(end, life)| {
            let shortest = life.running_ms.unsigned_abs().saturating_sub(SAMPLE_MS);
            let whole = life.stopped_at.map_or(0, |stopped| milliseconds(end.process_started, stopped));
            let held = held(end);
            Bounds { lower: held * shortest / divisor, upper: (held * (whole + SAMPLE_MS)).div_ceil(divisor) }
        }))
    }
}

fn running(life: &Life) -> Bounds {
    Bounds::around(life.running_ms.unsigned_abs(), SAMPLE_MS)
}

fn provisioned(volume: &VolumeRecord) -> Bounds {
    let kib = volume.capacity_bytes / 1024;
    let Some(deleted) = volume.deleted else {
        return Bounds { lower: 0, upper: u64::MAX };
    };
    let shortest = milliseconds(volume.created.1, deleted.0).saturating_sub(LAST_SIGHT_MS);
    let longest = milliseconds(volume.created.0, deleted.1) + SAMPLE_MS;
    Bounds { lower: kib * shortest / 1000, upper: (kib * longest).div_ceil(1000) }
}

fn sum(bounds: impl Iterator<Item = Bounds>) -> Bounds {
    bounds.fold(Bounds::default(), Bounds::plus)
}

fn milliseconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::plans::{GUESTS, Site};
    use super::*;
    use crate::orders::{Order, Orders};
    use crate::truth::{Figures, RunState};

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn record() -> GuestRecord {
        let end = |asked_ms| LifeEnd {
            before: Figures {
                name: "a".into(),
                asked_at: at(asked_ms),
                answered_at: at(asked_ms),
                state: RunState::Running,
                cpu_ns: Some(5_000_000_000),
                vcpus: Some(2),
                memory_kib: Some(1000),
                nics: BTreeMap::new(),
                disks: BTreeMap::new(),
            },
            process_started: at(asked_ms - 10_000),
            cpu_ns: 5_000_000_009,
        };
        let disk =
            DiskFigures { read_bytes: 1, read_ops: 2, write_bytes: 3, write_ops: 4, capacity_bytes: 5 };
        let nic = NicFigures { rx_bytes: 7, tx_bytes: 8, ..NicFigures::default() };
        GuestRecord {
            plan: &GUESTS[1],
            instance_id: "1".into(),
            libvirt_name: "a".into(),
            orders: Orders::new([Order::Write("vda".into(), 4), Order::Read("vda".into(), 2)]),
            lives: vec![end(10_000), end(30_000)],
            disks: vec![("vda".into(), disk), ("vda".into(), disk)],
            nics: vec![("eth0".into(), nic), ("eth0".into(), nic)],
            volumes: vec![VolumeRecord {
                volume: "p/v".into(),
                capacity_bytes: 2048,
                created: (at(0), at(1_000)),
                deleted: Some((at(11_000), at(12_000))),
            }],
        }
    }

    fn lives() -> Vec<Life> {
        let life = |from, to, running_ms| Life {
            started_at: at(from),
            stopped_at: Some(at(to)),
            paused_at: (from == 0).then(|| at(to - 300)),
            running_ms,
        };
        vec![life(0, 10_500, 10_000), life(20_000, 30_500, 10_000)]
    }

    #[test]
    fn lives_add_up_and_orders_are_repeated_in_each() {
        let truth = record().truth_by(&lives());
        let check = |meter: &str, ordered, lower, upper| {
            let found = truth.iter().find(|truth| truth.meter.name == meter).unwrap();
            assert_eq!((found.ordered, found.libvirt), (ordered, Bounds { lower, upper }), "{meter}");
        };
        check("running_ms", None, 18_000, 22_000);
        check("vcpu_ms", None, 2 * 18_000, 2 * 23_000);
        check("memory_kib_s", None, 18_000, 23_000);
        check("cpu_ns", None, 10_000_000_018 - 2 * TICKS_NS, 10_000_000_018 + 2 * TICKS_NS);
        let mut killed = record();
        killed.plan = &GUESTS[0];
        assert_eq!(killed.cpu(), Bounds::around(10_000_000_018, 2 * HELD_STILL_NS));
        let mut far = record();
        far.plan = GUESTS.iter().find(|plan| plan.site == Site::Far && plan.play == Play::Killed).unwrap();
        assert_eq!(far.cpu(), killed.cpu(), "a node in a network namespace is held to the same");
        check("provisioned_kib_s", None, 2 * 8, 2 * 13);
        check("disk_write_bytes", Some(Ordered::Exactly(8 * MIB)), 6, 6);
        check("disk_write_ops", Some(Ordered::Exactly(8)), 8, 8);
        check("disk_read_bytes", Some(Ordered::Exactly(4 * MIB + 2 * BOOT_READ_BYTES)), 2, 2);
        check("disk_read_ops", Some(Ordered::Exactly(4 + 2 * BOOT_READ_OPS)), 4, 4);
        check("net_rx_bytes", Some(Ordered::AtLeast(0)), 14, 14);
        check("net_tx_bytes", Some(Ordered::AtLeast(0)), 16, 16);
    }
}
