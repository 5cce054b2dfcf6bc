//! A batch: what a node hands over at once, the unit that is counted exactly once.
//!
//! The pair (node, [`BatchSeq`]) is its identity for ever. It is not a file format and not a network
//! message; [`crate::wire`] is.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

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
    /// When the collector put it together, by the node's wall clock.
    pub collected_at: Timestamp,
    /// The same instant as time since the kernel started. Together with the node's two clocks at delivery it tells how
    /// wrong the wall clock was. `None`: from a release that did not say.
    pub collected_boot: Option<Duration>,
    /// The readings.
    pub readings: Readings,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// Instances of which something changed or that are new.
    pub instances: Vec<InstanceFacts>,
    /// Volumes of which something changed or that are new.
    pub volumes: Vec<VolumeFacts>,
    /// What an operator should know.
    pub notices: Vec<Notice>,
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
    /// What it is made of.
    pub makeup: Makeup,
}

/// What an instance is made of, as far as prices may depend on it. Anything that libvirt accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Makeup {
    /// The image from which its first disk was made: the path of what lies below all others. `None`: from none, or it was never
    /// seen running, as only then it is known.
    pub image: Option<String>,
    /// By MAC, where each of its NICs is plugged in: a network's name, or that of a bridge or of a device of the node.
    pub networks: BTreeMap<String, String>,
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
    /// The instance or device ended unread: what it did since the span's start is not in its registers.
    EndedUnread,
}

impl GapReason {
    const ALL: [GapReason; 5] =
        [Self::HypervisorAway, Self::InstanceBusy, Self::NotCounted, Self::Impossible, Self::EndedUnread];

    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HypervisorAway => "hypervisor_away",
            Self::InstanceBusy => "instance_busy",
            Self::NotCounted => "not_counted",
            Self::Impossible => "impossible",
            Self::EndedUnread => "ended_unread",
        }
    }

    /// The reason of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// Something that a node tells its operator. It changes no quantity; the control plane makes an alert of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What kind of thing.
    pub kind: NoticeKind,
    /// About which instance; `None`: about the node.
    pub instance_id: Option<InstanceId>,
    /// About which of its parts; `None`: all of it.
    pub device: Option<String>,
    /// Whether it is over: the alert that was raised by the same kind, instance and device ends.
    pub is_over: bool,
    /// What was seen, for people.
    pub detail: String,
}

/// What a [`Notice`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    /// The kernel and the hypervisor tell different figures of the same thing.
    PathsDiffer,
    /// The kernel's figures cannot be had here, or not all of them: the hypervisor's alone are used.
    KernelPathAway,
    /// The wall clock was set.
    ClockStepped,
    /// The spool was over its limit: readings were folded together. Resolution was lost, no quantity.
    SpoolThinned,
    /// The spool's disk is full, or failed.
    SpoolFailing,
    /// The spool's file was damaged.
    SpoolDamaged,
    /// The control plane refused a batch for good; it is kept aside on the node.
    BatchRefused,
    /// Batches that the control plane lost (it was restored from a backup) are not on the node any more.
    RefillIncomplete,
    /// An instance's process does not answer.
    InstanceHangs,
}

impl NoticeKind {
    /// All of them.
    pub const ALL: [NoticeKind; 9] = [
        Self::PathsDiffer,
        Self::KernelPathAway,
        Self::ClockStepped,
        Self::SpoolThinned,
        Self::SpoolFailing,
        Self::SpoolDamaged,
        Self::BatchRefused,
        Self::RefillIncomplete,
        Self::InstanceHangs,
    ];

    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PathsDiffer => "paths_differ",
            Self::KernelPathAway => "kernel_path_away",
            Self::ClockStepped => "clock_stepped",
            Self::SpoolThinned => "spool_thinned",
            Self::SpoolFailing => "spool_failing",
            Self::SpoolDamaged => "spool_damaged",
            Self::BatchRefused => "batch_refused",
            Self::RefillIncomplete => "refill_incomplete",
            Self::InstanceHangs => "instance_hangs",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}
