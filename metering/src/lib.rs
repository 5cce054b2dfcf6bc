#![doc = include_str!("../README.md")]

pub mod batch;
pub mod derive;
pub mod held;
pub mod id;
pub mod meter;
pub mod part;
pub mod quantity;
pub mod reading;
pub mod usage_record;
pub mod window;
pub mod wire;

pub use batch::{Batch, BatchSeq, Gap, GapReason, InstanceFacts, Makeup, Notice, NoticeKind, VolumeFacts};
pub use derive::{Coverage, Point, Usage, derive};
pub use id::{BootId, EpochId, InstanceId, InvalidName, NodeId, TenantId, TenantName, VolumeId};
pub use meter::{BaseUnit, Meter, MeterKind, MeterName, ResourceKind, Visibility, catalog};
pub use part::UsagePart;
pub use quantity::PricedUnit;
pub use reading::{
    DiskReading, DiskRegisters, Epoch, InstanceReading, InstanceRegisters, InstanceState, NicReading,
    NicRegisters, NodeReading, Readings, VolumeReading, VolumeRegisters,
};
pub use usage_record::{Dimensions, Resource, Sample, UsageRecord};
pub use window::{Window, WindowLength, micros};
