#![doc = include_str!("../README.md")]

pub mod admission;
pub mod error;
pub mod image;
pub mod instance;
pub mod size;
pub mod spec;
pub mod throttle;

mod compute;
mod devices;
mod libvirt;
mod lifecycle;
mod rates;
mod readings;

pub use compute::{Compute, Settings, Virtualization};
pub use error::{ComputeError, ErrorKind};
pub use image::{ImageError, ImageFormat};
pub use instance::{Disk, Instance, InstanceRef, Nic};
pub use libvirt::{LibvirtFault, PROBE_INSTANCE_ID, PROBE_NAME};
pub use readings::{BoxFuture, Readings};
pub use size::{ByteSize, InvalidSize};
pub use spec::{Boot, InstanceSpec};
pub use throttle::{Bounds, Throttle};
