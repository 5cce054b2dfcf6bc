//! What these tests have in common: a collector, its readings, and the kernel's own word on what ended.

use std::collections::BTreeMap;
use std::time::Duration;

use collector::{Collector, Settings, start};
use metering::{Batch, InstanceId, InstanceReading, NicRegisters};
use tempfile::TempDir;
use testbed::guest::Guest;

pub const URI: &str = "qemu:///system";
pub const LIMIT: Duration = Duration::from_secs(90);

/// A collector, on a directory that outlives it.
pub struct Watch {
    pub collector: Collector,
    dir: TempDir,
    batches: Vec<Batch>,
}

impl Watch {
    pub fn start(uri: &str, reading_interval: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { collector: start(settings(uri, reading_interval, &dir)).unwrap(), dir, batches: Vec::new() }
    }

    /// Another collector on the same directory.
    pub async fn restart(self, uri: &str, reading_interval: Duration) -> Self {
        let Self { collector, dir, mut batches } = self;
        let spool = collector.spool().clone();
        collector.stop().await.unwrap();
        take(&spool, &mut batches);
        drop(spool);
        Self { collector: start(settings(uri, reading_interval, &dir)).unwrap(), dir, batches }
    }

    pub async fn look(&self) {
        self.collector.read_now().await.unwrap();
    }

    /// Everything so far, in order.
    pub fn batches(&mut self) -> &[Batch] {
        take(self.collector.spool(), &mut self.batches);
        &self.batches
    }

    /// Waits until a reading of an instance is as wanted.
    pub async fn wait_for(&mut self, id: InstanceId, what: &str, is_it: impl Fn(&InstanceReading) -> bool) {
        let deadline = std::time::Instant::now() + LIMIT;
        while !instances(self.batches(), id).iter().any(&is_it) {
            assert!(std::time::Instant::now() < deadline, "no reading {what}: {:?}", self.batches.last());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn settings(uri: &str, reading_interval: Duration, dir: &TempDir) -> Settings {
    Settings {
        libvirt_uri: uri.to_owned(),
        reading_interval,
        sample_interval: Duration::from_secs(1),
        cross_check_interval: Duration::from_secs(3_600),
        state_dir: dir.path().to_owned(),
        node_name: "node".to_owned(),
    }
}

fn take(spool: &collector::Spool, batches: &mut Vec<Batch>) {
    while let Some(batch) = spool.oldest().unwrap() {
        spool.acknowledge(batch.seq).unwrap();
        batches.push(batch);
    }
}

/// All readings of an instance.
pub fn instances(batches: &[Batch], id: InstanceId) -> Vec<InstanceReading> {
    let all = batches.iter().flat_map(|batch| batch.readings.instances.clone());
    all.filter(|reading| reading.instance_id == id).collect()
}

/// The last registers of a NIC.
pub fn last_nic(batches: &[Batch], id: InstanceId, mac: &str) -> NicRegisters {
    let mut all = batches.iter().flat_map(|batch| batch.readings.nics.iter());
    all.rfind(|nic| nic.instance_id == id && nic.mac == mac).unwrap().registers
}

pub fn id(guest: &Guest) -> InstanceId {
    guest.uuid().parse().unwrap()
}

/// The time of each thread of a process that stands still, and what those had used that ended before.
pub fn threads_and_ended(pid: i32) -> (BTreeMap<u32, u64>, u64) {
    let clock = testbed::truth::process_cpu_ns(pid).unwrap();
    let mut threads = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let entry = entry.unwrap();
        let text = std::fs::read_to_string(entry.path().join("schedstat")).unwrap();
        let ns = text.split_ascii_whitespace().next().unwrap().parse().unwrap();
        threads.insert(entry.file_name().to_str().unwrap().parse().unwrap(), ns);
    }
    assert_eq!(clock, testbed::truth::process_cpu_ns(pid).unwrap(), "it stands still");
    let ended = clock - threads.values().sum::<u64>();
    (threads, ended)
}
