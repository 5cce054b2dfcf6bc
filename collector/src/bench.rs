//! What looks and samples cost against the bare calls that they contain, for `make bench`. Not used in service.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metering::{InstanceId, NodeId};
use uuid::Uuid;

use crate::clock::{self, SystemClock};
use crate::kernel::Kernel;
use crate::kernel::netlink::Socket;
use crate::libvirt::Libvirt;
use crate::libvirt::ffi::Connection;
use crate::observation::{Hypervisor, HypervisorError, Scope};
use crate::tracker::{self, State};

/// What some calls cost together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Instances seen in the last one.
    pub instances: usize,
    /// Calls measured.
    pub calls: u32,
    /// Time on the wall for all of them.
    pub wall: Duration,
    /// CPU time of this process, all of its threads, for all of them.
    pub cpu: Duration,
}

/// The bare bulk call, `calls` times on one connection, with nothing decoded.
///
/// # Errors
/// The hypervisor could not be asked.
pub fn bare_bulk_call(uri: &str, calls: u32) -> Result<Cost, HypervisorError> {
    let connection = Connection::open(uri)?;
    connection.count_all_domain_stats()?;
    measure(calls, || connection.count_all_domain_stats())
}

/// What a reading asks the hypervisor for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All figures of all instances.
    Everything,
    /// The disks of all instances.
    Disks,
    /// The disks of those instances that are not known to have done nothing.
    DisksInUse,
}

/// A collector taken apart: what it does once is done when it is told to, without its threads and its spool.
pub struct Rig {
    libvirt: Libvirt,
    kernel: Kernel,
    state: State,
    node_id: NodeId,
}

impl Rig {
    /// Takes the first look, which reads all descriptions and finds all processes.
    ///
    /// # Errors
    /// The hypervisor could not be asked.
    pub fn new(uri: &str) -> Result<Self, HypervisorError> {
        let boot_id = clock::boot_id().map_err(|error| HypervisorError {
            doing: "reading the boot id".to_owned(),
            message: error.to_string(),
        })?;
        let mut rig = Self {
            libvirt: Libvirt::new(uri, boot_id, Default::default()),
            kernel: Kernel::by_hand(uri, Arc::new(SystemClock)),
            state: State::new(Uuid::new_v4()),
            node_id: NodeId::from_uuid(Uuid::new_v4()),
        };
        rig.read(Asked::Everything)?;
        Ok(rig)
    }

    /// Samples the kernel, `calls` times.
    pub fn sample(&mut self, calls: u32) -> Cost {
        let (wall, cpu) = (Instant::now(), process_cpu());
        for _ in 0..calls {
            self.kernel.sample();
        }
        let instances = self.kernel.asks().all.len();
        Cost { instances, calls, wall: wall.elapsed(), cpu: process_cpu().saturating_sub(cpu) }
    }

    /// Takes a reading. Gives the number of instances.
    ///
    /// # Errors
    /// The hypervisor could not be asked.
    pub fn read(&mut self, asked: Asked) -> Result<usize, HypervisorError> {
        let none = HashSet::<InstanceId>::new;
        let scope = match asked {
            Asked::Everything => Scope::Everything,
            Asked::Disks => Scope::Blocks { but_not: none(), wholly: none() },
            Asked::DisksInUse => Scope::Blocks { but_not: self.kernel.asks().at_rest, wholly: none() },
        };
        let before = self.kernel.begin_look();
        let mut observation = self.libvirt.observe(&SystemClock, &scope)?;
        self.kernel.complete(&mut observation, &before, |_, _| None);
        std::hint::black_box(tracker::observe(self.node_id, &mut self.state, &observation));
        self.kernel.committed();
        Ok(observation.instances.len())
    }

    /// Takes readings, `calls` times.
    ///
    /// # Errors
    /// The hypervisor could not be asked.
    pub fn readings(&mut self, asked: Asked, calls: u32) -> Result<Cost, HypervisorError> {
        measure(calls, || self.read(asked))
    }
}

/// What a sample cannot do without, bare: each process' clock and one dump of all devices' counters, nothing kept. `calls`
/// times.
///
/// # Errors
/// No netlink socket.
pub fn bare_sample(pids: &[u32], calls: u32) -> Result<Cost, std::io::Error> {
    /// `RTM_GETSTATS`, and the mask that asks for 64 bit counters only.
    const GETSTATS: u16 = 94;
    const REQUEST: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    let mut socket = Socket::open(None, 0)?;
    let processes: Vec<_> = pids.iter().map(|pid| crate::kernel::process(*pid)).collect();
    let (wall, cpu) = (Instant::now(), process_cpu());
    for _ in 0..calls {
        for process in &processes {
            std::hint::black_box(process.clock_ns());
        }
        socket.dump(GETSTATS, &REQUEST, |message| {
            std::hint::black_box(message.body.len());
        })?;
    }
    let (wall, cpu) = (wall.elapsed(), process_cpu().saturating_sub(cpu));
    Ok(Cost { instances: pids.len(), calls, wall, cpu })
}

/// Gives back what earlier work has left in this process' heaps, so that it is not counted for the memory of a collector
/// that is started next.
pub fn give_back_memory() {
    crate::memory::give_back();
}

fn measure(
    calls: u32,
    mut call: impl FnMut() -> Result<usize, HypervisorError>,
) -> Result<Cost, HypervisorError> {
    let (wall, cpu) = (Instant::now(), process_cpu());
    let mut instances = 0;
    for _ in 0..calls {
        instances = call()?;
    }
    Ok(Cost { instances, calls, wall: wall.elapsed(), cpu: process_cpu().saturating_sub(cpu) })
}

fn process_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
