//! The play: three guests of two tenants, their orders, and what is done to them while they are metered.
//!
//! It records libvirt's own figures just before everything that ends a counter. A guest has done all its orders by then
//! and is shielded from others' broadcasts, so that those figures are the last ones.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::Deserialize;

use super::Interrupt;
use super::show::{GuestLine, Show};
use super::stage::Platform;
use super::weir::Weir;
use crate::guest_image::GuestImage;
use crate::network;
use crate::orders::{MIB, Order, Orders};
use crate::process::virsh;
use crate::truth::{DiskFigures, Figures, NicFigures, figures, process_started_at};

/// How long a guest may take for its orders; under software emulation it takes 20 s.
const WORK_LIMIT: Duration = Duration::from_secs(120);
/// How long its figures may take to stand still afterwards.
const QUIET_LIMIT: Duration = Duration::from_secs(30);
/// How long libvirt may know nothing of a guest that works.
const GONE_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks at a working guest. QEMU answers them in the guest's own time, so they are rare.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long the restarted guest is off.
const OFF_TIME: Duration = Duration::from_secs(3);

/// What happens to a guest besides its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Play {
    /// Nothing.
    Steady,
    /// It is stopped and started again halfway.
    Restarted,
    /// A second disk and NIC are plugged in, used, and unplugged.
    Hotplugged,
}

/// One guest: what it is and what it does in each of its lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct GuestPlan {
    pub(super) name: &'static str,
    pub(super) tenant: &'static str,
    pub(super) vcpus: u64,
    pub(super) memory_mib: u64,
    pub(super) disk_mib: u64,
    write_mib: u64,
    read_mib: u64,
    fetch_mib: u64,
    send_mib: u64,
    burn_s: u64,
    pub(super) play: Play,
}

/// The guests, tenants together.
pub(super) const GUESTS: [GuestPlan; 3] = [
    GuestPlan {
        name: "weir-demo-web",
        tenant: "alder",
        vcpus: 1,
        memory_mib: 128,
        disk_mib: 64,
        write_mib: 24,
        read_mib: 8,
        fetch_mib: 9,
        send_mib: 2,
        burn_s: 6,
        play: Play::Steady,
    },
    GuestPlan {
        name: "weir-demo-batch",
        tenant: "alder",
        vcpus: 2,
        memory_mib: 160,
        disk_mib: 96,
        write_mib: 32,
        read_mib: 16,
        fetch_mib: 3,
        send_mib: 1,
        burn_s: 4,
        play: Play::Restarted,
    },
    GuestPlan {
        name: "weir-demo-store",
        tenant: "birch",
        vcpus: 1,
        memory_mib: 144,
        disk_mib: 64,
        write_mib: 12,
        read_mib: 2,
        fetch_mib: 5,
        send_mib: 1,
        burn_s: 2,
        play: Play::Hotplugged,
    },
];

/// Size and work of the disk and NIC that are plugged in.
const PLUGGED_DISK_MIB: u64 = 48;
const PLUGGED_WRITE_MIB: u64 = 20;
const PLUGGED_READ_MIB: u64 = 4;
const PLUGGED_FETCH_MIB: u64 = 4;

/// Everything that all guests share.
pub(super) struct Set<'a> {
    pub(super) weir: &'a Weir,
    pub(super) image: &'a GuestImage,
    pub(super) platform: &'a Platform,
    pub(super) interrupt: &'a Interrupt,
    pub(super) meter_until: Instant,
}

/// An instant known up to the two ends.
pub(super) type Between = (Timestamp, Timestamp);

/// A volume from creation to deletion.
#[derive(Debug, Clone)]
pub(super) struct VolumeRecord {
    pub(super) volume: String,
    pub(super) capacity_bytes: u64,
    pub(super) created: Between,
    pub(super) deleted: Option<Between>,
}

/// The end of one life.
#[derive(Debug, Clone)]
pub(super) struct LifeEnd {
    /// libvirt's figures just before the stop.
    pub(super) before: Figures,
    /// When the guest's process began.
    pub(super) process_started: Timestamp,
    /// When `weir instance stop` had returned.
    pub(super) stopped: Timestamp,
}

