//! Calamities between looks, told in the words of the domain. What is checked is what would be billed: the
//! usage that `metering::derive` gets out of the readings.

mod crowds;
mod devices;
mod events;
mod instances;
mod laws;
mod volumes;

use std::time::Duration;

use metering::{
    BootId, DiskRegisters, Epoch, InstanceId, InstanceState, NicRegisters, Point, VolumeReading, derive,
};
use uuid::Uuid;

use super::*;
use crate::clock::Moment;
use crate::observation::{
    End, Figures, HypervisorEvent, ObservedDisk, ObservedInstance, ObservedNic, ObservedVolume, ProcessStart,
    Run, Scope, What,
};

const MAC: &str = "52:54:00:00:00:01";
const GIB: u64 = 1 << 30;

/// One look: `at` seconds after the kernel started.
#[derive(Clone, Debug)]
struct Look {
    at: u64,
    wall_jump_s: i64,
    /// How far the wall clock was off from the look's when things were heard.
    heard_jump_s: i64,
    kernel_life: u8,
    collector_forgot: bool,
    hypervisor_away: bool,
    guest: Option<Guest>,
    volume: Option<(u64, Option<u64>)>,
    /// What was heard, at which second, and of which run.
    events: Vec<(u64, What, Option<u32>)>,
    /// What the kernel kept of a run: its number, second, CPU time, bytes received.
    ends: Vec<(u32, u64, Option<u64>, Option<u64>)>,
    scope: Scope,
}

/// The guest as it is seen in a look.
#[derive(Clone, Debug)]
struct Guest {
    run: Option<u32>,
    started: Option<u64>,
    executing: bool,
    moving: bool,
    busy: bool,
    vcpus: u32,
    cpu_ns: u64,
    disk: Option<Disk>,
    nic: Option<(Option<&'static str>, Option<u64>)>,
}

#[derive(Clone, Debug)]
struct Disk {
    source: &'static str,
    relatives: Vec<&'static str>,
    mark: Option<u64>,
    written: Option<u64>,
    removable: bool,
}

/// What would be billed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Billed {
    cpu_ns: u64,
    running_s: u64,
    vcpu_s: u64,
    written: u64,
    received: u64,
    gib_s: u64,
}

fn look(at: u64, guest: Guest) -> Look {
    Look {
        at,
        wall_jump_s: 0,
        heard_jump_s: 0,
        kernel_life: 1,
        collector_forgot: false,
        hypervisor_away: false,
        guest: Some(guest),
        volume: None,
        events: Vec::new(),
        ends: Vec::new(),
        scope: Scope::Everything,
    }
}

/// A look at a node without guests.
fn nothing(at: u64) -> Look {
    Look { guest: None, ..look(at, off()) }
}

fn off() -> Guest {
    Guest { run: None, ..run(0, 0) }
}

/// A run that executes, with one vCPU and `cpu_ns` used.
fn run(number: u32, cpu_ns: u64) -> Guest {
    Guest {
        run: Some(number),
        started: None,
        executing: true,
        moving: false,
        busy: false,
        vcpus: 1,
        cpu_ns,
        disk: None,
        nic: None,
    }
}

fn disk(source: &'static str, written: u64) -> Disk {
    Disk { source, relatives: Vec::new(), mark: None, written: Some(written), removable: false }
}

impl Guest {
    fn started(self, at: u64) -> Self {
        Self { started: Some(at), ..self }
    }
    fn paused(self) -> Self {
        Self { executing: false, ..self }
    }
    fn moving(self) -> Self {
        Self { executing: false, moving: true, ..self }
    }
    fn busy(self) -> Self {
        Self { busy: true, ..self }
    }
    fn vcpus(self, vcpus: u32) -> Self {
        Self { vcpus, ..self }
    }
    fn disk(self, disk: Disk) -> Self {
        Self { disk: Some(disk), ..self }
    }
    fn nic(self, device: &'static str, received: u64) -> Self {
        Self { nic: Some((Some(device), Some(received))), ..self }
    }
}

