//! Requests about backups and about what was refused.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is asked of backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum BackupRequest {
    /// One was made.
    Note {
        /// When it began.
        covers_to: Timestamp,
        /// For people.
        note: String,
    },
    /// Those that were noted.
    List {},
}

/// What is asked of refused readings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum QuarantineRequest {
    /// The latest.
    List {},
    /// Takes them in.
    Release {
        /// Whose, by name or id.
        node: String,
        /// Of which batch.
        batch: u64,
    },
}