/// What was done to one guest, and libvirt's last figures of everything it had.
#[derive(Debug, Clone)]
pub(super) struct GuestRecord {
    pub(super) plan: &'static GuestPlan,
    pub(super) instance_id: String,
    pub(super) libvirt_name: String,
    pub(super) orders: Orders,
    pub(super) lives: Vec<LifeEnd>,
    /// By target, each time it was unplugged or the guest stopped.
    pub(super) disks: Vec<(String, DiskFigures)>,
    /// By guest's name of the NIC.
    pub(super) nics: Vec<(String, NicFigures)>,
    pub(super) volumes: Vec<VolumeRecord>,
}

#[derive(Deserialize)]
struct Created {
    instance_id: String,
    disks: Vec<DiskMade>,
    nics: Vec<NicMade>,
}

#[derive(Deserialize)]
struct DiskMade {
    target: String,
    volume: String,
    capacity_bytes: u64,
}

#[derive(Deserialize)]
struct NicMade {
    mac: String,
}

/// Plays all guests at once, to their deletion.
pub(super) fn play(set: &Set<'_>, show: &Show) -> Result<Vec<GuestRecord>> {
    std::thread::scope(|scope| {
        let actors = GUESTS.each_ref().map(|plan| {
            let line = show.guest(plan.name);
            scope.spawn(move || {
                let record = Actor { set, plan, line }.perform();
                if record.is_err() {
                    set.interrupt.fail();
                }
                record.with_context(|| format!("guest {}", plan.name))
            })
        });
        let mut outcomes: Vec<_> = actors
            .into_iter()
            .map(|actor| actor.join().unwrap_or_else(|_| bail!("a guest's thread panicked")))
            .collect();
        // The first cause is of interest, not those who ended because of it.
        if let Some(cause) = outcomes.iter().position(|outcome| {
            outcome
                .as_ref()
                .is_err_and(|error| !error.root_cause().to_string().contains("another guest failed"))
        }) {
            return outcomes.swap_remove(cause).map(|record| vec![record]);
        }
        outcomes.into_iter().collect()
    })
}

/// The guest's orders; the same in each life.
fn orders(plan: &GuestPlan, platform: &Platform) -> Orders {
    let server = &platform.server;
    let (vda, eth0) = (|| "vda".to_owned(), || "eth0".to_owned());
    let mut orders = vec![
        Order::Write(vda(), plan.write_mib),
        Order::Fetch(eth0(), server.bytes_url(plan.fetch_mib * MIB)),
        Order::Burn(plan.burn_s),
        Order::Read(vda(), plan.read_mib),
        Order::Send(eth0(), plan.send_mib, server.sink_url()),
        Order::Fetch(eth0(), server.mark_url(&mark(plan, "done"))),
    ];
    if plan.play == Play::Hotplugged {
        let (vdb, eth1) = (|| "vdb".to_owned(), || "eth1".to_owned());
        orders.extend([
            Order::WaitDisk(vdb()),
            Order::Write(vdb(), PLUGGED_WRITE_MIB),
            Order::Read(vdb(), PLUGGED_READ_MIB),
            Order::WaitNic(eth1()),
            Order::Fetch(eth1(), server.bytes_url(PLUGGED_FETCH_MIB * MIB)),
            Order::Fetch(eth1(), server.mark_url(&mark(plan, "plugged"))),
            Order::GoneDisk(vdb()),
        ]);
    }
    Orders::new(orders)
}

fn mark(plan: &GuestPlan, what: &str) -> String {
    format!("{}-{what}", plan.name)
}

struct Actor<'a> {
    set: &'a Set<'a>,
    plan: &'static GuestPlan,
    line: GuestLine<'a>,
}

