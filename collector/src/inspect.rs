//! What a node holds right now, for people who look into it: the spool, the registers with their epochs, and both paths to
//! the figures. Each part is read by itself, says where it is from, and may fail without hiding the others.
//!
//! It changes nothing and decides nothing, and it does not lay anything out.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use metering::{BatchSeq, Epoch, InstanceId, VolumeId};
use uuid::Uuid;

use crate::clock::{Clock, SystemClock};
use crate::spool::{self, Summary};
use crate::tracker::{DeviceTrack, InstanceTrack, RunTrack, State, VolumeTrack};
use crate::{Collector, SpoolError, Status, chain, kernel};

/// Everything that could be found out.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// When, by the node's wall clock: ages count from here.
    pub at: Timestamp,
    /// How the collector is doing. `None`: none runs.
    pub status: Option<Status>,
    /// The spool.
    pub spool: Part<Summary>,
    /// Registers and epochs.
    pub registers: Part<Memory>,
    /// What the kernel and the hypervisor said last.
    pub paths: Part<kernel::Snapshot>,
}

/// A part: what could be read of it, and what could not.
#[derive(Clone, Debug)]
pub struct Part<T> {
    /// From what.
    pub source: String,
    /// What was read. `None`: nothing could be.
    pub value: Option<T>,
    /// What could not be read, or is wrong.
    pub problems: Vec<Problem>,
}

/// Something that could not be read, or is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What, and why.
    pub what: String,
    /// How to mend it.
    pub remedy: String,
}

/// The tracker's memory: what the next look goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Of which look, if that is known.
    pub look: Option<BatchSeq>,
    /// Which memory it is. It is part of every epoch.
    pub memory: Uuid,
    /// Epochs that were begun in it.
    pub epochs: u64,
    /// The last look, successful or not.
    pub last_look_at: Option<Timestamp>,
    /// The last look that saw the instances.
    pub last_observation_at: Option<Timestamp>,
    /// The instances, by name.
    pub instances: Vec<Instance>,
    /// The volumes, by pool and name.
    pub volumes: Vec<Volume>,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Which.
    pub instance_id: InstanceId,
    /// Its name.
    pub name: String,
    /// What its metadata claims about its tenant.
    pub tenant_label: Option<String>,
    /// The last look that could read it.
    pub last_read_at: Option<Timestamp>,
    /// It went to another node and has not run here since.
    pub is_elsewhere: bool,
    /// Its run, if it has one.
    pub run: Option<Run>,
}

/// A run of an instance: one life of its registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The hypervisor's number of it.
    pub run_id: u32,
    /// Its epoch.
    pub epoch: Epoch,
    /// Whether it executes, once known.
    pub is_executing: Option<bool>,
    /// vCPUs that it holds, once known.
    pub vcpus: Option<u32>,
    /// Memory that it holds, in KiB, once known.
    pub memory_kib: Option<u64>,
    /// Up to when what it holds is counted.
    pub held_until: Timestamp,
    /// For how many looks in a row it could not be read.
    pub unread_looks: u32,
    /// Its registers by name.
    pub registers: Vec<(&'static str, u64)>,
    /// Its disks and NICs.
    pub devices: Vec<Device>,
}

/// A disk or a NIC, attached once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// `vda`, or a MAC.
    pub name: String,
    /// What backs a disk; empty for a NIC.
    pub source: String,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its registers by name. Empty: it was never read.
    pub registers: Vec<(&'static str, u64)>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Which.
    pub volume_id: VolumeId,
    /// Its pool; empty: it lies in none.
    pub pool: String,
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub path: Option<PathBuf>,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its size, once known.
    pub capacity_bytes: Option<u64>,
    /// Up to when its size is counted.
    pub held_until: Timestamp,
    /// Its register.
    pub provisioned_kib_s: u64,
}

/// The registers of a disk, in the order in which the tracker keeps them.
const DISK_REGISTERS: [&str; 5] = ["read_bytes", "write_bytes", "read_ops", "write_ops", "flush_ops"];
/// The same of a NIC.
const NIC_REGISTERS: [&str; 4] = ["rx_bytes", "tx_bytes", "rx_packets", "tx_packets"];

impl Collector {
    /// What it holds right now.
    #[must_use]
    pub fn inspect(&self) -> Inspection {
        let spool = self.spool();
        let status = self.status();
        let summary = Part::of(String::new(), spool.summary().map(Some), disk_remedy);
        let path =
            summary.value.as_ref().map(|summary| summary.path.display().to_string()).unwrap_or_default();
        let state = spool.state().map(|state| state.map(|state| memory(&state, status.last_seq)));
        let snapshot = self.kernel();
        let problems: Vec<Problem> = status
            .last_error
            .iter()
            .map(|error| Problem {
                what: format!("the last look failed: {error}"),
                remedy: "it is tried again by itself; see whether libvirt runs and may be read".to_owned(),
            })
            .collect();
        Inspection {
            at: SystemClock.now().wall,
            spool: Part { source: format!("{path}, asked of the running collector"), ..summary },
            registers: Part::of(
                format!("{path}: memory-a, memory-b: what the next look goes on from"),
                state,
                disk_remedy,
            ),
            paths: Part {
                source: "memory of the running collector".to_owned(),
                value: Some(snapshot),
                problems,
            },
            status: Some(status),
        }
    }
}

