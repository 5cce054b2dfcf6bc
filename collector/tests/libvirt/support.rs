//! What the tests on real libvirt have in common: a collector on a directory of its own, and its readings.

use std::process::Command;
use std::time::Duration;

use collector::{Collector, Settings, start};
use metering::{
    Batch, DiskRegisters, EpochId, Gap, InstanceId, InstanceReading, InstanceRegisters, InstanceState,
    NicRegisters, Point, Readings, Window, derive,
};
use tempfile::TempDir;
use testbed::guest::Guest;

/// A collector that reads every second.
pub struct Watch {
    /// At work.
    pub collector: Collector,
    dir: TempDir,
    uri: String,
    interval: Duration,
    batches: Vec<Batch>,
}

impl Watch {
    /// Starts it.
    pub fn start(uri: &str) -> Self {
        Self::start_every(uri, Duration::from_secs(1))
    }

    /// Starts one that reads so often, and when something happens.
    pub fn start_every(uri: &str, interval: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let collector = start(settings(uri, interval, &dir)).unwrap();
        Self { collector, uri: uri.to_owned(), interval, dir, batches: Vec::new() }
    }

    /// Stops it and starts another one on the same directory.
    pub async fn restart(self) -> Self {
        let Self { collector, dir, uri, interval, mut batches } = self;
        batches.extend(taken(&collector));
        let spool = collector.spool().clone();
        collector.stop().await.unwrap();
        while let Some(batch) = spool.oldest().unwrap() {
            spool.acknowledge(batch.seq).unwrap();
            batches.push(batch);
        }
        drop(spool);
        Self { collector: start(settings(&uri, interval, &dir)).unwrap(), dir, uri, interval, batches }
    }

    /// Takes a look.
    pub async fn look(&self) {
        self.collector.read_now().await.unwrap();
    }

    /// Everything read so far, in order.
    pub fn batches(&mut self) -> &[Batch] {
        let new = taken(&self.collector);
        self.batches.extend(new);
        &self.batches
    }

    /// What one meter of one instance would be billed: the rise over all epochs of the register that `pick`
    /// finds in the readings.
    pub fn billed(&mut self, pick: impl Fn(&Readings) -> Vec<Point<1>>) -> u64 {
        billed(self.batches(), pick)
    }

    /// When it took its first look.
    pub fn began_at(&mut self) -> jiff::Timestamp {
        self.batches()[0].collected_at
    }

    /// The gaps of one instance.
    pub fn gaps(&mut self, instance_id: InstanceId) -> Vec<Gap> {
        let all = self.batches().iter().flat_map(|batch| &batch.gaps);
        all.filter(|gap| gap.instance_id == Some(instance_id)).cloned().collect()
    }

    /// All readings of one instance.
    pub fn readings(&mut self, instance_id: InstanceId) -> Vec<InstanceReading> {
        of(self.batches(), instance_id)
    }

    /// The lives that an instance had, in order.
    pub fn lives(&mut self, instance_id: InstanceId) -> Vec<EpochId> {
        let mut lives: Vec<EpochId> =
            self.readings(instance_id).iter().map(|reading| reading.epoch.id).collect();
        lives.retain(|epoch| *epoch != EpochId::NONE);
        lives.dedup();
        lives
    }
}

/// What the readings of one or several nodes would be billed.
pub fn billed(batches: &[Batch], pick: impl Fn(&Readings) -> Vec<Point<1>>) -> u64 {
    let mut points: Vec<Point<1>> = batches.iter().flat_map(|batch| pick(&batch.readings)).collect();
    points.sort_by_key(|point| point.observed_at);
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return 0;
    };
    let (first, last) = (first.observed_at, last.observed_at);
    let margin = Duration::from_secs(3_600);
    let all = Window::new(first - margin, last + margin).unwrap();
    derive(&points, &[all], margin, last)[0].quantities[0]
}

/// All readings of one instance.
pub fn of(batches: &[Batch], id: InstanceId) -> Vec<InstanceReading> {
    let all = batches.iter().flat_map(|batch| &batch.readings.instances);
    all.filter(|reading| reading.instance_id == id).cloned().collect()
}