impl Look {
    fn heard(mut self, at: u64, what: What) -> Self {
        self.events.push((at, what, None));
        self
    }

    fn heard_of(mut self, run_id: u32, at: u64, what: What) -> Self {
        self.events.push((at, what, Some(run_id)));
        self
    }

    fn end(mut self, run: u32, at: u64, cpu_ns: Option<u64>, received: Option<u64>) -> Self {
        self.ends.push((run, at, cpu_ns, received));
        self
    }

    fn blocks(self, but_not: &[InstanceId]) -> Self {
        Self {
            scope: Scope::Blocks { but_not: but_not.iter().copied().collect(), wholly: Default::default() },
            ..self
        }
    }

    fn moment(&self) -> Moment {
        let hour = 3_600 * i64::from(self.kernel_life);
        let wall = 1_790_000_000 + hour + i64::try_from(self.at).unwrap() + self.wall_jump_s;
        Moment { wall: Timestamp::from_second(wall).unwrap(), boot: Duration::from_secs(self.at) }
    }

    fn boot_id(&self) -> BootId {
        BootId::from_uuid(Uuid::from_u128(u128::from(self.kernel_life)))
    }

    fn observation(&self) -> Observation {
        let volume = self.volume.map(|(gib, created)| ObservedVolume {
            pool: "default".into(),
            name: "disk.qcow2".into(),
            path: Some("/pool/disk.qcow2".into()),
            capacity_bytes: Some(gib * GIB),
            created_at: created.map(|at| Look { at, ..self.clone() }.moment().wall),
            instance_id: None,
        });
        let at = |at| Look { at, wall_jump_s: self.wall_jump_s + self.heard_jump_s, ..self.clone() }.moment();
        let heard = |&(second, what, run_id): &(u64, What, Option<u32>)| HypervisorEvent {
            instance_id: guest_id(),
            what,
            at: at(second),
            run_id,
            memory_kib: None,
        };
        let end = |&(run_id, second, cpu_ns, received): &(u32, u64, Option<u64>, Option<u64>)| End {
            instance_id: guest_id(),
            run_id,
            at: at(second),
            cpu_ns,
            nics: received
                .map(|rx_bytes| (MAC.to_owned(), NicRegisters { rx_bytes, ..NicRegisters::default() }))
                .into_iter()
                .collect(),
            disks: Vec::new(),
        };
        Observation {
            boot_id: self.boot_id(),
            at: self.moment(),
            instances: self.guest.iter().map(Guest::observed).collect(),
            volumes: Some(volume.into_iter().collect()),
            storage_dirs: Vec::new(),
            scope: self.scope.clone(),
            ends: self.ends.iter().map(end).collect(),
            events: self.events.iter().map(heard).collect(),
        }
    }
}

impl Guest {
    fn observed(&self) -> ObservedInstance {
        let start = |at| ProcessStart { ticks: at * 100, boot: Duration::from_secs(at) };
        ObservedInstance {
            instance_id: guest_id(),
            name: "web".into(),
            tenant_label: None,
            makeup: metering::Makeup::default(),
            is_described: true,
            run: self.run.map(|run_id| Run {
                run_id,
                started: self.started.map(start),
                is_executing: Some(self.executing),
                is_moving: self.moving,
                is_silent: false,
                figures: (!self.busy).then(|| self.figures()),
            }),
        }
    }

    fn figures(&self) -> Figures {
        let disk = self.disk.as_ref().map(|disk| ObservedDisk {
            target: "vda".into(),
            source: disk.source.into(),
            mark: disk.mark,
            relatives: disk.relatives.iter().map(|name| (*name).to_owned()).collect(),
            is_removable: disk.removable,
            registers: disk
                .written
                .map(|write_bytes| DiskRegisters { write_bytes, ..DiskRegisters::default() }),
        });
        let nic = self.nic.as_ref().map(|(device, received)| ObservedNic {
            mac: Some(MAC.into()),
            host_device: device.map(str::to_owned),
            registers: received.map(|rx_bytes| NicRegisters { rx_bytes, ..NicRegisters::default() }),
        });
        Figures {
            cpu_ns: Some(self.cpu_ns),
            vcpus: Some(self.vcpus),
            memory_kib: Some(1_024),
            disks: disk.into_iter().collect(),
            nics: nic.into_iter().collect(),
        }
    }
}

