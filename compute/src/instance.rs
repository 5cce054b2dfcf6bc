//! An instance as it is on this node.
//!
//! Only facts from the hypervisor: no usage, no price, and nothing that the guest itself claims.

use std::fmt;
use std::str::FromStr;

use metering::{InstanceId, InstanceState, TenantName};
use serde::{Serialize, Serializer};
use uuid::Uuid;

/// How people point at an instance: by name or by id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum InstanceRef {
    /// By its id.
    Id(InstanceId),
    /// By its name.
    Name(String),
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// Its identity.
    pub instance_id: InstanceId,
    /// Its name.
    pub name: String,
    /// Who pays, from its metadata; none where nobody wrote it (or wrote no tenant name).
    pub tenant: Option<TenantName>,
    /// Whether Weir made it. What somebody else made, Weir meters, starts and stops, but never deletes.
    pub made_by_weir: bool,
    /// What it is doing.
    #[serde(serialize_with = "state_as_text")]
    pub state: InstanceState,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Its disks, in the order of its definition.
    pub disks: Vec<Disk>,
    /// Its NICs, in the order of its definition.
    pub nics: Vec<Nic>,
    /// What the caller ought to know about the action that returned this: a reading that could not be taken, a volume
    /// that was kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A disk of an instance. As JSON its volume is `pool/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The guest's name of it, such as `vda`.
    pub target: String,
    /// The storage pool; empty for a disk that lies in no pool.
    pub pool: String,
    /// The volume's name in the pool; without a pool the path, empty for an empty drive.
    pub volume: String,
    /// What the guest sees as its size, in bytes; none where the volume is missing or lies in no pool.
    pub capacity_bytes: Option<u64>,
}

/// A network interface of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nic {
    /// Its MAC address in lower case, which identifies it; none for an interface that has none of its own.
    pub mac: Option<String>,
    /// The libvirt network; none for a plain bridge, a host device and the like.
    pub network: Option<String>,
}

impl Disk {
    /// `pool/name`, or the path of a disk that lies in no pool.
    #[must_use]
    pub fn volume_path(&self) -> String {
        if self.pool.is_empty() { self.volume.clone() } else { format!("{}/{}", self.pool, self.volume) }
    }
}

impl Serialize for Disk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            target: &'a str,
            volume: String,
            capacity_bytes: Option<u64>,
        }
        Shown { target: &self.target, volume: self.volume_path(), capacity_bytes: self.capacity_bytes }
            .serialize(serializer)
    }
}

impl FromStr for InstanceRef {
    type Err = std::convert::Infallible;

    /// A UUID is an id, all else a name: [`crate::admission`] lets nobody choose a name that reads as a UUID.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.parse::<Uuid>() {
            Ok(id) => Self::Id(InstanceId::from_uuid(id)),
            Err(_) => Self::Name(text.to_owned()),
        })
    }
}

impl From<InstanceId> for InstanceRef {
    fn from(id: InstanceId) -> Self {
        Self::Id(id)
    }
}

impl fmt::Display for InstanceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            // Escaped and cut: it may be anything that somebody typed.
            Self::Name(name) => write!(f, "{:?}", name.chars().take(80).collect::<String>()),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn state_as_text<S: Serializer>(state: &InstanceState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.as_str())
}
