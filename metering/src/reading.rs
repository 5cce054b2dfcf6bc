//! Readings: all registers of one resource observed at one instant.
//!
//! One struct for each kind of resource, with the same names as the columns of its table. They say nothing
//! about tenants, prices or usage, and they are not the wire form (see [`crate::wire`]).

use jiff::Timestamp;

use crate::id::{EpochId, InstanceId, VolumeId};

/// One life of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Which life.
    pub id: EpochId,
    /// When the registers of this life stood at zero. `None`: it had begun before anybody looked, so its
    /// first reading is the baseline and only what comes after it counts.
    pub born_at: Option<Timestamp>,
}

impl Epoch {
    /// The epoch of what is switched off.
    pub const NONE: Epoch = Epoch { id: EpochId::NONE, born_at: None };
}

/// What an instance is doing, as far as metering must tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InstanceState {
    /// Its process exists and executes.
    Running,
    /// Its process exists and does not execute: paused by somebody, by an error or by a migration.
    Paused,
    /// No process.
    Stopped,
    /// Not known to the node any more: the last reading that there will be from it.
    Gone,
}

impl InstanceState {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Paused, Self::Stopped, Self::Gone]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// The registers of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstanceRegisters {
    /// CPU time of the instance's whole process, as the hypervisor counts it.
    pub cpu_ns: u64,
    /// Time spent in [`InstanceState::Running`].
    pub running_ms: u64,
    /// vCPUs held x time, while the process exists.
    pub vcpu_ms: u64,
    /// Memory held x time, while the process exists.
    pub memory_kib_s: u64,
}

/// One reading of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceReading {
    /// Whose.
    pub instance_id: InstanceId,
    /// When its registers had these values.
    pub observed_at: Timestamp,
    /// The life that they belong to; [`Epoch::NONE`] when it is switched off.
    pub epoch: Epoch,
    /// What it was doing.
    pub state: InstanceState,
    /// vCPUs held at that instant.
    pub vcpus: u32,
    /// Memory held at that instant, in KiB.
    pub memory_kib: u64,
    /// The registers.
    pub registers: InstanceRegisters,
}

/// The registers of a disk as the guest sees it: what it read is `read`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskRegisters {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Completed read operations.
    pub read_ops: u64,
    /// Completed write operations.
    pub write_ops: u64,
    /// Completed flushes. Kept for diagnosis; no meter prices them.
    pub flush_ops: u64,
}

/// One reading of a disk of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskReading {
    /// Whose.
    pub instance_id: InstanceId,
    /// The guest's name of it, such as `vda`: the device in usage records.
    pub target: String,
    /// What backs it: a path, or empty for an empty drive.
    pub source: String,
    /// When.
    pub observed_at: Timestamp,
    /// The instance's epoch and the disk's attachment.
    pub epoch: Epoch,
    /// The registers.
    pub registers: DiskRegisters,
}

/// The registers of a NIC as the guest sees it: what it received is `rx`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NicRegisters {
    /// Bytes received by the guest.
    pub rx_bytes: u64,
    /// Bytes sent by the guest.
    pub tx_bytes: u64,
    /// Packets received by the guest.
    pub rx_packets: u64,
    /// Packets sent by the guest.
    pub tx_packets: u64,
}

/// One reading of a NIC of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicReading {
    /// Whose.
    pub instance_id: InstanceId,
    /// Its MAC address, lower case with colons: the device in usage records.
    pub mac: String,
    /// When.
    pub observed_at: Timestamp,
    /// The instance's epoch and the NIC's attachment.
    pub epoch: Epoch,
    /// The registers.
    pub registers: NicRegisters,
}

/// The registers of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeRegisters {
    /// Size promised to the tenant x time.
    pub provisioned_kib_s: u64,
}

/// One reading of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeReading {
    /// Whose.
    pub volume_id: VolumeId,
    /// When.
    pub observed_at: Timestamp,
    /// Its life: from its creation to its deletion, whatever instances and nodes do meanwhile.
    pub epoch: Epoch,
    /// Whether it is still there; the last reading of a volume says no.
    pub exists: bool,
    /// Size promised at that instant, in bytes.
    pub capacity_bytes: u64,
    /// The registers.
    pub registers: VolumeRegisters,
}

/// One reading of a node, by its kernel. Counters since boot; sizes at that instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeReading {
    /// When.
    pub observed_at: Timestamp,
    /// Logical processors.
    pub cpus: u32,
    /// Time that processors were busy, summed, in milliseconds since boot.
    pub cpu_busy_ms: u64,
    /// Memory, in KiB.
    pub memory_total_kib: u64,
    /// Memory that is not available for new work, in KiB.
    pub memory_used_kib: u64,
    /// Size of the file systems that hold volumes, in KiB.
    pub storage_total_kib: u64,
    /// Used part of them, in KiB.
    pub storage_used_kib: u64,
    /// Bytes received by all physical interfaces since boot.
    pub rx_bytes: u64,
    /// Bytes sent by all physical interfaces since boot.
    pub tx_bytes: u64,
}

/// What one look at a node gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// Of instances.
    pub instances: Vec<InstanceReading>,
    /// Of their disks.
    pub disks: Vec<DiskReading>,
    /// Of their NICs.
    pub nics: Vec<NicReading>,
    /// Of volumes.
    pub volumes: Vec<VolumeReading>,
    /// Of the node itself.
    pub node: Option<NodeReading>,
}

impl Readings {
    /// How many rows they make.
    #[must_use]
    pub fn len(&self) -> usize {
        self.instances.len()
            + self.disks.len()
            + self.nics.len()
            + self.volumes.len()
            + usize::from(self.node.is_some())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
