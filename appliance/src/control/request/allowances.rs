//! Requests about allowances.

use serde::{Deserialize, Serialize};

/// What is asked of allowances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum AllowanceRequest {
    /// A tenant's.
    List {
        /// Whose.
        tenant: String,
    },
    /// Sets one.
    Set {
        /// Whose.
        tenant: String,
        /// What it is called.
        name: String,
        /// Money.
        amount: Option<String>,
        /// A meter.
        meter: Option<String>,
        /// So much of the meter.
        quantity: Option<String>,
        /// Such as `100:stop`.
        thresholds: Vec<String>,
    },
    /// Removes one.
    Remove {
        /// Whose.
        tenant: String,
        /// Which.
        name: String,
    },
}
