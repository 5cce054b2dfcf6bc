//! What was done to each guest, and the last figures of everything it had: the truth that Weir is compared with. Plain facts.

use jiff::Timestamp;

use super::plans::GuestPlan;
use crate::orders::Orders;
use crate::truth::{DiskFigures, Figures, NicFigures};

/// An instant known up to the two ends.
pub(super) type Between = (Timestamp, Timestamp);

/// A volume from creation to deletion.
#[derive(Debug, Clone)]
pub(super) struct VolumeRecord {
    pub(super) volume: String,
    pub(super) capacity_bytes: u64,
    pub(super) created: Between,
    pub(super) deleted: Option<Between>,
}

/// The end of one life.
#[derive(Debug, Clone)]
pub(super) struct LifeEnd {
    /// libvirt's figures just before the end.
    pub(super) before: Figures,
    /// When the guest's process began.
    pub(super) process_started: Timestamp,
    /// CPU time of its process, ns: by the kernel's exit records of all its threads.
    pub(super) cpu_ns: u64,
}

/// What was done to one guest, and libvirt's last figures of everything it had.
#[derive(Debug, Clone)]
pub(super) struct GuestRecord {
    pub(super) plan: &'static GuestPlan,
    pub(super) instance_id: String,
    pub(super) libvirt_name: String,
    pub(super) orders: Orders,
    pub(super) lives: Vec<LifeEnd>,
    /// By target, each time it was unplugged or the guest stopped.
    pub(super) disks: Vec<(String, DiskFigures)>,
    /// By guest's name of the NIC.
    pub(super) nics: Vec<(String, NicFigures)>,
    pub(super) volumes: Vec<VolumeRecord>,
}
