//! What libvirt itself says about a guest, read as an outside user would: by virsh. The other side of every comparison.
//!
//! Whole numbers only, keyed by MAC and by disk target. A figure that virsh did not print is absent, never zero.
//! It does not use any of Weir's own reading code, on purpose.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::Serialize;

use crate::place::Place;

/// Whether a guest runs, by `state.state` of virsh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It runs (or waits for input).
    Running,
    /// It is suspended.
    Paused,
    /// It does not run.
    Off,
    /// Anything else (shutting down, crashed), with libvirt's number.
    Other(u64),
}

/// Counters of one NIC since it was plugged in, in the guest's view.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct NicFigures {
    /// Bytes that the guest received.
    pub rx_bytes: u64,
    /// Packets that the guest received.
    pub rx_packets: u64,
    /// Bytes that the guest sent.
    pub tx_bytes: u64,
    /// Packets that the guest sent.
    pub tx_packets: u64,
}

/// Counters of one disk since it was plugged in, and its sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DiskFigures {
    /// Bytes read by firmware and guest.
    pub read_bytes: u64,
    /// Read requests.
    pub read_ops: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Write requests.
    pub write_ops: u64,
    /// Size that the guest sees, bytes.
    pub capacity_bytes: u64,
}

/// All figures of one guest at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// The guest's name.
    pub name: String,
    /// When virsh was asked.
    pub asked_at: Timestamp,
    /// When virsh had answered: the figures were true at some instant between the two.
    pub answered_at: Timestamp,
    /// Whether it runs.
    pub state: RunState,
    /// CPU time of the whole guest, ns.
    pub cpu_ns: Option<u64>,
    /// Virtual CPUs.
    pub vcpus: Option<u64>,
    /// Memory that the host gives, KiB.
    pub memory_kib: Option<u64>,
    /// By MAC address, lower case.
    pub nics: BTreeMap<String, NicFigures>,
    /// By target (`vda`).
    pub disks: BTreeMap<String, DiskFigures>,
}

impl AddAssign for NicFigures {
    fn add_assign(&mut self, other: Self) {
        self.rx_bytes += other.rx_bytes;
        self.rx_packets += other.rx_packets;
        self.tx_bytes += other.tx_bytes;
        self.tx_packets += other.tx_packets;
    }
}

/// Asks virsh for one guest's figures now.
pub fn figures(name: &str) -> Result<Figures> {
    figures_at(&Place::default(), name)
}

/// Asks virsh for one guest's figures now, on the node given.
pub fn figures_at(place: &Place, name: &str) -> Result<Figures> {
    let asked_at = Timestamp::now();
    // Only the groups needed: each further one is work for QEMU, which the guest pays.
    let groups = ["--state", "--cpu-total", "--balloon", "--vcpu", "--interface", "--block"];
    let stats = place.virsh(&[&["domstats", "--raw"], groups.as_slice(), &[name]].concat())?;
    let answered_at = Timestamp::now();
    let interfaces = place.virsh(&["domiflist", name])?;
    parse(&stats, &interfaces, asked_at, answered_at)
        .with_context(|| format!("cannot understand virsh about {name}"))
}

/// When the process of a running guest began, by the kernel, to a hundredth of a second.
pub fn process_started_at(name: &str) -> Result<Timestamp> {
    process_started_at_on(&Place::default(), name)
}

/// Like [`process_started_at`], on the node given.
pub fn process_started_at_on(place: &Place, name: &str) -> Result<Timestamp> {
    let pid = place.guest_pid(name)?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("its process is gone")?;
    let uptime = std::fs::read_to_string("/proc/uptime").context("cannot read /proc/uptime")?;
    let age_ms =
        process_age_ms(&stat, &uptime).with_context(|| format!("cannot understand /proc about {name}"))?;
    Ok(Timestamp::from_millisecond(Timestamp::now().as_millisecond() - age_ms)?)
}

