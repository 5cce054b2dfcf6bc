#![doc = include_str!("../README.md")]

pub mod cluster;
mod database;
mod error;
mod migrate;
pub mod testing;

pub use database::{Database, PoolLimits, Scope, Session, Transaction, ensure_partitions};
pub use error::DbError;
pub use migrate::{MigrationReport, StorageProfile, migrate, migrate_as};

/// The role as which every pooled session works. It owns nothing, may not log in and cannot bypass row-level
/// security.
pub const APP_ROLE: &str = "weir_app";

/// The tenant of everything that nobody was assigned yet.
pub const UNASSIGNED_TENANT: uuid::Uuid = uuid::Uuid::nil();
