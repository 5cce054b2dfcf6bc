//! The play: five guests of two tenants on two nodes, and what is done to them while they are metered.
//!
//! It records libvirt's own figures just before everything that ends a counter. A guest has done all its orders by then
//! and is shielded from others' broadcasts, so that those figures are the last ones.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use rustix::process::Signal;
use serde::Deserialize;

use super::Interrupt;
use super::outage::Moments;
use super::plans::{GUESTS, GuestPlan, PLUGGED_DISK_MIB, Play, Site};
use super::records::{Between, GuestRecord, LifeEnd, VolumeRecord};
use super::show::{GuestLine, Show};
use super::stage::Platform;
use super::weir::Weir;
use crate::guest::{DiskSpec, Guest, GuestSpec, signal_guest};
use crate::guest_image::GuestImage;
use crate::network::{listen_again_at, silence_at};
use crate::orders::MIB;
use crate::place::Place;
use crate::process::virsh;
use crate::truth::{Figures, figures_at, process_started_at_on};

/// How long a guest may take for its orders; under software emulation it takes 40 s with four others beside it.
const WORK_LIMIT: Duration = Duration::from_secs(150);
/// How long its figures may take to stand still afterwards.
const QUIET_LIMIT: Duration = Duration::from_secs(30);
/// How long libvirt may know nothing of a guest that works.
const GONE_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks at a working guest. QEMU answers them in the guest's own time, so they are rare.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long the restarted guest is off.
const OFF_TIME: Duration = Duration::from_secs(3);
/// Within it all threads of a process have heard that they are to stop.
const STILL: Duration = Duration::from_millis(20);
/// Two readings and samples are certainly taken within it: each is due every second.
const TWO_READINGS: Duration = Duration::from_millis(2_500);

/// Everything that all guests share.
pub(super) struct Set<'a> {
    pub(super) weir: &'a Weir,
    pub(super) image: &'a GuestImage,
    pub(super) platform: &'a Platform,
    pub(super) interrupt: &'a Interrupt,
    pub(super) moments: &'a Moments,
    pub(super) meter_until: Instant,
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
                let actor = Actor { set, plan, place: set.platform.place(plan.site), line };
                let record = match plan.site {
                    Site::Near => actor.perform(),
                    Site::Far => actor.perform_far(),
                };
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

struct Actor<'a> {
    set: &'a Set<'a>,
    plan: &'static GuestPlan,
    place: &'a Place,
    line: GuestLine<'a>,
}

