#![doc = include_str!("../README.md")]

pub mod invoice;
pub mod money;

pub use invoice::document::{
    Completeness, InstanceUsage, InvoiceDocument, InvoiceId, InvoiceLine, InvoiceStatus, Party, PlanRef, Tax,
    Tier, UnpricedUsage,
};
pub use money::{Currency, Money};
