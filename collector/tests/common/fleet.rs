//! A node with many instances, looked at every minute, through the real tracker: figures that are known for each look.

use std::time::Duration;

use collector::clock::Moment;
use collector::observation::{
    Figures, Observation, ObservedDisk, ObservedInstance, ObservedNic, ObservedVolume, ProcessStart, Run,
    Scope,
};
use collector::tracker::{self, State};
use jiff::Timestamp;
use metering::{
    Batch, BatchSeq, BootId, DiskRegisters, InstanceId, NicRegisters, NodeId, NodeReading, Readings,
};
use uuid::Uuid;

/// Between two looks.
pub const MINUTE_S: u64 = 60;
/// The first look.
const BEGIN_S: i64 = 1_790_000_040;

/// What the disk of an instance has written by look `n`.
pub fn written(n: u64, instance: u64) -> u64 {
    n * 1_234_567 + instance * 4_096
}

/// Look `n` at a node with so many instances, each with a disk, a NIC and a volume, as it goes into the spool.
pub fn look(node_id: NodeId, state: &mut State, n: u64, instances: u64) -> Batch {
    let observation = observation(n, instances);
    let outcome = tracker::observe(node_id, state, &observation);
    let at = observation.at;
    let node = NodeReading {
        observed_at: at.wall,
        cpus: 32,
        cpu_busy_ms: n * 400_000,
        memory_total_kib: 256 << 20,
        memory_used_kib: (100 << 20) + n * 977 % 65_536,
        storage_total_kib: 8 << 30,
        storage_used_kib: (3 << 30) + n * 4_801,
        rx_bytes: n * 400_000_123,
        tx_bytes: n * 900_000_321,
    };
    Batch {
        node_id,
        seq: BatchSeq(0),
        node_name: "node-1.example".into(),
        boot_id: observation.boot_id,
        collected_at: at.wall,
        collected_boot: Some(at.boot),
        readings: Readings { node: Some(node), ..outcome.readings },
        gaps: outcome.gaps,
        instances: outcome.instances,
        volumes: outcome.volumes,
        notices: outcome.notices,
    }
}

/// A node's memory before its first look.
pub fn memory() -> State {
    State::new(Uuid::from_u128(0x6d65_6d6f_7279))
}

fn observation(n: u64, instances: u64) -> Observation {
    let wall = Timestamp::from_second(BEGIN_S + i64::try_from(n * MINUTE_S).unwrap_or(0)).unwrap_or_default();
    Observation {
        boot_id: BootId::from_uuid(Uuid::from_u128(1)),
        at: Moment { wall, boot: Duration::from_secs(86_400 + n * MINUTE_S) },
        instances: (0..instances).map(|instance| observed(n, instance)).collect(),
        volumes: Some((0..instances).map(volume).collect()),
        storage_dirs: Vec::new(),
        scope: Scope::Everything,
        ends: Vec::new(),
        events: Vec::new(),
    }
}

/// Ids as random ones look, so that they do not compress better than those.
fn id(instance: u64) -> InstanceId {
    let mut mixed = u128::from(instance + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    mixed ^= mixed >> 61;
    InstanceId::from_uuid(Uuid::from_u128(mixed.wrapping_mul(0xDA94_2042_E4DD_58B5_2545_F491_4F6C_DD1D)))
}

fn observed(n: u64, instance: u64) -> ObservedInstance {
    // Loads that differ, so that the digits do.
    let busy = n * (1_000_000_007 + instance * 611_953_111);
    let disk = DiskRegisters {
        read_bytes: n * 777_216 + instance * 512,
        write_bytes: written(n, instance),
        read_ops: n * 40 + instance,
        write_ops: n * 91 + instance,
        flush_ops: n * 7,
    };
    let nic = NicRegisters {
        rx_bytes: n * (90_001 + instance * 13_007),
        tx_bytes: n * (200_003 + instance * 17_011),
        rx_packets: n * 311 + instance,
        tx_packets: n * 402 + instance,
    };
    let figures = Figures {
        cpu_ns: Some(busy),
        vcpus: Some(2),
        memory_kib: Some(4 << 20),
        disks: vec![ObservedDisk {
            target: "vda".into(),
            source: format!("/var/lib/libvirt/images/tenant-{}/instance-{instance}.qcow2", instance % 7),
            mark: Some(instance),
            relatives: Vec::new(),
            is_removable: false,
            registers: Some(disk),
        }],
        nics: vec![ObservedNic {
            mac: Some(format!("52:54:00:{:02x}:{:02x}:01", instance / 256, instance % 256)),
            host_device: Some(format!("vnet{instance}")),
            registers: Some(nic),
        }],
    };
    ObservedInstance {
        instance_id: id(instance),
        name: format!("tenant-{}-instance-{instance}", instance % 7),
        tenant_label: Some(format!("tenant-{}", instance % 7)),
        makeup: metering::Makeup::default(),
        is_described: true,
        run: Some(Run {
            run_id: u32::try_from(instance).unwrap_or(0) + 1,
            started: Some(ProcessStart { ticks: 8_640_000, boot: Duration::from_secs(86_400) }),
            is_executing: Some(true),
            is_moving: false,
            is_silent: false,
            figures: Some(figures),
        }),
    }
}

fn volume(instance: u64) -> ObservedVolume {
    ObservedVolume {
        pool: "default".into(),
        name: format!("tenant-{}/instance-{instance}.qcow2", instance % 7),
        path: None,
        capacity_bytes: Some(20 << 30),
        created_at: None,
        instance_id: Some(id(instance)),
    }
}