/// What lies in the spool's directory `dir`, on which no collector runs. Nothing is touched.
#[must_use]
pub fn offline(dir: &Path) -> Inspection {
    let found = spool::peek(dir);
    let unused = found.is_unused.then(|| Problem {
        what: format!("no collector has worked on {} yet", dir.display()),
        remedy: "start one (weir up, or weir node join on a further machine), or name another --data"
            .to_owned(),
    });
    let problems = |damage: &[String]| -> Vec<Problem> {
        damage.iter().map(|what| Problem { what: what.clone(), remedy: damage_remedy() }).collect()
    };
    Inspection {
        at: SystemClock.now().wall,
        status: None,
        spool: Part {
            source: format!("{}: identity, spool/, refused/", dir.display()),
            problems: problems(&found.damage).into_iter().chain(unused).collect(),
            value: found.summary,
        },
        registers: Part {
            source: format!("{}: memory-a, memory-b", dir.display()),
            problems: problems(&found.memory_damage),
            value: found.memory.map(|(seq, state)| memory(&state, Some(seq))),
        },
        paths: Part {
            source: "only known to a running collector".to_owned(),
            value: None,
            problems: Vec::new(),
        },
    }
}

impl<T> Part<T> {
    fn of(source: String, read: Result<Option<T>, SpoolError>, remedy: fn() -> String) -> Self {
        match read {
            Ok(value) => Self { source, value, problems: Vec::new() },
            Err(error) => {
                let problem = Problem { what: chain(&error), remedy: remedy() };
                Self { source, value: None, problems: vec![problem] }
            }
        }
    }
}

fn disk_remedy() -> String {
    "see to the disk of the data directory; the collector goes on by itself".to_owned()
}

fn damage_remedy() -> String {
    "start weir on this directory: it keeps what is whole and puts the rest aside; then check the disk"
        .to_owned()
}

fn memory(state: &State, look: Option<BatchSeq>) -> Memory {
    let mut instances: Vec<Instance> =
        state.instances.iter().map(|(id, track)| instance(*id, track)).collect();
    instances.sort_by(|a, b| (&a.name, a.instance_id).cmp(&(&b.name, b.instance_id)));
    let mut volumes: Vec<Volume> = state.volumes.iter().map(|(id, track)| volume(*id, track)).collect();
    volumes.sort_by(|a, b| (&a.pool, &a.name, a.volume_id).cmp(&(&b.pool, &b.name, b.volume_id)));
    Memory {
        look,
        memory: state.memory,
        epochs: state.epochs,
        last_look_at: state.last_look.map(|mark| mark.wall),
        last_observation_at: state.last_observation.map(|mark| mark.wall),
        instances,
        volumes,
    }
}

fn instance(instance_id: InstanceId, track: &InstanceTrack) -> Instance {
    Instance {
        instance_id,
        name: track.name.clone(),
        tenant_label: track.tenant_label.clone(),
        last_read_at: track.last_read.map(|mark| mark.wall),
        is_elsewhere: track.is_elsewhere,
        run: track.run.as_ref().map(run),
    }
}

fn run(track: &RunTrack) -> Run {
    let disks = track.disks.iter().map(|(name, disk)| device(name, disk, &DISK_REGISTERS));
    let nics = track.nics.iter().map(|(mac, nic)| device(mac, nic, &NIC_REGISTERS));
    Run {
        run_id: track.run_id,
        epoch: track.epoch.into(),
        is_executing: track.amounts.map(|amounts| amounts.is_executing),
        vcpus: track.amounts.map(|amounts| amounts.vcpus),
        memory_kib: track.amounts.map(|amounts| amounts.memory_kib),
        held_until: track.held_until.wall,
        unread_looks: track.unread_looks,
        registers: vec![
            ("cpu_ns", track.cpu_ns),
            ("running_ms", track.running.value()),
            ("vcpu_ms", track.vcpu.value()),
            ("memory_kib_s", track.memory.value()),
        ],
        devices: disks.chain(nics).collect(),
    }
}