impl Actor<'_> {
    fn perform(&self) -> Result<GuestRecord> {
        let mut nics = BTreeMap::new();
        let mut record = self.create(&mut nics)?;
        self.work(&record, "at work", "done", 1)?;
        match self.plan.play {
            Play::Steady => {}
            Play::Restarted => {
                self.stop(&mut record, &nics)?;
                self.line.doing("off for a while", "");
                self.set.interrupt.sleep(OFF_TIME)?;
                self.weir(&["instance", "start", self.plan.name])?;
                self.work(&record, "at work again", "done", 2)?;
            }
            Play::Hotplugged => self.plug_and_unplug(&mut record, &mut nics)?,
        }
        self.line.doing("idle until the minute is over", "");
        self.set.interrupt.sleep(self.set.meter_until.saturating_duration_since(Instant::now()))?;
        self.stop(&mut record, &nics)?;
        self.delete(&mut record)?;
        self.line.done("metered, stopped and deleted");
        Ok(record)
    }

    fn create(&self, nics: &mut BTreeMap<String, String>) -> Result<GuestRecord> {
        self.line.doing("created and started", "");
        let (set, plan) = (self.set, self.plan);
        let orders = orders(plan, set.platform);
        let command_line = orders.kernel_command_line()?;
        let path = |path: &std::path::Path| path.to_str().map(str::to_owned).context("a path is not UTF-8");
        let (kernel, initrd) = (path(&set.image.kernel)?, path(&set.image.initrd)?);
        let (vcpus, memory) = (plan.vcpus.to_string(), format!("{}MiB", plan.memory_mib));
        let disk = format!("{}MiB", plan.disk_mib);
        let before = Timestamp::now();
        let made: Created = set.weir.ask(&[
            "instance",
            "create",
            plan.name,
            "--tenant",
            plan.tenant,
            "--vcpus",
            &vcpus,
            "--memory",
            &memory,
            "--kernel",
            &kernel,
            "--initrd",
            &initrd,
            "--cmdline",
            &command_line,
            "--disk",
            &disk,
            "--network",
            set.platform.network.name(),
            "--start",
        ])?;
        let created = (before, Timestamp::now());
        if let [nic] = made.nics.as_slice() {
            nics.insert(nic.mac.to_ascii_lowercase(), "eth0".to_owned());
        }
        let volumes = made.disks.into_iter().map(|disk| volume(disk, created)).collect();
        Ok(GuestRecord {
            plan,
            libvirt_name: libvirt_name(plan.name, &made.instance_id)?,
            instance_id: made.instance_id,
            orders,
            lives: Vec::new(),
            disks: Vec::new(),
            nics: Vec::new(),
            volumes,
        })
    }

    /// Waits until the guest has said for the `count`-th time that it came to `mark`.
    fn work(&self, record: &GuestRecord, what: &str, mark_name: &str, count: u64) -> Result<()> {
        let end = Instant::now() + WORK_LIMIT;
        let mut seen = Instant::now();
        while self.set.platform.server.marks(&mark(self.plan, mark_name)) < count {
            if Instant::now() >= end {
                bail!("it did not finish its orders within {} s", WORK_LIMIT.as_secs());
            }
            // A guest that is just being started has no figures yet.
            match figures(&record.libvirt_name) {
                Ok(now) => {
                    self.line.doing(what, &shown(&now));
                    seen = Instant::now();
                }
                Err(error) if seen.elapsed() >= GONE_LIMIT => return Err(error.context("it is gone")),
                Err(_) => {}
            }
            self.set.interrupt.sleep(LOOK_INTERVAL)?;
        }
        Ok(())
    }

    /// libvirt's figures once they stand still: a broadcast to everybody does not move them any more.
    fn quiet_figures(&self, record: &GuestRecord) -> Result<Figures> {
        self.line.doing("waiting until its counters stand still", "");
        let network = &self.set.platform.network;
        let end = Instant::now() + QUIET_LIMIT;
        loop {
            self.set.interrupt.check()?;
            network::silence(&record.libvirt_name)?;
            let first = figures(&record.libvirt_name)?;
            network.broadcast()?;
            let second = figures(&record.libvirt_name)?;
            if first.disks == second.disks && first.nics == second.nics {
                return Ok(second);
            }
            if Instant::now() >= end {
                bail!("its counters still move {} s after its last order: {second:?}", QUIET_LIMIT.as_secs());
            }
        }
    }

    fn stop(&self, record: &mut GuestRecord, nics: &BTreeMap<String, String>) -> Result<()> {
        let before = self.quiet_figures(record)?;
        let process_started = process_started_at(&record.libvirt_name)?;
        self.line.doing("stopped after a last reading", "");
        self.weir(&["instance", "stop", self.plan.name, "--grace", "0"])?;
        let stopped = Timestamp::now();
        for (mac, nic) in &before.nics {
            let name = nics
                .get(mac)
                .with_context(|| format!("libvirt knows a NIC {mac}, which Weir did not name"))?;
            record.nics.push((name.clone(), *nic));
        }
        record.disks.extend(before.disks.iter().map(|(target, disk)| (target.clone(), *disk)));
        record.lives.push(LifeEnd { before, process_started, stopped });
        Ok(())
    }

    fn plug_and_unplug(&self, record: &mut GuestRecord, nics: &mut BTreeMap<String, String>) -> Result<()> {
        let name = self.plan.name;
        self.line.doing("a disk and a NIC are plugged in", "");
        let before = Timestamp::now();
        let disk: DiskMade = self.set.weir.ask(&[
            "instance",
            "disk",
            "add",
            name,
            "--size",
            &format!("{PLUGGED_DISK_MIB}MiB"),
        ])?;
        let target = disk.target.clone();
        let created = (before, Timestamp::now());
        record.volumes.push(volume(disk, created));
        let network = self.set.platform.network.name();
        let nic: NicMade = self.set.weir.ask(&["instance", "nic", "add", name, "--network", network])?;
        let mac = nic.mac.to_ascii_lowercase();
        nics.insert(mac.clone(), "eth1".to_owned());
        self.work(record, "at work with them", "plugged", 1)?;

        let last = self.quiet_figures(record)?;
        self.line.doing("they are unplugged again", "");
        let disk =
            last.disks.get(&target).with_context(|| format!("libvirt has no figures of disk {target}"))?;
        record.disks.push((target.clone(), *disk));
        let nic = last.nics.get(&mac).with_context(|| format!("libvirt has no figures of NIC {mac}"))?;
        record.nics.push(("eth1".to_owned(), *nic));
        let before = Timestamp::now();
        self.weir(&["instance", "disk", "remove", name, "--target", &target])?;
        if let Some(volume) = record.volumes.last_mut() {
            volume.deleted = Some((before, Timestamp::now()));
        }
        self.weir(&["instance", "nic", "remove", name, "--mac", &mac])
    }

    fn delete(&self, record: &mut GuestRecord) -> Result<()> {
        let before = Timestamp::now();
        self.weir(&["instance", "delete", self.plan.name])?;
        let deleted = (before, Timestamp::now());
        for volume in record.volumes.iter_mut().filter(|volume| volume.deleted.is_none()) {
            volume.deleted = Some(deleted);
        }
        Ok(())
    }

    fn weir(&self, args: &[&str]) -> Result<()> {
        self.set.interrupt.check()?;
        self.set.weir.run(args).map(drop)
    }
}

