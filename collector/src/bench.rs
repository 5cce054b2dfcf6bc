//! What a look costs against the bare call of the hypervisor's library, for `make bench`. Not used in service.

use std::time::{Duration, Instant};

use metering::NodeId;
use uuid::Uuid;

use crate::clock::{self, SystemClock};
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

/// A whole look (figures, descriptions, volumes, tracking), `calls` times on one connection, without the
/// spool. The first look, which reads every description, is not measured.
///
/// # Errors
/// The hypervisor could not be asked.
pub fn look(uri: &str, calls: u32) -> Result<Cost, HypervisorError> {
    let boot_id = clock::boot_id().map_err(|error| HypervisorError {
        doing: "reading the boot id".to_owned(),
        message: error.to_string(),
    })?;
    let mut libvirt = Libvirt::new(uri, boot_id, Default::default());
    let mut state = State::new(Uuid::new_v4());
    let node_id = NodeId::from_uuid(Uuid::new_v4());
    let mut once = || {
        let observation = libvirt.observe(&SystemClock, &Scope::Everything)?;
        let outcome = tracker::observe(node_id, &mut state, &observation);
        std::hint::black_box(outcome);
        Ok(observation.instances.len())
    };
    once()?;
    measure(calls, once)
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