fn guest_id() -> InstanceId {
    InstanceId::from_uuid(Uuid::from_u128(7))
}

/// All looks, one after the other; the memory is written out and read back between them, as by a collector
/// that is restarted after each.
fn outcomes(looks: &[Look]) -> Vec<Outcome> {
    let node_id = NodeId::from_uuid(Uuid::from_u128(1));
    let mut state = State::new(Uuid::from_u128(1));
    let mut outcomes = Vec::new();
    for (n, look) in looks.iter().enumerate() {
        if look.collector_forgot {
            state = State::new(Uuid::from_u128(2 + n as u128));
        }
        let moment = look.moment();
        outcomes.push(if look.hypervisor_away {
            let mark = Mark { boot_id: look.boot_id(), wall: moment.wall, boot: moment.boot };
            fail(&mut state, mark, "no socket")
        } else {
            observe(node_id, &mut state, &look.observation())
        });
        let bytes = rmp_serde::to_vec_named(&state).unwrap();
        state = rmp_serde::from_slice(&bytes).unwrap();
    }
    outcomes
}

fn billed(outcomes: &[Outcome]) -> Billed {
    let points = |take: &dyn Fn(&Readings) -> Vec<Point<3>>| -> [u64; 3] {
        let mut points: Vec<Point<3>> = outcomes.iter().flat_map(|outcome| take(&outcome.readings)).collect();
        points.sort_by_key(|point| point.observed_at);
        let all = Window::new(Timestamp::UNIX_EPOCH, Timestamp::from_second(1_890_000_000).unwrap()).unwrap();
        let tolerance = Duration::from_secs(60);
        derive(&points, &[all], tolerance, all.start())[0].quantities
    };
    let point = |observed_at, epoch: Epoch, registers: [u64; 3], is_last| Point {
        observed_at,
        epoch,
        registers,
        is_last,
    };
    let instance = points(&|readings| {
        let one = |reading: &metering::InstanceReading| {
            let registers = reading.registers;
            let values = [registers.cpu_ns, registers.running_ms, registers.vcpu_ms];
            let is_last = reading.state == InstanceState::Gone;
            point(reading.observed_at, reading.epoch, values, is_last)
        };
        readings.instances.iter().map(one).collect()
    });
    let disk = points(&|readings| {
        let one = |reading: &metering::DiskReading| {
            let values = [reading.registers.write_bytes, 0, 0];
            point(reading.observed_at, reading.epoch, values, false)
        };
        readings.disks.iter().map(one).collect()
    });
    let nic = points(&|readings| {
        let one = |reading: &metering::NicReading| {
            let values = [reading.registers.rx_bytes, 0, 0];
            point(reading.observed_at, reading.epoch, values, false)
        };
        readings.nics.iter().map(one).collect()
    });
    let volume = points(&|readings| {
        let one = |reading: &VolumeReading| {
            let values = [reading.registers.provisioned_kib_s, 0, 0];
            point(reading.observed_at, reading.epoch, values, !reading.exists)
        };
        readings.volumes.iter().map(one).collect()
    });
    Billed {
        cpu_ns: instance[0],
        running_s: instance[1] / 1_000,
        vcpu_s: instance[2] / 1_000,
        written: disk[0],
        received: nic[0],
        gib_s: volume[0] / (GIB / 1_024),
    }
}

#[track_caller]
fn check(looks: &[Look], expected: Billed) {
    assert_eq!(billed(&outcomes(looks)), expected);
}

fn gaps(looks: &[Look]) -> Vec<(GapReason, Option<String>)> {
    outcomes(looks).into_iter().flat_map(|outcome| outcome.gaps).map(|gap| (gap.reason, gap.device)).collect()
}