/// The CPU time of a process with all its threads, also those that ended, in ns: by its own clock in the kernel.
pub fn process_cpu_ns(pid: i32) -> Result<u64> {
    let mut clock = 0;
    // SAFETY: the kernel writes one clock id to the place given, which is valid for it.
    let refused = unsafe { libc::clock_getcpuclockid(pid, &mut clock) };
    if refused != 0 {
        bail!("process {pid} has no clock: {}", std::io::Error::from_raw_os_error(refused));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec to the place given, which is valid for it.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(std::io::Error::last_os_error()).with_context(|| format!("process {pid} has no time"));
    }
    Ok(u64::try_from(time.tv_sec)? * 1_000_000_000 + u64::try_from(time.tv_nsec)?)
}

/// Field 22 of /proc/PID/stat is the start in ticks of 10 ms after boot; /proc/uptime begins with `seconds.hundredths`.
fn process_age_ms(stat: &str, uptime: &str) -> Option<i64> {
    // The second field is the program's name in brackets, which may hold spaces and brackets.
    let started: i64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let (seconds, hundredths) = uptime.split_whitespace().next()?.split_once('.')?;
    let now = seconds.parse::<i64>().ok()? * 100 + hundredths.parse::<i64>().ok()?;
    Some((now - started) * 10)
}

/// Understands `virsh domstats --raw` of one guest, and `virsh domiflist` for the MACs.
pub fn parse(stats: &str, interfaces: &str, asked_at: Timestamp, answered_at: Timestamp) -> Result<Figures> {
    let record = Record::parse(stats)?;
    let macs = macs_by_interface(interfaces);
    let mut nics = BTreeMap::new();
    for index in 0..record.number("net.count").unwrap_or(0) {
        let key = |suffix: &str| record.number(&format!("net.{index}.{suffix}"));
        // A NIC without a host interface (a passed-through device) has no counters; one that is going away has no MAC.
        let mac = record.text(&format!("net.{index}.name")).and_then(|interface| macs.get(interface));
        let (Some(mac), Some(rx_bytes), Some(tx_bytes)) = (mac, key("rx.bytes"), key("tx.bytes")) else {
            continue;
        };
        let (rx_packets, tx_packets) = (key("rx.pkts").unwrap_or(0), key("tx.pkts").unwrap_or(0));
        nics.insert(mac.clone(), NicFigures { rx_bytes, rx_packets, tx_bytes, tx_packets });
    }
    let mut disks = BTreeMap::new();
    for index in 0..record.number("block.count").unwrap_or(0) {
        let key = |suffix: &str| record.number(&format!("block.{index}.{suffix}"));
        let Some(target) = record.text(&format!("block.{index}.name")) else {
            continue;
        };
        let (Some(read_bytes), Some(read_ops), Some(write_bytes), Some(write_ops)) =
            (key("rd.bytes"), key("rd.reqs"), key("wr.bytes"), key("wr.reqs"))
        else {
            continue;
        };
        let capacity_bytes = key("capacity").unwrap_or(0);
        disks.insert(
            target.to_owned(),
            DiskFigures { read_bytes, read_ops, write_bytes, write_ops, capacity_bytes },
        );
    }
    Ok(Figures {
        asked_at,
        answered_at,
        state: match record.number("state.state").context("no state.state")? {
            1 | 2 => RunState::Running,
            3 => RunState::Paused,
            5 => RunState::Off,
            other => RunState::Other(other),
        },
        cpu_ns: record.number("cpu.time"),
        vcpus: record.number("vcpu.current"),
        memory_kib: record.number("balloon.current"),
        nics,
        disks,
        name: record.name,
    })
}

struct Record {
    name: String,
    fields: BTreeMap<String, String>,
}