/// The system's libvirt.
pub const URI: &str = "qemu:///system";

/// The longest that a guest may take for anything.
pub const LIMIT: Duration = Duration::from_secs(90);

/// Which instance a guest is.
pub fn id(guest: &Guest) -> InstanceId {
    guest.uuid().parse().unwrap()
}

/// A virsh command that must succeed; what it printed.
#[track_caller]
pub fn virsh(arguments: &[&str]) -> String {
    let output = Command::new("virsh").args(arguments).output().unwrap();
    assert!(output.status.success(), "virsh {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What an instance had held of one of its registers.
fn held(
    instance_id: InstanceId,
    register: impl Fn(&InstanceRegisters) -> u64,
) -> impl Fn(&Readings) -> Vec<Point<1>> {
    move |readings| {
        let of_instance = readings.instances.iter().filter(|instance| instance.instance_id == instance_id);
        of_instance
            .map(|instance| Point {
                observed_at: instance.observed_at,
                epoch: instance.epoch,
                registers: [register(&instance.registers)],
                is_last: instance.state == InstanceState::Gone,
            })
            .collect()
    }
}

/// Running time of an instance.
pub fn running_ms(instance_id: InstanceId) -> impl Fn(&Readings) -> Vec<Point<1>> {
    held(instance_id, |registers| registers.running_ms)
}

/// vCPU time of an instance.
pub fn vcpu_ms(instance_id: InstanceId) -> impl Fn(&Readings) -> Vec<Point<1>> {
    held(instance_id, |registers| registers.vcpu_ms)
}

/// CPU time of an instance.
pub fn cpu_ns(instance_id: InstanceId) -> impl Fn(&Readings) -> Vec<Point<1>> {
    held(instance_id, |registers| registers.cpu_ns)
}

/// Bytes written to a disk.
pub fn written(instance_id: InstanceId, target: &str) -> impl Fn(&Readings) -> Vec<Point<1>> {
    disk(instance_id, target, |registers| registers.write_bytes)
}

/// One of a disk's registers.
pub fn disk(
    instance_id: InstanceId,
    target: &str,
    register: impl Fn(&DiskRegisters) -> u64,
) -> impl Fn(&Readings) -> Vec<Point<1>> {
    move |readings| {
        let of_disk =
            readings.disks.iter().filter(|disk| disk.instance_id == instance_id && disk.target == target);
        of_disk
            .map(|disk| Point {
                observed_at: disk.observed_at,
                epoch: disk.epoch,
                registers: [register(&disk.registers)],
                is_last: false,
            })
            .collect()
    }
}

/// Bytes received by a NIC.
pub fn received(instance_id: InstanceId, mac: &str) -> impl Fn(&Readings) -> Vec<Point<1>> {
    nic(instance_id, mac, |registers| registers.rx_bytes)
}

/// One of a NIC's registers.
pub fn nic(
    instance_id: InstanceId,
    mac: &str,
    register: impl Fn(&NicRegisters) -> u64,
) -> impl Fn(&Readings) -> Vec<Point<1>> {
    move |readings| {
        let of_nic = readings.nics.iter().filter(|nic| nic.instance_id == instance_id && nic.mac == mac);
        of_nic
            .map(|nic| Point {
                observed_at: nic.observed_at,
                epoch: nic.epoch,
                registers: [register(&nic.registers)],
                is_last: false,
            })
            .collect()
    }
}

fn settings(uri: &str, interval: Duration, dir: &TempDir) -> Settings {
    Settings {
        libvirt_uri: uri.to_owned(),
        reading_interval: interval,
        sample_interval: Duration::from_secs(1),
        cross_check_interval: collector::DEFAULT_CROSS_CHECK_INTERVAL,
        state_dir: dir.path().to_owned(),
        node_name: "node".to_owned(),
    }
}

fn taken(collector: &Collector) -> Vec<Batch> {
    let mut batches = Vec::new();
    while let Some(batch) = collector.spool().oldest().unwrap() {
        collector.spool().acknowledge(batch.seq).unwrap();
        batches.push(batch);
    }
    batches
}
