//! An inspection as it goes over the control channel and as `--json` prints it.

use collector::inspect::{Device, Inspection, Instance, Memory, Part, Problem, Run, Volume};
use collector::kernel::{InstanceSnapshot, Snapshot, Sourced, TwoPaths};
use collector::{Status, Stock, Summary};
use jiff::Timestamp;
use metering::{Epoch, NicRegisters};
use serde::{Deserialize, Serialize};

/// All of it. Instants are by the node's wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it was made.
    pub at: Timestamp,
    /// The node's name, from the configuration of the collector that runs.
    pub node_name: Option<String>,
    /// What it reads.
    pub libvirt_uri: Option<String>,
    /// The collector that runs; null: none does.
    pub collector: Option<CollectorReport>,
    /// The spool.
    pub spool: PartReport<SpoolReport>,
    /// Registers and epochs.
    pub registers: PartReport<MemoryReport>,
    /// What the kernel and libvirt said last.
    pub paths: PartReport<PathsReport>,
}

/// A part: where it is from, what it holds, what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartReport<T> {
    pub source: String,
    pub value: Option<T>,
    pub problems: Vec<ProblemReport>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemReport {
    pub what: String,
    pub remedy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectorReport {
    pub is_connected: bool,
    pub last_observed_at: Option<Timestamp>,
    pub last_seq: Option<u64>,
    pub last_error: Option<String>,
    pub instances: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolReport {
    pub node_id: String,
    pub path: String,
    pub waiting: StockReport,
    pub kept: StockReport,
    pub refused: Vec<RefusedReport>,
    pub last_committed: Option<u64>,
    pub acknowledged: Option<u64>,
    pub known_until: Option<u64>,
    pub covered_until: Option<u64>,
    pub dropped_until: Option<u64>,
    pub disk_bytes: u64,
    pub is_reserve_complete: bool,
    pub pending_notices: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReport {
    pub batches: u64,
    pub bytes: u64,
    pub first: Option<u64>,
    pub last: Option<u64>,
    pub oldest_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedReport {
    pub seq: u64,
    pub at: Timestamp,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryReport {
    pub look: Option<u64>,
    pub memory: String,
    pub epochs: u64,
    pub last_look_at: Option<Timestamp>,
    pub last_observation_at: Option<Timestamp>,
    pub instances: Vec<InstanceReport>,
    pub volumes: Vec<VolumeReport>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochReport {
    pub id: String,
    /// Null: it was adopted, its birth is not known.
    pub born_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceReport {
    pub instance_id: String,
    pub name: String,
    pub tenant_label: Option<String>,
    pub last_read_at: Option<Timestamp>,
    pub is_elsewhere: bool,
    pub run: Option<RunReport>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    pub run_id: u32,
    pub epoch: EpochReport,
    pub is_executing: Option<bool>,
    pub vcpus: Option<u32>,
    pub memory_kib: Option<u64>,
    pub held_until: Timestamp,
    pub unread_looks: u32,
    pub registers: Vec<RegisterReport>,
    pub devices: Vec<DeviceReport>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterReport {
    pub name: String,
    pub value: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    pub name: String,
    pub source: String,
    pub epoch: EpochReport,
    pub registers: Vec<RegisterReport>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeReport {
    pub volume_id: String,
    pub pool: String,
    pub name: String,
    pub path: Option<String>,
    pub epoch: EpochReport,
    pub capacity_bytes: Option<u64>,
    pub held_until: Timestamp,
    pub registers: Vec<RegisterReport>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathsReport {
    pub sampled_at: Option<Timestamp>,
    pub samples: u64,
    pub exit_records_lost: u64,
    pub capabilities: Vec<CapabilityReport>,
    pub instances: Vec<TwoPathsOfInstance>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityReport {
    pub name: String,
    pub gives: String,
    /// Null: it is available.
    pub missing: Option<MissingReport>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingReport {
    pub why: String,
    pub lost: String,
    pub remedy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwoPathsOfInstance {
    pub instance_id: String,
    pub run_id: u32,
    pub pid: Option<u32>,
    pub figures: Vec<FigureReport>,
}

/// Figures that are read together, by both paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FigureReport {
    /// Null: of the instance as a whole; otherwise a MAC.
    pub device: Option<String>,
    pub kernel: Option<SourcedReport>,
    pub libvirt: Option<SourcedReport>,
    /// Null: they agreed, or were not both read.
    pub difference: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcedReport {
    pub at: Timestamp,
    pub source: String,
    pub registers: Vec<RegisterReport>,
}

impl Report {
    /// Of an inspection.
    #[must_use]
    pub fn new(inspection: Inspection, node_name: Option<String>, libvirt_uri: Option<String>) -> Self {
        Self {
            at: inspection.at,
            node_name,
            libvirt_uri,
            collector: inspection.status.map(CollectorReport::from),
            spool: part(inspection.spool, SpoolReport::from),
            registers: part(inspection.registers, MemoryReport::from),
            paths: part(inspection.paths, PathsReport::from),
        }
    }

    /// How much is wrong or could not be read.
    #[must_use]
    pub fn problems(&self) -> usize {
        self.spool.problems.len() + self.registers.problems.len() + self.paths.problems.len()
    }
}

fn part<T, R>(part: Part<T>, report: impl FnOnce(T) -> R) -> PartReport<R> {
    PartReport {
        source: part.source,
        value: part.value.map(report),
        problems: part.problems.into_iter().map(ProblemReport::from).collect(),
    }
}

fn registers(registers: Vec<(&'static str, u64)>) -> Vec<RegisterReport> {
    registers.into_iter().map(|(name, value)| RegisterReport { name: name.to_owned(), value }).collect()
}

impl From<Problem> for ProblemReport {
    fn from(problem: Problem) -> Self {
        Self { what: problem.what, remedy: problem.remedy }
    }
}

impl From<Status> for CollectorReport {
    fn from(status: Status) -> Self {
        Self {
            is_connected: status.is_connected,
            last_observed_at: status.last_observed_at,
            last_seq: status.last_seq.map(|seq| seq.0),
            last_error: status.last_error,
            instances: status.instances,
        }
    }
}

impl From<Summary> for SpoolReport {
    fn from(summary: Summary) -> Self {
        let number = |seq: Option<metering::BatchSeq>| seq.map(|seq| seq.0);
        Self {
            node_id: summary.node_id.to_string(),
            path: summary.path.display().to_string(),
            waiting: summary.waiting.into(),
            kept: summary.kept.into(),
            refused: summary
                .refused
                .into_iter()
                .map(|batch| RefusedReport { seq: batch.seq.0, at: batch.at, reason: batch.reason })
                .collect(),
            last_committed: number(summary.last_committed),
            acknowledged: number(summary.acknowledged),
            known_until: number(summary.known_until),
            covered_until: number(summary.covered_until),
            dropped_until: number(summary.dropped_until),
            disk_bytes: summary.disk_bytes,
            is_reserve_complete: summary.is_reserve_complete,
            pending_notices: summary.pending_notices,
        }
    }
}

impl From<Stock> for StockReport {
    fn from(stock: Stock) -> Self {
        Self {
            batches: stock.batches,
            bytes: stock.bytes,
            first: stock.first.map(|seq| seq.0),
            last: stock.last.map(|seq| seq.0),
            oldest_at: stock.oldest_at,
        }
    }
}

impl From<Epoch> for EpochReport {
    fn from(epoch: Epoch) -> Self {
        Self { id: epoch.id.to_string(), born_at: epoch.born_at }
    }
}

impl From<Memory> for MemoryReport {
    fn from(memory: Memory) -> Self {
        Self {
            look: memory.look.map(|seq| seq.0),
            memory: memory.memory.to_string(),
            epochs: memory.epochs,
            last_look_at: memory.last_look_at,
            last_observation_at: memory.last_observation_at,
            instances: memory.instances.into_iter().map(InstanceReport::from).collect(),
            volumes: memory.volumes.into_iter().map(VolumeReport::from).collect(),
        }
    }
}

impl From<Instance> for InstanceReport {
    fn from(instance: Instance) -> Self {
        Self {
            instance_id: instance.instance_id.to_string(),
            name: instance.name,
            tenant_label: instance.tenant_label,
            last_read_at: instance.last_read_at,
            is_elsewhere: instance.is_elsewhere,
            run: instance.run.map(RunReport::from),
        }
    }
}

impl From<Run> for RunReport {
    fn from(run: Run) -> Self {
        Self {
            run_id: run.run_id,
            epoch: run.epoch.into(),
            is_executing: run.is_executing,
            vcpus: run.vcpus,
            memory_kib: run.memory_kib,
            held_until: run.held_until,
            unread_looks: run.unread_looks,
            registers: registers(run.registers),
            devices: run.devices.into_iter().map(DeviceReport::from).collect(),
        }
    }
}

impl From<Device> for DeviceReport {
    fn from(device: Device) -> Self {
        Self {
            name: device.name,
            source: device.source,
            epoch: device.epoch.into(),
            registers: registers(device.registers),
        }
    }
}

impl From<Volume> for VolumeReport {
    fn from(volume: Volume) -> Self {
        Self {
            volume_id: volume.volume_id.to_string(),
            pool: volume.pool,
            name: volume.name,
            path: volume.path.map(|path| path.display().to_string()),
            epoch: volume.epoch.into(),
            capacity_bytes: volume.capacity_bytes,
            held_until: volume.held_until,
            registers: registers(vec![("provisioned_kib_s", volume.provisioned_kib_s)]),
        }
    }
}

impl From<Snapshot> for PathsReport {
    fn from(snapshot: Snapshot) -> Self {
        let capabilities = snapshot.capabilities.into_iter().map(|capability| CapabilityReport {
            name: capability.name.to_owned(),
            gives: capability.gives.to_owned(),
            missing: capability.missing.map(|missing| MissingReport {
                why: missing.why,
                lost: missing.lost.to_owned(),
                remedy: missing.remedy.to_owned(),
            }),
        });
        Self {
            sampled_at: snapshot.sampled_at,
            samples: snapshot.samples,
            exit_records_lost: snapshot.overruns,
            capabilities: capabilities.collect(),
            instances: snapshot.instances.into_iter().map(TwoPathsOfInstance::from).collect(),
        }
    }
}

impl From<InstanceSnapshot> for TwoPathsOfInstance {
    fn from(instance: InstanceSnapshot) -> Self {
        let mut figures = vec![figure(None, instance.cpu_ns, |ns| vec![("cpu_ns", *ns)])];
        figures.extend(instance.nics.into_iter().map(|(mac, paths)| figure(Some(mac), paths, of_nic)));
        Self {
            instance_id: instance.instance_id.to_string(),
            run_id: instance.run_id,
            pid: instance.pid,
            figures,
        }
    }
}

fn of_nic(registers: &NicRegisters) -> Vec<(&'static str, u64)> {
    vec![
        ("rx_bytes", registers.rx_bytes),
        ("tx_bytes", registers.tx_bytes),
        ("rx_packets", registers.rx_packets),
        ("tx_packets", registers.tx_packets),
    ]
}

fn figure<T>(
    device: Option<String>,
    paths: TwoPaths<T>,
    named: impl Fn(&T) -> Vec<(&'static str, u64)>,
) -> FigureReport {
    let report = |sourced: Sourced<T>| SourcedReport {
        at: sourced.at,
        registers: registers(named(&sourced.value)),
        source: sourced.source,
    };
    FigureReport {
        device,
        kernel: paths.kernel.map(report),
        libvirt: paths.hypervisor.map(report),
        difference: paths.difference,
    }
}
