//! What the tests on real libvirt have in common: a collector on a directory of its own, and its readings.

use std::time::Duration;

use collector::{Collector, Settings, start};
use metering::{Batch, InstanceId, Point, Readings, Window, derive};
use tempfile::TempDir;

/// A collector that reads every second.
pub struct Watch {
    /// At work.
    pub collector: Collector,
    dir: TempDir,
    uri: String,
    batches: Vec<Batch>,
}

impl Watch {
    /// Starts it.
    pub fn start(uri: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { collector: start(settings(uri, &dir)).unwrap(), uri: uri.to_owned(), dir, batches: Vec::new() }
    }

    /// Stops it and starts another one on the same directory.
    pub async fn restart(self) -> Self {
        let Self { collector, dir, uri, mut batches } = self;
        batches.extend(taken(&collector));
        let spool = collector.spool().clone();
        collector.stop().await.unwrap();
        while let Some(batch) = spool.oldest().unwrap() {
            spool.acknowledge(batch.seq).unwrap();
            batches.push(batch);
        }
        drop(spool);
        Self { collector: start(settings(&uri, &dir)).unwrap(), dir, uri, batches }
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
        let mut points: Vec<Point<1>> =
            self.batches().iter().flat_map(|batch| pick(&batch.readings)).collect();
        points.sort_by_key(|point| point.observed_at);
        let (first, last) = (points[0].observed_at, points[points.len() - 1].observed_at);
        let margin = Duration::from_secs(3_600);
        let all = Window::new(first - margin, last + margin).unwrap();
        derive(&points, &[all], margin, last)[0].quantities[0]
    }
}

/// Bytes written to a disk.
pub fn written(instance_id: InstanceId, target: &str) -> impl Fn(&Readings) -> Vec<Point<1>> {
    move |readings| {
        let of_disk =
            readings.disks.iter().filter(|disk| disk.instance_id == instance_id && disk.target == target);
        of_disk
            .map(|disk| Point {
                observed_at: disk.observed_at,
                epoch: disk.epoch,
                registers: [disk.registers.write_bytes],
                is_last: false,
            })
            .collect()
    }
}

/// Bytes received by a NIC.
pub fn received(instance_id: InstanceId, mac: &str) -> impl Fn(&Readings) -> Vec<Point<1>> {
    move |readings| {
        let of_nic = readings.nics.iter().filter(|nic| nic.instance_id == instance_id && nic.mac == mac);
        of_nic
            .map(|nic| Point {
                observed_at: nic.observed_at,
                epoch: nic.epoch,
                registers: [nic.registers.rx_bytes],
                is_last: false,
            })
            .collect()
    }
}

/// Running time of an instance.
pub fn running_ms(instance_id: InstanceId) -> impl Fn(&Readings) -> Vec<Point<1>> {
    move |readings| {
        let of_instance = readings.instances.iter().filter(|instance| instance.instance_id == instance_id);
        of_instance
            .map(|instance| Point {
                observed_at: instance.observed_at,
                epoch: instance.epoch,
                registers: [instance.registers.running_ms],
                is_last: false,
            })
            .collect()
    }
}

fn settings(uri: &str, dir: &TempDir) -> Settings {
    Settings {
        libvirt_uri: uri.to_owned(),
        reading_interval: Duration::from_secs(1),
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
