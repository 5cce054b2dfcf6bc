//! What one look at a node shows, in plain figures, and the trait of whatever can look.
//!
//! Nothing here has a memory: epochs, births and what is held over time are the tracker's. A figure that
//! the hypervisor did not give is `None`, never zero.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use metering::{BootId, DiskRegisters, InstanceId, Makeup, NicRegisters};

use crate::clock::{Clock, Moment};

/// Something that can look at all instances of this node: the libvirt path, or a script in a test. The kernel path is
/// none: it knows processes and devices, not instances, and completes what this one saw.
pub trait Hypervisor: Send {
    /// Takes a look.
    ///
    /// # Errors
    /// The hypervisor could not be asked at all. A single instance that could not be read is no error: it is
    /// in the observation, with [`Run::figures`] `None`.
    fn observe(&mut self, clock: &dyn Clock, scope: &Scope) -> Result<Observation, HypervisorError>;
}

/// What a look asks for. Whether an instance runs and what it is called is always seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All figures of all instances, and the storage.
    #[default]
    Everything,
    /// Of the figures only the disks' counters, which nobody but the hypervisor knows; the other figures are `None`
    /// because they were not asked for. The storage is listed all the same.
    Blocks {
        /// Instances whose disks are not asked either: it is known that they did nothing. Their disks may be missing
        /// from the figures, or be there without registers.
        but_not: HashSet<InstanceId>,
        /// Instances of which everything is asked all the same: they are new, or something about them has changed.
        wholly: HashSet<InstanceId>,
    },
}

/// Something happened to an instance, as the hypervisor tells at once. It says when, and to look; what is the case the look
/// says: events are lost while a connection is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HypervisorEvent {
    /// To which.
    pub instance_id: InstanceId,
    /// What.
    pub what: What,
    /// When it was heard.
    pub at: Moment,
    /// The hypervisor's number of the run that it is about; `None`: not told.
    pub run_id: Option<u32>,
    /// The size of its memory from then on, in KiB; `None`: not told.
    pub memory_kib: Option<u64>,
}

/// What happened to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum What {
    /// Its process began.
    Started,
    /// Its process ended, however that came.
    Stopped,
    /// It executes no more.
    Paused,
    /// It executes again.
    Resumed,
    /// Its vCPUs or its memory changed.
    Resized,
    /// A disk or a NIC came or went, or another medium is in a drive.
    DevicesChanged,
    /// It was defined or undefined, or its metadata changed.
    Described,
    /// It went to another node.
    MigratedAway,
    /// It came from another node.
    MigratedHere,
}

/// The last figures of a run that ended since the look before, as the kernel left them; or those of NICs that were unplugged
/// from a run that goes on, without CPU time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Whose run.
    pub instance_id: InstanceId,
    /// Which.
    pub run_id: u32,
    /// When the end was noticed.
    pub at: Moment,
    /// All CPU time of the run, in ns; `None`: the kernel's record of it was not heard.
    pub cpu_ns: Option<u64>,
    /// The final counters of its NICs by MAC, as the guest saw them, of those whose end was heard.
    pub nics: Vec<(String, NicRegisters)>,
    /// The final counters of its disks, where they were asked for after it had paused for the last time. The kernel path
    /// leaves this empty.
    pub disks: Vec<ObservedDisk>,
}

/// Why nothing was seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{doing} failed: {message}")]
pub struct HypervisorError {
    /// What was tried, such as "opening qemu:///system".
    pub doing: String,
    /// What the hypervisor's library said.
    pub message: String,
}

