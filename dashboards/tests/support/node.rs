//! A node whose registers rise as they would: with days and nights, and now and then a burst. Every figure follows from the
//! instant alone, so that the same history is made every time.

use jiff::{SignedDuration, Timestamp};
use metering::{
    Batch, BatchSeq, BootId, DiskReading, DiskRegisters, Epoch, EpochId, InstanceFacts, InstanceId,
    InstanceReading, InstanceRegisters, InstanceState, NicReading, NicRegisters, NodeId, NodeReading,
    Readings, VolumeFacts, VolumeId, VolumeReading, VolumeRegisters,
};
use migrations::Database;
use usage::{Delivery, IngestSettings, Ingestor, UsageSettings, derive_dirty};
use uuid::Uuid;

use super::usage_settings;

/// Looks in one batch: a day of hourly ones.
const LOOKS_IN_A_BATCH: usize = 24;

/// A guest of the node.
pub struct Guest {
    pub name: String,
    pub tenant: Option<String>,
    pub vcpus: u32,
    pub memory_kib: u64,
    pub disk_bytes: u64,
    pub state: InstanceState,
}

/// The node.
pub struct Node {
    pub guests: Vec<Guest>,
    born_at: Timestamp,
    ingestor: Ingestor,
    seq: u64,
}

impl Guest {
    pub fn new(name: &str, tenant: Option<&str>, vcpus: u32, memory_mib: u64, state: InstanceState) -> Self {
        Self {
            name: name.to_owned(),
            tenant: tenant.map(str::to_owned),
            vcpus,
            memory_kib: memory_mib << 10,
            disk_bytes: u64::from(vcpus) * 10 * (1 << 30),
            state,
        }
    }
}

pub fn instance_id(number: usize) -> InstanceId {
    InstanceId::from_uuid(Uuid::from_u128(0x6e0d_e000_0000_4000_8000_0000_0000_0000 + number as u128))
}

impl Node {
    /// A node that boots at `born_at`.
    pub fn new(database: Database, guests: Vec<Guest>, born_at: Timestamp) -> Self {
        let settings = IngestSettings::new(usage_settings().window);
        Self { guests, born_at, ingestor: Ingestor::new(database, settings), seq: 0 }
    }

    /// Takes in looks from `from` to `to` at equal distances.
    pub async fn look(&mut self, from: Timestamp, to: Timestamp, every: SignedDuration) {
        let mut looks = Vec::new();
        let mut at = from;
        while at < to {
            looks.push(at);
            at += every;
        }
        for looks in looks.chunks(LOOKS_IN_A_BATCH) {
            self.look_at(looks).await;
        }
    }

    /// One batch of looks.
    pub async fn look_at(&mut self, looks: &[Timestamp]) {
        self.seq += 1;
        let last = *looks.last().expect("a batch has a look");
        let mut readings = Readings::default();
        for at in looks {
            self.read(*at, &mut readings);
        }
        let facts = |(number, guest): (usize, &Guest)| InstanceFacts {
            instance_id: instance_id(number),
            name: guest.name.clone(),
            tenant_label: guest.tenant.clone(),
            makeup: metering::Makeup::default(),
        };
        let batch = Batch {
            node_id: node_id(),
            seq: BatchSeq(self.seq),
            node_name: "node-1".to_owned(),
            boot_id: BootId::from_uuid(node_id().uuid()),
            collected_at: last,
            collected_boot: None,
            readings,
            gaps: Vec::new(),
            instances: self.guests.iter().enumerate().map(facts).collect(),
            volumes: (0..self.guests.len()).map(volume_facts).collect(),
            notices: Vec::new(),
        };
        self.ingestor.ingest(&batch, &Delivery::default(), last).await.expect("the test's batch is taken in");
    }

    /// Derives usage of everything that was taken in.
    pub async fn derive(&self, database: &Database, settings: UsageSettings, now: Timestamp) {
        let derived = derive_dirty(database, settings, now).await.expect("usage can be derived");
        assert_eq!(derived.failed, 0, "usage of some resource was not derived");
    }

