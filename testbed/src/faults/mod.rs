//! Faults on demand: power cuts, disks that fail or are full, networks that drop, cut, hang and drip.
//!
//! Everything here needs root, FUSE and loop devices, and puts away what it set up when it is dropped, panic or not. It
//! judges nothing: what must survive is the business of the test.

mod block_device;
mod disks;
mod proxy;
mod random;

pub use self::disks::{FailingDisk, FullDisk, PowerCut};
pub use self::proxy::{FaultProxy, Weather};
pub use self::random::Random;
