//! From libvirt's typed parameters and a description to figures of a run.
//!
//! Everything here is a pure conversion. libvirt 9.0 reports, for a domain that does not run, the CPU time of
//! whatever cgroup it happens to ask: figures of such a domain are never looked at.

use metering::{DiskRegisters, NicRegisters};

use super::ffi::{DomainRecord, Params, Value};
use super::xml::{Description, DiskDescription};
use crate::observation::{Figures, ObservedDisk, ObservedNic};

/// More devices than any guest has; a bound for a count that comes from outside.
const MAX_DEVICES: u64 = 4_096;

/// What state a domain is in, as far as metering must tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It executes.
    Executing,
    /// Its process exists and does not execute.
    Suspended,
    /// No process.
    Off,
}

/// libvirt's state (`virDomainState`), together with whether it has a run. `None`: not given.
pub fn state(record: &DomainRecord) -> Option<State> {
    let state = u32::try_from(number(&record.params, "state.state")?).ok()?;
    Some(match (record.id, state) {
        (None, _) | (_, virt_sys::VIR_DOMAIN_SHUTOFF) => State::Off,
        // A guest that is shutting down still executes; "blocked" waits for something of its own.
        (_, virt_sys::VIR_DOMAIN_RUNNING | virt_sys::VIR_DOMAIN_BLOCKED | virt_sys::VIR_DOMAIN_SHUTDOWN) => {
            State::Executing
        }
        _ => State::Suspended,
    })
}

/// Whether it is paused for a migration: about to go away, or not here yet. libvirt 9.0 shows one that comes in as starting
/// up, as it shows one that is being started.
pub fn is_moving(record: &DomainRecord) -> bool {
    let reasons = [
        virt_sys::VIR_DOMAIN_PAUSED_MIGRATION,
        virt_sys::VIR_DOMAIN_PAUSED_STARTING_UP,
        virt_sys::VIR_DOMAIN_PAUSED_POSTCOPY,
    ];
    let reason = number(&record.params, "state.reason").and_then(|reason| u32::try_from(reason).ok());
    state(record) == Some(State::Suspended) && reason.is_some_and(|reason| reasons.contains(&reason))
}

/// Whether it gave nothing of what libvirt asks its process for, in answer to a question for everything. libvirt 9.0 leaves
/// out `balloon.rss` with the figures of the monitor, though it does not come from there.
pub fn is_silent(record: &DomainRecord) -> bool {
    let blocks = disk_list(&record.params).and_then(|disks| disks.counted);
    number(&record.params, "balloon.rss").is_none() && blocks.is_none()
}

/// The figures of a domain that runs.
pub fn figures(params: &Params, description: &Description) -> Figures {
    let vcpus = number(params, "vcpu.current").and_then(|count| u32::try_from(count).ok());
    Figures {
        cpu_ns: number(params, "cpu.time"),
        vcpus,
        memory_kib: number(params, "balloon.current"),
        disks: disks(params, description),
        nics: nics(params, description),
    }
}

/// The devices of one kind that the figures name, to notice a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices {
    names: Vec<String>,
    /// All their counters in one sum: when it falls, something was unplugged and plugged in again. `None`: not given.
    counted: Option<u128>,
}

impl Devices {
    /// Whether these are still the same attachments, as far as can be seen; remembers what is seen now.
    pub fn go_on(known: &mut Option<Self>, seen: Option<Self>) -> bool {
        let Some(mut seen) = seen else {
            return true;
        };
        let is_same = known.as_ref().is_none_or(|known| {
            let has_fallen =
                matches!((known.counted, seen.counted), (Some(before), Some(after)) if after < before);
            known.names == seen.names && !has_fallen
        });
        seen.counted = seen.counted.or(known.as_ref().and_then(|known| known.counted));
        *known = Some(seen);
        is_same
    }
}

/// The disks that the figures name, by name and source or attachment; `None`: they were not asked for.
pub fn disk_list(params: &Params) -> Option<Devices> {
    number(params, "block.count")?;
    let all = || indices(params, "block.count");
    let name = |n: u64| {
        ["name", "path", "backingIndex"]
            .map(|field| format!("{:?}", params.get(&format!("block.{n}.{field}"))))
    };
    let counted = sum(params, "block", all(), &["rd.bytes", "wr.bytes", "rd.reqs", "wr.reqs"]);
    Some(Devices { names: all().flat_map(name).collect(), counted })
}

/// The NICs that the figures name; `None`: they were not asked for.
pub fn nic_list(params: &Params) -> Option<Devices> {
    number(params, "net.count")?;
    let all = || indices(params, "net.count");
    let name = |n: u64| format!("{:?}", params.get(&format!("net.{n}.name")));
    let counted = sum(params, "net", all(), &["rx.bytes", "tx.bytes"]);
    Some(Devices { names: all().map(name).collect(), counted })
}

