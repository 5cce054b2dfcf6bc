//! Usage records: what rating reads and what tenants see.
//!
//! They carry no tenant: whoever fetches them did so for one tenant.

use crate::derive::Coverage;
use crate::id::{InstanceId, VolumeId};
use crate::meter::MeterName;
use crate::window::Window;

/// What a usage record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// An instance.
    Instance(InstanceId),
    /// A disk of an instance, by its target.
    Disk(InstanceId, String),
    /// A NIC of an instance, by its MAC.
    Nic(InstanceId, String),
    /// A volume.
    Volume(VolumeId),
}

impl Resource {
    /// The instance that it is or belongs to.
    #[must_use]
    pub const fn instance_id(&self) -> Option<InstanceId> {
        match self {
            Self::Instance(id) | Self::Disk(id, _) | Self::Nic(id, _) => Some(*id),
            Self::Volume(_) => None,
        }
    }

    /// The device of the instance, if it is one.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        match self {
            Self::Disk(_, device) | Self::Nic(_, device) => Some(device),
            Self::Instance(_) | Self::Volume(_) => None,
        }
    }
}

/// Quantity of one meter, for one resource and one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRecord {
    /// Of what.
    pub resource: Resource,
    /// What people call it: the instance's name, or `pool/volume`.
    pub resource_name: String,
    /// Which meter.
    pub meter: MeterName,
    /// When.
    pub window: Window,
    /// How much, in the meter's base unit.
    pub quantity: u64,
    /// How well it is known.
    pub coverage: Coverage,
}
