#![doc = include_str!("../README.md")]

/// The text of a statement in `sql/`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql"))
    };
}

pub mod audit;
pub mod backups;
pub mod bench;
pub mod capacity;
pub mod charts;
pub mod close;
pub mod corrections;
pub mod days;
pub mod derivation;
pub mod dimensions;
pub mod error;
pub mod ingest;
mod load;
mod ownership;
pub mod quarantine;
pub mod readings;
pub mod records;
pub mod registry;
pub mod samples;
pub mod settings;
pub mod why;

pub use close::usage_of_period;
pub use derivation::{Derived, derive_dirty, mark_overdue};
pub use error::UsageError;
pub use ingest::{Delivery, IngestError, IngestSettings, Ingested, Ingestor, NodeClock, RateLimits};
pub use samples::samples;
pub use settings::UsageSettings;