fn device(name: &str, track: &DeviceTrack, names: &[&'static str]) -> Device {
    Device {
        name: name.to_owned(),
        source: track.source.clone(),
        epoch: track.epoch.into(),
        registers: names.iter().copied().zip(track.registers.iter().copied()).collect(),
    }
}

fn volume(volume_id: VolumeId, track: &VolumeTrack) -> Volume {
    Volume {
        volume_id,
        pool: track.pool.clone(),
        name: track.name.clone(),
        path: track.path.clone(),
        epoch: track.epoch.into(),
        capacity_bytes: track.capacity_bytes,
        held_until: track.held_until.wall,
        provisioned_kib_s: track.provisioned.value(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use metering::{Batch, BootId, Readings};

    use super::*;
    use crate::Spool;

    /// A spool of three looks at an instance that is switched off, and who its node is.
    fn spool(dir: &Path) -> metering::NodeId {
        let spool = Spool::open(dir).unwrap();
        let mut state = State::new(Uuid::from_u128(1));
        let track = InstanceTrack { name: "web".into(), ..InstanceTrack::default() };
        state.instances.insert(InstanceId::from_uuid(Uuid::from_u128(7)), track);
        for second in 0..3 {
            let batch = Batch {
                node_id: spool.node_id(),
                seq: BatchSeq(0),
                node_name: "node".into(),
                boot_id: BootId::from_uuid(Uuid::nil()),
                collected_at: Timestamp::from_second(1_790_000_000 + second).unwrap(),
                collected_boot: None,
                readings: Readings::default(),
                gaps: Vec::new(),
                instances: Vec::new(),
                volumes: Vec::new(),
                notices: Vec::new(),
            };
            spool.commit(batch, &state).unwrap();
        }
        spool.node_id()
    }

    /// All files below `dir` with their bytes.
    fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            match path.is_dir() {
                true => found.extend(files(&path)),
                false => {
                    found.insert(path.clone(), std::fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    /// What is said about a directory that `harm` was done to: batches that wait, instances, and how many problems the
    /// spool and the registers have.
    fn check(
        what: &str,
        harm: impl FnOnce(&Path),
        batches: Option<u64>,
        instances: Option<usize>,
        problems: (usize, usize),
    ) {
        let dir = tempfile::tempdir().unwrap();
        spool(dir.path());
        harm(dir.path());
        let before = files(dir.path());
        let found = offline(dir.path());
        assert_eq!(found.spool.value.as_ref().map(|summary| summary.waiting.batches), batches, "{what}");
        assert_eq!(found.registers.value.as_ref().map(|memory| memory.instances.len()), instances, "{what}");
        let told = (found.spool.problems.len(), found.registers.problems.len());
        assert_eq!(told, problems, "{what}: {:?} {:?}", found.spool.problems, found.registers.problems);
        assert!(found.status.is_none() && found.paths.value.is_none(), "{what}");
        assert_eq!(files(dir.path()), before, "{what}: something was changed");
    }

    fn overwrite(path: &Path) {
        std::fs::write(path, b"rubbish").unwrap();
    }

    fn segment(dir: &Path) -> PathBuf {
        let is_log = |path: &PathBuf| path.extension().is_some_and(|suffix| suffix == "log");
        files(&dir.join("spool")).into_keys().find(is_log).unwrap()
    }

    #[test]
    fn damage_to_one_part_hides_no_other_and_nothing_is_touched() {
        check("nothing", |_| {}, Some(3), Some(1), (0, 0));
        check("the identity", |dir| overwrite(&dir.join("identity")), Some(3), Some(1), (1, 0));
        let both = |dir: &Path| ["memory-a", "memory-b"].map(|name| overwrite(&dir.join(name)));
        let both_of = |dir: &Path| {
            both(dir);
        };
        check("both memories", both_of, Some(3), None, (0, 1));
        let gone = |dir: &Path| std::fs::remove_dir_all(dir.join("spool")).unwrap();
        check("the log is gone", gone, Some(0), Some(1), (1, 0));
        let no_directory = |dir: &Path| {
            std::fs::remove_dir_all(dir.join("refused")).unwrap();
            overwrite(&dir.join("refused"));
        };
        check("what was refused", no_directory, Some(3), Some(1), (1, 0));
        let middle = |dir: &Path| {
            let path = segment(dir);
            let mut bytes = std::fs::read(&path).unwrap();
            let whole = bytes.iter().rposition(|byte| *byte != 0).unwrap();
            bytes[whole / 2] ^= 0xff;
            std::fs::write(path, bytes).unwrap();
        };
        check("a bit of a batch", middle, Some(2), Some(1), (1, 0));
    }

    #[test]
    fn a_directory_without_a_spool_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let found = offline(dir.path());
        assert_eq!(found.spool.problems.len(), 1);
        assert!(found.spool.problems[0].remedy.contains("--data"), "{:?}", found.spool.problems);
        assert!(found.registers.problems.is_empty());
    }

    #[test]
    fn what_waits_is_told_with_its_numbers_and_its_age() {
        let dir = tempfile::tempdir().unwrap();
        let node_id = spool(dir.path());
        let found = offline(dir.path());
        let summary = found.spool.value.unwrap();
        let waiting = summary.waiting;
        assert_eq!((summary.node_id, summary.last_committed), (node_id, Some(BatchSeq(3))));
        assert_eq!((waiting.first, waiting.last), (Some(BatchSeq(1)), Some(BatchSeq(3))));
        assert_eq!(waiting.oldest_at, Timestamp::from_second(1_790_000_000).ok());
        let memory = found.registers.value.unwrap();
        assert_eq!((memory.look, memory.memory), (Some(BatchSeq(3)), Uuid::from_u128(1)));
        assert_eq!(memory.instances[0].name, "web");
    }
}