impl Record {
    fn parse(stats: &str) -> Result<Self> {
        let mut lines = stats.lines().map(str::trim).filter(|line| !line.is_empty());
        let head = lines.next().context("virsh printed nothing")?;
        let name = head.strip_prefix("Domain: '").and_then(|rest| rest.strip_suffix('\''));
        let name = name.with_context(|| format!("`{head}` names no guest"))?.to_owned();
        let mut fields = BTreeMap::new();
        for line in lines {
            let Some((key, value)) = line.split_once('=') else { bail!("`{line}` is not key=value") };
            fields.insert(key.to_owned(), value.to_owned());
        }
        Ok(Self { name, fields })
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }
}

/// `virsh domiflist`: interface, type, source, model, MAC. A guest that is off has `-` for the interface.
fn macs_by_interface(listed: &str) -> BTreeMap<String, String> {
    let rows = listed.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (interface, mac) = (words.first()?, words.last()?);
        let is_mac = mac.len() == 17 && mac.split(':').count() == 6;
        (is_mac && *interface != "-").then(|| ((*interface).to_owned(), mac.to_ascii_lowercase()))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATS: &str = "Domain: 'a'\n  state.state=1\n  state.reason=5\n  cpu.time=7333217000\n  balloon.current=131072\n  \
        balloon.rss=239868\n  vcpu.current=1\n  net.count=2\n  net.0.name=vnet3\n  net.0.rx.bytes=5252483\n  \
        net.0.rx.pkts=121\n  net.0.tx.bytes=5805\n  net.0.tx.pkts=66\n  block.count=1\n  block.0.name=vda\n  \
        block.0.path=/a=b.qcow2\n  block.0.rd.reqs=2\n  block.0.rd.bytes=4608\n  block.0.wr.reqs=32\n  \
        block.0.wr.bytes=33554432\n  block.0.capacity=67108864\n\n";
    const INTERFACES: &str =
        " vnet3   network   n   virtio   52:54:00:AA:bb:01\n -   hostdev   -   -   52:54:00:aa:bb:02\n";

    fn figures_of(stats: &str) -> Result<Figures> {
        parse(stats, INTERFACES, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn figures_are_keyed_by_mac_and_by_target() {
        let figures = figures_of(STATS).unwrap();
        assert_eq!((figures.name.as_str(), figures.state), ("a", RunState::Running));
        assert_eq!(
            (figures.cpu_ns, figures.vcpus, figures.memory_kib),
            (Some(7_333_217_000), Some(1), Some(131_072))
        );
        let nic = NicFigures { rx_bytes: 5_252_483, rx_packets: 121, tx_bytes: 5805, tx_packets: 66 };
        assert_eq!(figures.nics, BTreeMap::from([("52:54:00:aa:bb:01".to_owned(), nic)]));
        let disk = figures.disks["vda"];
        assert_eq!((disk.read_bytes, disk.read_ops), (4608, 2));
        assert_eq!((disk.write_bytes, disk.write_ops, disk.capacity_bytes), (33_554_432, 32, 67_108_864));
    }

    #[test]
    fn a_guest_that_is_off_has_no_counters_instead_of_zeros() {
        let figures =
            figures_of("Domain: 'a'\n  state.state=5\n  block.count=1\n  block.0.name=vda\n").unwrap();
        assert_eq!(figures.state, RunState::Off);
        assert_eq!((figures.cpu_ns, figures.nics.len(), figures.disks.len()), (None, 0, 0));
    }

    #[test]
    fn the_age_of_a_process_is_found_behind_any_name() {
        let stat =
            "7 (qemu (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 5 6 0 0 20 0 4 0 12345 100 10 18446744073709551615";
        assert_eq!(process_age_ms(stat, "130.45 250.00\n"), Some(7_000));
        assert_eq!(process_age_ms("nonsense", "130.45 250.00\n"), None);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for stats in
            ["", "nonsense", "Domain: 'a'\n", "Domain: 'a'\n  state.state=x\n", "Domain: 'a'\n  state\n"]
        {
            assert!(figures_of(stats).is_err(), "{stats:?}");
        }
    }
}
