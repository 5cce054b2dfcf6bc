//! What a throttled instance may do at most, and what it may do otherwise. Pure: what is there is read and what is wanted is set
//! by `libvirt`; who is throttled and for how long is the caller's.
//!
//! Bounds are set on the running instance alone, never in its definition: an instance that starts anew is as it was
//! before, and is throttled again by whoever keeps it so. What was before is kept by the caller ([`Throttle`] is serialised for
//! that), so that it can be set back by another process than the one that changed it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The period of a processor quota where none is set: the kernel's and libvirt's own default, in microseconds.
const PERIOD_US: u64 = 100_000;
/// The least quota that libvirt takes, in microseconds.
const QUOTA_MIN_US: u64 = 1_000;

/// What a throttled instance may do at most. 0: no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes per second, read and written together, of each disk.
    pub disk_bytes_s: u64,
    /// Requests per second, of each disk.
    pub disk_ops_s: u64,
    /// KiB per second in each direction, of each NIC.
    pub nic_kib_s: u32,
    /// Part of a processor that each vCPU gets, in percent.
    pub vcpu_percent: u32,
}

/// What bounds an instance: by target, by MAC address, and its vCPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// Its disks.
    pub disks: BTreeMap<String, DiskRate>,
    /// Its NICs.
    pub nics: BTreeMap<String, NicRate>,
    /// Its vCPUs.
    pub vcpus: VcpuRate,
}

/// Of a disk, a second; 0: no bound. Total excludes read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRate {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Requests in all.
    pub total_ops: u64,
    /// Read requests.
    pub read_ops: u64,
    /// Write requests.
    pub write_ops: u64,
}

/// Of a NIC, in KiB per second (burst: KiB); 0: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicRate {
    /// To the guest.
    pub inbound: Flow,
    /// From the guest.
    pub outbound: Flow,
}

/// One direction of a NIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// On average.
    pub average: u32,
    /// At most, for as long as the burst lasts.
    pub peak: u32,
    /// So much at peak.
    pub burst: u32,
}

/// Of each vCPU, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VcpuRate {
    /// Within each period; 0: no bound.
    pub quota: u64,
    /// 0: libvirt's own.
    pub period: u64,
}

/// What a throttled instance was bound by before, and is bound by now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// What is set back.
    pub before: Rates,
    /// What is set.
    pub set: Rates,
}

impl Throttle {
    /// What is to be set on an instance that is bound by `found` now and was throttled by `self` before, if it was. What is found and
    /// was not set by us is what is set back one day: somebody has changed it meanwhile, or the guest was started anew.
    #[must_use]
    pub fn renewed(&self, found: &Rates, bounds: &Bounds) -> Self {
        let mut next = Self::default();
        for (target, disk) in &found.disks {
            let is_ours = self.set.disks.get(target) == Some(disk);
            let before = self.before.disks.get(target).filter(|_| is_ours).unwrap_or(disk);
            next.before.disks.insert(target.clone(), *before);
            next.set.disks.insert(target.clone(), before.within(bounds));
        }
        for (mac, nic) in &found.nics {
            let is_ours = self.set.nics.get(mac) == Some(nic);
            let before = self.before.nics.get(mac).filter(|_| is_ours).unwrap_or(nic);
            next.before.nics.insert(mac.clone(), *before);
            next.set.nics.insert(mac.clone(), before.within(bounds));
        }
        let is_ours = self.set.vcpus == found.vcpus && 0 < found.vcpus.quota;
        next.before.vcpus = if is_ours { self.before.vcpus } else { found.vcpus };
        next.set.vcpus = next.before.vcpus.within(bounds);
        next
    }

    /// What is to be set so that it is over: what was before, where there is still what was set.
    #[must_use]
    pub fn undone(&self, found: &Rates) -> Rates {
        let mut back = found.clone();
        for (target, disk) in &mut back.disks {
            if self.set.disks.get(target) == Some(disk) {
                *disk = self.before.disks.get(target).copied().unwrap_or_default();
            }
        }
        for (mac, nic) in &mut back.nics {
            if self.set.nics.get(mac) == Some(nic) {
                *nic = self.before.nics.get(mac).copied().unwrap_or_default();
            }
        }
        if self.set.vcpus == back.vcpus {
            back.vcpus = self.before.vcpus;
        }
        back
    }
}

/// The smaller of a bound that holds and one that is wanted; 0 is none.
fn least<T: Ord + Copy + Default>(holds: T, wanted: T) -> T {
    match (holds == T::default(), wanted == T::default()) {
        (true, _) => wanted,
        (_, true) => holds,
        _ => holds.min(wanted),
    }
}

impl DiskRate {
    /// The same, within the bounds. What bounded reading and writing apart still does.
    fn within(self, bounds: &Bounds) -> Self {
        let mut rate = self;
        if self.read_bytes == 0 && self.write_bytes == 0 {
            rate.total_bytes = least(self.total_bytes, bounds.disk_bytes_s);
        } else {
            rate.read_bytes = least(self.read_bytes, bounds.disk_bytes_s);
            rate.write_bytes = least(self.write_bytes, bounds.disk_bytes_s);
        }
        if self.read_ops == 0 && self.write_ops == 0 {
            rate.total_ops = least(self.total_ops, bounds.disk_ops_s);
        } else {
            rate.read_ops = least(self.read_ops, bounds.disk_ops_s);
            rate.write_ops = least(self.write_ops, bounds.disk_ops_s);
        }
        rate
    }
}