impl Actor<'_> {
    fn perform(&self) -> Result<GuestRecord> {
        let mut nics = BTreeMap::new();
        let mut record = self.create(&mut nics)?;
        self.work(&record, "at work", "done", 1)?;
        match self.plan.play {
            Play::Steady | Play::Killed => {}
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
        if self.plan.play == Play::Killed {
            // Its collector is in the control plane: nobody hears of an end while that is away.
            self.set.moments.wait_until_back(self.set.interrupt)?;
            self.kill(&mut record, &nics)?;
        } else {
            self.stop(&mut record, &nics)?;
        }
        self.delete(&mut record)?;
        self.line.done(if self.plan.play == Play::Killed {
            "metered, killed and deleted"
        } else {
            "metered, stopped and deleted"
        });
        Ok(record)
    }

    /// A guest of the other node: nothing is done to it through Weir.
    fn perform_far(&self) -> Result<GuestRecord> {
        let (guest, mut record, nics) = self.create_by_hand()?;
        self.work(&record, "at work on the second node", "done", 1)?;
        if self.plan.play == Play::Killed {
            self.line.doing("done; waits for the outage to be killed", "");
            self.set.moments.wait_until_away(self.set.interrupt)?;
        } else {
            self.line.doing("idle until the minute is over", "");
            self.set.interrupt.sleep(self.set.meter_until.saturating_duration_since(Instant::now()))?;
        }
        self.kill(&mut record, &nics)?;
        let before = Timestamp::now();
        drop(guest);
        let deleted = (before, Timestamp::now());
        record.volumes.iter_mut().for_each(|volume| volume.deleted = Some(deleted));
        if self.plan.play == Play::Killed {
            self.set.moments.note_kill();
        }
        self.line.done("metered, killed and deleted, all without Weir");
        Ok(record)
    }

    fn create_by_hand(&self) -> Result<(Guest, GuestRecord, BTreeMap<String, String>)> {
        self.line.doing("made with virsh on the second node", "");
        let (plan, platform) = (self.plan, self.set.platform);
        let orders = plan.orders(platform);
        let before = Timestamp::now();
        let guest = GuestSpec {
            vcpus: plan.vcpus,
            memory_mib: plan.memory_mib,
            disks: vec![DiskSpec { target: "vda".into(), mib: plan.disk_mib }],
            networks: vec![platform.network(plan.site).name().to_owned()],
            orders: orders.clone(),
            tenant_metadata: Some(plan.tenant.to_owned()),
            place: self.place.clone(),
            ..GuestSpec::new(plan.name)
        }
        .start()?;
        let record = GuestRecord {
            plan,
            libvirt_name: plan.name.to_owned(),
            instance_id: guest.uuid().to_owned(),
            orders,
            lives: Vec::new(),
            disks: Vec::new(),
            nics: Vec::new(),
            volumes: vec![VolumeRecord {
                volume: guest.disk_path("vda").to_string_lossy().into_owned(),
                capacity_bytes: plan.disk_mib * MIB,
                created: (before, Timestamp::now()),
                deleted: None,
            }],
        };
        let nics = guest.macs().iter().map(|mac| (mac.clone(), "eth0".to_owned())).collect();
        Ok((guest, record, nics))
    }

    fn create(&self, nics: &mut BTreeMap<String, String>) -> Result<GuestRecord> {
        self.line.doing("created and started", "");
        let (set, plan) = (self.set, self.plan);
        let orders = plan.orders(set.platform);
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
            set.platform.network(Site::Near).name(),
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
        while self.set.platform.server(self.plan.site).marks(&self.plan.mark(mark_name)) < count {
            if Instant::now() >= end {
                bail!("it did not finish its orders within {} s", WORK_LIMIT.as_secs());
            }
            // A guest that is just being started has no figures yet.
            match figures_at(self.place, &record.libvirt_name) {
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
        let network = self.set.platform.network(self.plan.site);
        let end = Instant::now() + QUIET_LIMIT;
        loop {
            self.set.interrupt.check()?;
            silence_at(self.place, &record.libvirt_name)?;
            let first = figures_at(self.place, &record.libvirt_name)?;
            network.broadcast()?;
            let second = figures_at(self.place, &record.libvirt_name)?;
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
        let process_started = process_started_at_on(self.place, &record.libvirt_name)?;
        self.line.doing("stopped after a last reading", "");
        let pid = self.place.guest_pid(&record.libvirt_name)?;
        self.weir(&["instance", "stop", self.plan.name, "--grace", "0"])?;
        let cpu_ns = self.set.platform.exits.cpu_ns(pid)?;
        end_life(record, nics, LifeEnd { before, process_started, cpu_ns })
    }

    /// `kill -9`, with a last frame on its NICs.
    fn kill(&self, record: &mut GuestRecord, nics: &BTreeMap<String, String>) -> Result<()> {
        let name = &record.libvirt_name;
        self.quiet_figures(record)?;
        let process_started = process_started_at_on(self.place, name)?;
        let pid = self.place.guest_pid(name)?;
        // Block counters are QEMU's alone: what no reading saw would be lost, so two see them.
        self.set.interrupt.sleep(TWO_READINGS)?;
        listen_again_at(self.place, name)?;
        self.set.platform.network(self.plan.site).broadcast()?;
        silence_at(self.place, name)?;
        let before = figures_at(self.place, name)?;
        self.line.doing("its QEMU is killed with kill -9", "");
        // What stands still is counted closest; a thread that runs when it is killed, to the last tick of the scheduler.
        signal_guest(pid, Signal::STOP)?;
        std::thread::sleep(STILL);
        signal_guest(pid, Signal::KILL)?;
        let is_over = || self.place.virsh(&["domstate", name]).is_ok_and(|state| state.trim() == "shut off");
        crate::daemons::wait_for(GONE_LIMIT, || is_over().then_some(())).context("it does not end")?;
        let cpu_ns = self.set.platform.exits.cpu_ns(pid)?;
        end_life(record, nics, LifeEnd { before, process_started, cpu_ns })
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
        let network = self.set.platform.network(Site::Near).name();
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

/// Notes the last figures of everything that ended with a life.
fn end_life(record: &mut GuestRecord, nics: &BTreeMap<String, String>, life: LifeEnd) -> Result<()> {
    for (mac, nic) in &life.before.nics {
        let name =
            nics.get(mac).with_context(|| format!("libvirt knows a NIC {mac}, which Weir did not name"))?;
        record.nics.push((name.clone(), *nic));
    }
    record.disks.extend(life.before.disks.iter().map(|(target, disk)| (target.clone(), *disk)));
    record.lives.push(life);
    Ok(())
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
