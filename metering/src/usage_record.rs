//! Usage records: what rating reads and what tenants see.
//!
//! They carry no tenant: whoever fetches them did so for one tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// What else is known of the resource in the window: `storage_class: ssd`, `network: internet`, `licence: windows`.
    /// It is the same for all of the window: a change counts from the next usage window on.
    pub dimensions: Dimensions,
}

/// Dimensions by name. Cheap to clone: thousands of records share one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dimensions(Option<Arc<BTreeMap<String, String>>>);

impl Dimensions {
    /// These.
    #[must_use]
    pub fn new(all: BTreeMap<String, String>) -> Self {
        Self((!all.is_empty()).then(|| Arc::new(all)))
    }

    /// The value of one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.as_ref()?.get(name).map(String::as_str)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|all| all.iter()).map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// What all resources of a tenant together used of one meter in one short interval, for prices that look at rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Of which meter.
    pub meter: MeterName,
    /// When.
    pub window: Window,
    /// How much, in the meter's base unit.
    pub quantity: u64,
}
