//! What the kernel path holds right now, for `weir inspect node`: figures with their sources, and what is missing.
//!
//! Plain values, copied out; nothing here reads anything.

use jiff::Timestamp;
use metering::{InstanceId, NicRegisters};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// When the kernel was last sampled; `None`: not yet, or there is no kernel path.
    pub sampled_at: Option<Timestamp>,
    /// Samples taken since the collector started.
    pub samples: u64,
    /// Exit records of the kernel that were lost since the collector started, each time counted once.
    pub overruns: u64,
    /// What the kernel path can do here.
    pub capabilities: Vec<Capability>,
    /// All runs that it knows, by instance.
    pub instances: Vec<InstanceSnapshot>,
}

/// One thing that the kernel path can do, or cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What, such as "exit records".
    pub name: &'static str,
    /// What it is good for.
    pub gives: &'static str,
    /// `None`: it is available. Otherwise why it is not, and what that costs.
    pub missing: Option<Missing>,
}

/// Why something is not available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What was tried and what the system said.
    pub why: String,
    /// What is lost by it.
    pub lost: &'static str,
    /// How to mend it.
    pub remedy: &'static str,
}

/// The two paths of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSnapshot {
    /// Whose.
    pub instance_id: InstanceId,
    /// The hypervisor's number of the run.
    pub run_id: u32,
    /// The process.
    pub pid: Option<u32>,
    /// CPU time, in ns.
    pub cpu_ns: TwoPaths<u64>,
    /// NICs by MAC.
    pub nics: Vec<(String, TwoPaths<NicRegisters>)>,
}

/// The last figure of either path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwoPaths<T> {
    /// By the kernel.
    pub kernel: Option<Sourced<T>>,
    /// By the hypervisor, from the last look that asked for it.
    pub hypervisor: Option<Sourced<T>>,
    /// How the two differed when both were last read, in words; `None`: they agreed, or were not both read.
    pub difference: Option<String>,
}

/// A figure with where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The figure.
    pub value: T,
    /// When it was read, by the wall clock.
    pub at: Timestamp,
    /// From what, such as "process clock of 4711" or "virConnectGetAllDomainStats".
    pub source: String,
}

impl<T> Default for TwoPaths<T> {
    fn default() -> Self {
        Self { kernel: None, hypervisor: None, difference: None }
    }
}
