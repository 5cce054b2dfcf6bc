//! A batch: what a node hands over at once, the unit that is counted exactly once.
//!
//! The pair (node, [`BatchSeq`]) is its identity for ever. It is not a file format and not a network
//! message; [`crate::wire`] is.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{BootId, InstanceId, NodeId, VolumeId};
use crate::reading::Readings;
use crate::window::Window;

/// The number of a batch on its node: 1, 2, 3, … without holes, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchSeq(pub u64);

impl BatchSeq {
    /// The one after.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for BatchSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Readings of one node, with what is known about the things read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// From which node.
    pub node_id: NodeId,
    /// Which of the node's batches.
    pub seq: BatchSeq,
    /// The node's name, for people.
    pub node_name: String,
    /// The life of the node's kernel.
    pub boot_id: BootId,
    /// When the collector put it together.
    pub collected_at: Timestamp,
    /// The readings.
    pub readings: Readings,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// Instances of which something changed or that are new.
    pub instances: Vec<InstanceFacts>,
    /// Volumes of which something changed or that are new.
    pub volumes: Vec<VolumeFacts>,
}

/// What a node knows of an instance besides its registers. Sent when it is new or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceFacts {
    /// Which.
    pub instance_id: InstanceId,
    /// libvirt's name of it. Anything that libvirt accepts.
    pub name: String,
    /// What the instance's metadata claims about its tenant, unchecked.
    pub tenant_label: Option<String>,
}

/// What a node knows of a volume besides its register. Sent when it is new or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeFacts {
    /// Which.
    pub volume_id: VolumeId,
    /// Its pool, or `""` for a disk that lies in none.
    pub pool: String,
    /// Its name in the pool, or its path.
    pub name: String,
    /// The instance that it is attached to, if any.
    pub instance_id: Option<InstanceId>,
}

/// A reading that could not be taken. Absent is not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Of which instance; `None`: of the whole node.
    pub instance_id: Option<InstanceId>,
    /// Which of its parts, such as `vda` or a MAC; `None`: all of it.
    pub device: Option<String>,
    /// From when to when.
    pub span: Window,
    /// Why.
    pub reason: GapReason,
    /// What was seen, for people.
    pub detail: String,
}

/// Why a reading could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The hypervisor's daemon did not answer.
    HypervisorAway,
    /// The instance's monitor is held by something else, or hangs.
    InstanceBusy,
    /// The hypervisor does not count this device (a passed-through NIC, an empty drive).
    NotCounted,
    /// A figure that cannot be true: it was left out.
    Impossible,
}

impl GapReason {
    const ALL: [GapReason; 4] =
        [Self::HypervisorAway, Self::InstanceBusy, Self::NotCounted, Self::Impossible];

    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HypervisorAway => "hypervisor_away",
            Self::InstanceBusy => "instance_busy",
            Self::NotCounted => "not_counted",
            Self::Impossible => "impossible",
        }
    }

    /// The reason of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}
