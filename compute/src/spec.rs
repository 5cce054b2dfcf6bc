//! What somebody asks for when an instance is to be made.
//!
//! Plain data as it came in; [`crate::admission`] decides whether it can be had.

use std::path::PathBuf;

use metering::{InstanceId, TenantName};

use crate::size::ByteSize;

/// An instance to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSpec {
    /// Its identity; a random one where nobody has a wish.
    pub instance_id: Option<InstanceId>,
    /// Its name on this node: see [`crate::admission::MAX_NAME_LENGTH`] for the rule.
    pub name: String,
    /// Who pays.
    pub tenant: TenantName,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory, in whole MiB.
    pub memory: ByteSize,
    /// What it boots from.
    pub boot: Boot,
    /// Size of the first disk (`vda`), in whole MiB. With [`Boot::Image`] it defaults to the image's size.
    pub disk: Option<ByteSize>,
    /// A libvirt network for its NIC; none for an instance without a network.
    pub network: Option<String>,
    /// Whether to start it at once.
    pub start: bool,
}

/// What an instance boots from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// A disk image, raw or qcow2: the instance gets a copy-on-write volume over it. The file must stay where and as
    /// it is for as long as the instance exists.
    Image(PathBuf),
    /// A Linux kernel and an initial file system, without a boot loader.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// The initial file system.
        initrd: PathBuf,
        /// The kernel's command line.
        cmdline: String,
    },
}