/// `None`: not one was given.
fn sum(params: &Params, group: &str, all: std::ops::Range<u64>, fields: &[&str]) -> Option<u128> {
    let one = |n| fields.iter().filter_map(move |field| number(params, &format!("{group}.{n}.{field}")));
    all.flat_map(one).map(u128::from).reduce(|sum, figure| sum + figure)
}

/// The disks of a domain that pauses, with what the figures alone say of them.
pub fn disks_alone(params: &Params) -> Vec<ObservedDisk> {
    disks(params, &Description::default())
}

/// Target, source and capacity in bytes of each disk; libvirt gives them for domains that are off, too.
pub fn capacities(params: &Params) -> Vec<(String, String, Option<u64>)> {
    indices(params, "block.count")
        .filter_map(|n| {
            let of = |field: &str| format!("block.{n}.{field}");
            let target = text(params, &of("name"))?;
            let path = text(params, &of("path")).unwrap_or_default();
            Some((target, path, number(params, &of("capacity"))))
        })
        .collect()
}

fn disks(params: &Params, description: &Description) -> Vec<ObservedDisk> {
    let mut disks: Vec<ObservedDisk> = Vec::new();
    for n in indices(params, "block.count") {
        let Some(target) = text(params, &format!("block.{n}.name")) else {
            continue;
        };
        // The first entry of a name is the disk; further ones would be images below it.
        if disks.iter().any(|disk| disk.target == target) {
            continue;
        }
        let described = description.disks.iter().find(|disk| disk.target == target);
        disks.push(disk(params, n, target, described));
    }
    disks
}

fn disk(params: &Params, n: u64, target: String, described: Option<&DiskDescription>) -> ObservedDisk {
    let of = |field: &str| number(params, &format!("block.{n}.{field}"));
    let registers = || {
        Some(DiskRegisters {
            read_bytes: of("rd.bytes")?,
            write_bytes: of("wr.bytes")?,
            read_ops: of("rd.reqs")?,
            write_ops: of("wr.reqs")?,
            // Not every kind of disk knows flushes.
            flush_ops: of("fl.reqs").unwrap_or(0),
        })
    };
    let described_source = || described.map(|disk| disk.source.clone());
    ObservedDisk {
        target,
        source: text(params, &format!("block.{n}.path")).or_else(described_source).unwrap_or_default(),
        mark: of("backingIndex"),
        relatives: described.map(|disk| disk.relatives.clone()).unwrap_or_default(),
        is_removable: described.is_some_and(|disk| disk.is_removable),
        registers: registers(),
    }
}

/// libvirt's `rx` is what the guest received, for every type of NIC: on a tap, whose host side counts the
/// other way round, it swaps (`virNetDevTapInterfaceStats`); on a macvtap (`direct`), which counts like the
/// guest, it does not (`virDomainNetTypeSharesHostView`). So nothing is swapped here.
fn nics(params: &Params, description: &Description) -> Vec<ObservedNic> {
    let counted: Vec<(String, Option<NicRegisters>)> = indices(params, "net.count")
        .filter_map(|n| Some((text(params, &format!("net.{n}.name"))?, nic_registers(params, n))))
        .collect();
    description
        .nics
        .iter()
        .map(|nic| {
            let of_nic = counted.iter().find(|(name, _)| Some(name) == nic.host_device.as_ref());
            // A passed-through NIC may name a device of the host that is not counted for the guest.
            let is_passed_through = nic.kind == "hostdev" && of_nic.is_none();
            ObservedNic {
                mac: nic.mac.clone(),
                host_device: nic.host_device.clone().filter(|_| !is_passed_through),
                registers: of_nic.and_then(|(_, registers)| *registers),
            }
        })
        .collect()
}

fn nic_registers(params: &Params, n: u64) -> Option<NicRegisters> {
    let of = |field: &str| number(params, &format!("net.{n}.{field}"));
    Some(NicRegisters {
        rx_bytes: of("rx.bytes")?,
        tx_bytes: of("tx.bytes")?,
        rx_packets: of("rx.pkts")?,
        tx_packets: of("tx.pkts")?,
    })
}

fn indices(params: &Params, count: &str) -> std::ops::Range<u64> {
    0..number(params, count).unwrap_or(0).min(MAX_DEVICES)
}

fn number(params: &Params, name: &str) -> Option<u64> {
    match params.get(name)? {
        Value::Unsigned(value) => Some(*value),
        Value::Text(_) => None,
    }
}

fn text(params: &Params, name: &str) -> Option<String> {
    match params.get(name)? {
        Value::Text(value) => Some(value.clone()),
        Value::Unsigned(_) => None,
    }
}