/// All that was seen in one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The life of the node's kernel.
    pub boot_id: BootId,
    /// When the instances' figures were complete. Each of them was taken during the hypervisor's one bulk
    /// call that ended here, so it is older than this by at most that call's duration.
    pub at: Moment,
    /// All instances that the hypervisor knows, switched off or not.
    pub instances: Vec<ObservedInstance>,
    /// All volumes; `None`: the storage could not be listed, so that nothing is known about any of them.
    pub volumes: Option<Vec<ObservedVolume>>,
    /// Directories that hold volumes.
    pub storage_dirs: Vec<PathBuf>,
    /// What was asked for. Figures that it left out are not missing.
    pub scope: Scope,
    /// Runs that ended since the look before. The hypervisor leaves this empty; the kernel path fills it.
    pub ends: Vec<End>,
    /// What was heard since the look before and while this one was taken, in any order. The hypervisor leaves this empty;
    /// the runner fills it. One that is given twice, or too late, does no harm.
    pub events: Vec<HypervisorEvent>,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedInstance {
    /// Which.
    pub instance_id: InstanceId,
    /// Its name.
    pub name: String,
    /// What its metadata claims about its tenant. `None`: nothing; also when the metadata could not be read,
    /// see [`ObservedInstance::is_described`].
    pub tenant_label: Option<String>,
    /// What its description says of what it is made of.
    pub makeup: Makeup,
    /// Whether its description (metadata, devices) could be read.
    pub is_described: bool,
    /// Its present run; `None`: switched off.
    pub run: Option<Run>,
}

/// One run of an instance: from its process' start to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The hypervisor's number of the run.
    pub run_id: u32,
    /// When its process started; `None`: not known, or not surely of this run.
    pub started: Option<ProcessStart>,
    /// Whether it executes; otherwise it is paused. `None`: not known.
    pub is_executing: Option<bool>,
    /// Paused for a migration, at its source or at its target: whichever of them executes next has held it since the
    /// pause.
    pub is_moving: bool,
    /// Its process answers nobody: it is stopped, hangs, or something else works on it. What only the process can tell was
    /// asked for and is missing.
    pub is_silent: bool,
    /// Its figures; `None`: the instance was busy and could not be read.
    pub figures: Option<Figures>,
}

/// When a process started, by the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStart {
    /// In clock ticks since boot, as `/proc/<pid>/stat` has it.
    pub ticks: u64,
    /// The same as time since boot.
    pub boot: Duration,
}

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// CPU time of the whole process, in ns.
    pub cpu_ns: Option<u64>,
    /// vCPUs plugged in.
    pub vcpus: Option<u32>,
    /// Memory that the host holds for it, in KiB.
    pub memory_kib: Option<u64>,
    /// Its disks.
    pub disks: Vec<ObservedDisk>,
    /// Its NICs.
    pub nics: Vec<ObservedNic>,
}

/// A disk of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedDisk {
    /// The guest's name of it, such as `vda`.
    pub target: String,
    /// What backs it: a path, or empty for an empty drive.
    pub source: String,
    /// The hypervisor's number of this very attachment, where it has one.
    pub mark: Option<u64>,
    /// What else belongs to the same disk: the images below it, the image that it is being copied to. A
    /// change of the source to or from one of them is no new disk, and its counters go on.
    pub relatives: Vec<String>,
    /// A drive whose medium can be changed: its counters belong to the drive.
    pub is_removable: bool,
    /// Its counters; `None`: not given.
    pub registers: Option<DiskRegisters>,
}

/// A NIC of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedNic {
    /// Its MAC address, lower case with colons. `None`: the description has none.
    pub mac: Option<String>,
    /// The host's device behind it, such as `vnet3`; `None`: there is none, so nobody counts it.
    pub host_device: Option<String>,
    /// Its counters, as the guest sees them; `None`: not given.
    pub registers: Option<NicRegisters>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedVolume {
    /// Its pool, or `""`.
    pub pool: String,
    /// Its name in the pool, or its path.
    pub name: String,
    /// Where it lies, where it is a file or a device of this node.
    pub path: Option<PathBuf>,
    /// Size promised to the tenant, in bytes; `None`: it is there, but its size could not be read.
    pub capacity_bytes: Option<u64>,
    /// When its file was made, where the file system tells.
    pub created_at: Option<Timestamp>,
    /// The instance that it is attached to.
    pub instance_id: Option<InstanceId>,
}