fn volume(disk: DiskMade, created: Between) -> VolumeRecord {
    VolumeRecord { volume: disk.volume, capacity_bytes: disk.capacity_bytes, created, deleted: None }
}

/// The guest's name in libvirt: its own, or whatever carries its id.
fn libvirt_name(name: &str, instance_id: &str) -> Result<String> {
    if virsh(&["domuuid", name]).is_ok() {
        return Ok(name.to_owned());
    }
    Ok(virsh(&["domname", instance_id]).context("libvirt does not know the guest")?.trim().to_owned())
}

fn shown(figures: &Figures) -> String {
    let written: u64 = figures.disks.values().map(|disk| disk.write_bytes).sum();
    let received: u64 = figures.nics.values().map(|nic| nic.rx_bytes).sum();
    let cpu_ms = figures.cpu_ns.unwrap_or(0) / 1_000_000;
    format!(
        "wrote {} MiB, received {} MiB, CPU {}.{} s",
        written / MIB,
        received / MIB,
        cpu_ms / 1000,
        cpu_ms % 1000 / 100
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_does_different_work() {
        for (index, one) in GUESTS.iter().enumerate() {
            for other in &GUESTS[index + 1..] {
                assert_ne!(one.write_mib, other.write_mib);
                assert_ne!(one.fetch_mib, other.fetch_mib);
                assert_ne!(one.burn_s, other.burn_s);
                assert_ne!(one.play, other.play);
            }
        }
        assert!(GUESTS.iter().all(|plan| plan.name.starts_with(super::super::stage::PREFIX)));
    }
}