    fn read(&self, at: Timestamp, readings: &mut Readings) {
        let seconds = u64::try_from(at.duration_since(self.born_at).as_secs()).unwrap_or(0);
        for (number, guest) in self.guests.iter().enumerate() {
            read_guest(number, guest, self.born_at, at, seconds, readings);
        }
        let vcpus: u32 = self.guests.iter().map(|guest| guest.vcpus).sum();
        let memory: u64 = self.guests.iter().map(|guest| guest.memory_kib).sum();
        readings.node = Some(NodeReading {
            observed_at: at,
            cpus: 32,
            cpu_busy_ms: work(99, seconds) * u64::from(vcpus) / 3,
            memory_total_kib: 128 << 20,
            memory_used_kib: memory + (4 << 20) + seconds,
            storage_total_kib: 2 << 30,
            // Full in some months.
            storage_used_kib: (300 << 20) + seconds * 150,
            rx_bytes: seconds * 90_000,
            tx_bytes: seconds * 70_000,
        });
    }
}

fn read_guest(
    number: usize,
    guest: &Guest,
    born_at: Timestamp,
    at: Timestamp,
    seconds: u64,
    readings: &mut Readings,
) {
    let instance_id = instance_id(number);
    let volume_id = volume_id(number);
    readings.volumes.push(VolumeReading {
        volume_id,
        observed_at: at,
        epoch: epoch("volume", number, born_at),
        exists: true,
        capacity_bytes: guest.disk_bytes,
        registers: VolumeRegisters { provisioned_kib_s: seconds * (guest.disk_bytes >> 10) },
    });
    let runs = guest.state == InstanceState::Running;
    let lives = runs || guest.state == InstanceState::Paused;
    let busy_ms = if runs { work(number as u64, seconds) } else { 0 };
    readings.instances.push(InstanceReading {
        instance_id,
        observed_at: at,
        epoch: if lives { epoch("instance", number, born_at) } else { Epoch::NONE },
        state: guest.state,
        vcpus: guest.vcpus,
        memory_kib: guest.memory_kib,
        registers: match lives {
            true => InstanceRegisters {
                cpu_ns: busy_ms * 1_000_000 * u64::from(guest.vcpus),
                running_ms: if runs { seconds * 1_000 } else { 0 },
                vcpu_ms: seconds * 1_000 * u64::from(guest.vcpus),
                memory_kib_s: seconds * guest.memory_kib,
            },
            false => InstanceRegisters::default(),
        },
    });
    if !lives {
        return;
    }
    readings.disks.push(DiskReading {
        instance_id,
        target: "vda".to_owned(),
        source: format!("/var/lib/images/{number}.qcow2"),
        observed_at: at,
        epoch: epoch("disk", number, born_at),
        registers: DiskRegisters {
            read_bytes: busy_ms * 700,
            write_bytes: busy_ms * 2_100,
            read_ops: busy_ms / 12,
            write_ops: busy_ms / 7,
            flush_ops: busy_ms / 50,
        },
    });
    readings.nics.push(NicReading {
        instance_id,
        mac: mac(number),
        observed_at: at,
        epoch: epoch("nic", number, born_at),
        registers: NicRegisters {
            rx_bytes: busy_ms * 1_900,
            tx_bytes: busy_ms * 3_700,
            rx_packets: busy_ms * 2,
            tx_packets: busy_ms * 3,
        },
    });
}

/// Milliseconds of work done in the first `seconds` of somebody's life: more by day, less by night, some by the minute.
/// It only grows.
fn work(who: u64, seconds: u64) -> u64 {
    // The integral of a wave: its slope is between 0.1 and 0.9 of the base.
    let wave = |period: f64, depth: f64| {
        let turns = seconds as f64 / period + who as f64 * 0.37;
        let start = who as f64 * 0.37;
        let tau = std::f64::consts::TAU;
        depth * period / tau * ((tau * start).cos() - (tau * turns).cos())
    };
    let base = 80.0 + 70.0 * (who % 5) as f64;
    (base * (seconds as f64 + wave(86_400.0, 0.5) + wave(1_260.0, 0.25) + wave(410.0, 0.15))) as u64
}

fn node_id() -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(0x6e0d_e000_0000_4000_8000_ffff_ffff_ffff))
}

pub fn mac(number: usize) -> String {
    format!("52:54:00:00:00:{number:02x}")
}

pub fn volume_id(number: usize) -> VolumeId {
    VolumeId::of(node_id(), "default", &format!("disk-{number}"))
}

fn volume_facts(number: usize) -> VolumeFacts {
    VolumeFacts {
        volume_id: volume_id(number),
        pool: "default".to_owned(),
        name: format!("disk-{number}"),
        instance_id: Some(instance_id(number)),
    }
}

fn epoch(kind: &str, number: usize, born_at: Timestamp) -> Epoch {
    Epoch {
        id: EpochId::of(&[kind.as_bytes(), &number.to_le_bytes(), &born_at.as_second().to_le_bytes()]),
        born_at: Some(born_at),
    }
}