impl NicRate {
    fn within(self, bounds: &Bounds) -> Self {
        let flow = |flow: Flow| {
            let average = least(flow.average, bounds.nic_kib_s);
            // A burst above the average would be what the throttle takes away.
            if average == flow.average { flow } else { Flow { average, peak: 0, burst: 0 } }
        };
        Self { inbound: flow(self.inbound), outbound: flow(self.outbound) }
    }
}

impl VcpuRate {
    fn within(self, bounds: &Bounds) -> Self {
        if bounds.vcpu_percent == 0 {
            return self;
        }
        let period = if self.period == 0 { PERIOD_US } else { self.period };
        let wanted = (period * u64::from(bounds.vcpu_percent) / 100).max(QUOTA_MIN_US);
        Self { quota: least(self.quota, wanted), period }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { disk_bytes_s: 1_000, disk_ops_s: 100, nic_kib_s: 128, vcpu_percent: 20 };

    fn found(disk: DiskRate) -> Rates {
        Rates { disks: BTreeMap::from([("vda".to_owned(), disk)]), ..Rates::default() }
    }

    fn total(total_bytes: u64) -> DiskRate {
        DiskRate { total_bytes, ..DiskRate::default() }
    }

    #[test]
    fn a_throttle_never_gives_more_than_there_was() {
        let check = |before: DiskRate, expected: DiskRate| {
            let set = Throttle::default().renewed(&found(before), &BOUNDS).set.disks["vda"];
            assert_eq!(set, expected, "{before:?}");
        };
        let rate = |total_bytes, read_bytes, write_bytes, total_ops| DiskRate {
            total_bytes,
            read_bytes,
            write_bytes,
            total_ops,
            ..DiskRate::default()
        };
        check(rate(0, 0, 0, 0), rate(1_000, 0, 0, 100));
        check(rate(5_000, 0, 0, 0), rate(1_000, 0, 0, 100));
        check(rate(500, 0, 0, 50), rate(500, 0, 0, 50));
        check(rate(0, 500, 0, 0), rate(0, 500, 1_000, 100));
        let vcpus = |quota, period| VcpuRate { quota, period };
        assert_eq!(vcpus(0, 0).within(&BOUNDS), vcpus(20_000, 100_000));
        assert_eq!(vcpus(5_000, 50_000).within(&BOUNDS), vcpus(5_000, 50_000));
        assert_eq!(vcpus(40_000, 50_000).within(&BOUNDS), vcpus(10_000, 50_000));
        assert_eq!(vcpus(0, 2_000).within(&BOUNDS), vcpus(1_000, 2_000));
        let flow = |average, peak, burst| Flow { average, peak, burst };
        let nic = |inbound, outbound| NicRate { inbound, outbound };
        let within = nic(flow(100, 200, 300), flow(0, 0, 0)).within(&BOUNDS);
        assert_eq!(within, nic(flow(100, 200, 300), flow(128, 0, 0)));
        assert_eq!(nic(flow(1_000, 2_000, 9), flow(0, 0, 0)).within(&BOUNDS).inbound, flow(128, 0, 0));
    }

    #[test]
    fn what_was_before_is_known_after_a_restart_a_change_of_bounds_and_somebody_elses_change() {
        let first = Throttle::default().renewed(&found(total(5_000)), &BOUNDS);
        // Somebody died between the note and the deed: nothing was set yet.
        assert_eq!(first.renewed(&found(total(5_000)), &BOUNDS), first);
        // It was set, and is looked at again, also with other bounds.
        assert_eq!(first.renewed(&first.set, &BOUNDS), first);
        let tighter = first.renewed(&first.set, &Bounds { disk_bytes_s: 10, ..BOUNDS });
        assert_eq!((tighter.before.disks["vda"], tighter.set.disks["vda"].total_bytes), (total(5_000), 10));
        // The guest was started anew with other bounds, or somebody has changed them.
        let anew = first.renewed(&found(total(7_000)), &BOUNDS);
        assert_eq!(anew.before.disks["vda"], total(7_000));
        // A disk came, and another one went.
        let mut changed = first.set.clone();
        let disk = changed.disks.remove("vda").unwrap();
        changed.disks.insert("vdb".to_owned(), total(0));
        let next = first.renewed(&changed, &BOUNDS);
        assert_eq!(next.before.disks.keys().collect::<Vec<_>>(), ["vdb"]);
        assert_eq!(next.set.disks["vdb"], DiskRate { total_ops: 100, ..total(1_000) });
        assert_eq!(disk.total_bytes, 1_000);
    }

    #[test]
    fn what_is_over_is_as_before_and_what_somebody_else_has_set_stays() {
        let throttle = Throttle::default().renewed(&found(total(5_000)), &BOUNDS);
        assert_eq!(throttle.undone(&throttle.set).disks["vda"], total(5_000));
        assert_eq!(throttle.undone(&throttle.set).vcpus, VcpuRate::default());
        assert_eq!(throttle.undone(&found(total(9))).disks["vda"], total(9));
        let text = serde_json::to_string(&throttle).unwrap();
        assert_eq!(serde_json::from_str::<Throttle>(&text).unwrap(), throttle);
    }

    #[test]
    fn without_bounds_nothing_changes() {
        let none = Bounds { disk_bytes_s: 0, disk_ops_s: 0, nic_kib_s: 0, vcpu_percent: 0 };
        let throttle = Throttle::default().renewed(&found(total(5_000)), &none);
        assert_eq!(throttle.before, throttle.set);
    }
}
