//! A node whose few guests have been read once a minute for weeks: what charts, registers and explanations show. Every
//! figure follows from the instant alone.

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use metering::{
    Batch, BatchSeq, BootId, DiskReading, DiskRegisters, Epoch, EpochId, InstanceFacts, InstanceId,
    InstanceReading, InstanceRegisters, InstanceState, NicReading, NicRegisters, NodeId, NodeReading,
    Readings, VolumeFacts, VolumeId, VolumeReading, VolumeRegisters,
};
use migrations::Database;
use usage::{Delivery, IngestSettings, Ingestor, UsageSettings, derive_dirty};
use uuid::Uuid;

/// Guests: all of one tenant, beside what that tenant has of the history.
pub const GUESTS: u32 = 5;

/// Between two looks: the default of a collector.
const LOOK_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// Looks in a batch: a node that catches up.
const LOOKS_IN_A_BATCH: usize = 720;

const VCPUS: u32 = 2;
const MEMORY_KIB: u64 = 4 << 20;
const DISK_KIB: u64 = 20 << 20;

/// Some identifier of an instance of this node; random enough to be nobody else's.
pub fn instance_id(number: u32) -> InstanceId {
    InstanceId::from_uuid(Uuid::from_u128(0x77a1_b001_0000_4000_8000_0000_0000_0000 + u128::from(number)))
}

/// Takes in `days` of readings up to `now`, and derives their usage. Returns how many looks there were.
///
/// # Errors
/// The database fails.
pub async fn load(
    database: &Database,
    tenant: &str,
    days: u32,
    usage: UsageSettings,
    now: Timestamp,
) -> Result<usize> {
    let born_at = now.checked_sub(SignedDuration::from_hours(24 * i64::from(days)))?;
    let mut looks = Vec::new();
    let mut at = born_at;
    while at < now {
        looks.push(at);
        at = at.checked_add(LOOK_INTERVAL)?;
    }
    let ingestor = Ingestor::new(database.clone(), IngestSettings::new(usage.window));
    for (number, looks) in looks.chunks(LOOKS_IN_A_BATCH).enumerate() {
        let Some(last) = looks.last() else { continue };
        let batch = batch(BatchSeq(number as u64 + 1), tenant, born_at, looks, *last);
        ingestor.ingest(&batch, &Delivery::default(), *last).await?;
    }
    let derived = derive_dirty(database, usage, now).await?;
    ensure!(derived.failed == 0, "usage of {} resources was not derived", derived.failed);
    Ok(looks.len())
}

fn batch(seq: BatchSeq, tenant: &str, born_at: Timestamp, looks: &[Timestamp], last: Timestamp) -> Batch {
    let mut readings = Readings::default();
    for at in looks {
        let seconds = u64::try_from(at.duration_since(born_at).as_secs()).unwrap_or(0);
        for number in 0..GUESTS {
            look(number, born_at, *at, seconds, &mut readings);
        }
        readings.node = Some(NodeReading {
            observed_at: *at,
            cpus: 32,
            cpu_busy_ms: seconds * 9_000,
            memory_total_kib: 128 << 20,
            memory_used_kib: (24 << 20) + seconds,
            storage_total_kib: 2 << 30,
            storage_used_kib: (300 << 20) + seconds * 9,
            rx_bytes: seconds * 90_000,
            tx_bytes: seconds * 70_000,
        });
    }
    let instance = |number| InstanceFacts {
        instance_id: instance_id(number),
        name: format!("live-{number:03}"),
        tenant_label: Some(tenant.to_owned()),
        makeup: metering::Makeup::default(),
    };
    let volume = |number| VolumeFacts {
        volume_id: volume_id(number),
        pool: "default".to_owned(),
        name: format!("live-{number:03}"),
        instance_id: Some(instance_id(number)),
    };
    Batch {
        node_id: node_id(),
        seq,
        node_name: "bench-kvm-live".to_owned(),
        boot_id: BootId::from_uuid(node_id().uuid()),
        collected_at: last,
        collected_boot: None,
        readings,
        gaps: Vec::new(),
        instances: (0..GUESTS).map(instance).collect(),
        volumes: (0..GUESTS).map(volume).collect(),
        notices: Vec::new(),
    }
}

fn look(number: u32, born_at: Timestamp, at: Timestamp, seconds: u64, readings: &mut Readings) {
    let instance_id = instance_id(number);
    let epoch = |kind: &str| Epoch {
        id: EpochId::of(&[kind.as_bytes(), &number.to_le_bytes()]),
        born_at: Some(born_at),
    };
    // Busy in every second ten minutes: a curve, not a line.
    let busy_s = seconds / 1_200 * 600 + (seconds % 1_200).min(600);
    let work = busy_s * u64::from(number + 1);
    readings.instances.push(InstanceReading {
        instance_id,
        observed_at: at,
        epoch: epoch("instance"),
        state: InstanceState::Running,
        vcpus: VCPUS,
        memory_kib: MEMORY_KIB,
        registers: InstanceRegisters {
            cpu_ns: work * 300_000_000,
            running_ms: seconds * 1_000,
            vcpu_ms: seconds * 1_000 * u64::from(VCPUS),
            memory_kib_s: seconds * MEMORY_KIB,
        },
    });
    readings.disks.push(DiskReading {
        instance_id,
        target: "vda".to_owned(),
        source: format!("/var/lib/images/{number}.qcow2"),
        observed_at: at,
        epoch: epoch("disk"),
        registers: DiskRegisters {
            read_bytes: work * 700_000,
            write_bytes: work * 2_100_000,
            read_ops: work * 20,
            write_ops: work * 50,
            flush_ops: work,
        },
    });
    readings.nics.push(NicReading {
        instance_id,
        mac: format!("52:54:00:77:00:{number:02x}"),
        observed_at: at,
        epoch: epoch("nic"),
        registers: NicRegisters {
            rx_bytes: work * 190_000,
            tx_bytes: work * 370_000,
            rx_packets: work * 200,
            tx_packets: work * 300,
        },
    });
    readings.volumes.push(VolumeReading {
        volume_id: volume_id(number),
        observed_at: at,
        epoch: epoch("volume"),
        exists: true,
        capacity_bytes: DISK_KIB << 10,
        registers: VolumeRegisters { provisioned_kib_s: seconds * DISK_KIB },
    });
}

fn node_id() -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(0x77a1_b001_0000_4000_8000_ffff_ffff_ffff))
}

fn volume_id(number: u32) -> VolumeId {
    VolumeId::of(node_id(), "default", &format!("live-{number:03}"))
}
