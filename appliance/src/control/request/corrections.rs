//! Requests about corrections of usage and dimensions.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is asked of corrections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum CorrectionRequest {
    /// A new one.
    Make {
        /// Name or id of the instance; of a volume: `pool/name` or id.
        resource: String,
        /// The disk or NIC.
        device: Option<String>,
        /// Which meter.
        meter: String,
        /// From.
        from: Timestamp,
        /// Up to.
        to: Timestamp,
        /// `annotate`, `exclude` or `add`.
        action: String,
        /// How much is added.
        quantity: Option<u64>,
        /// Why.
        reason: String,
    },
    /// All.
    List {
        /// Only this tenant's.
        tenant: Option<String>,
    },
    /// One is not to hold any more.
    Withdraw {
        /// Which.
        correction_id: String,
        /// Why.
        reason: String,
    },
}

/// What is asked of dimensions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum DimensionRequest {
    /// A value from the next usage window on.
    Set {
        /// `instance` or `volume`.
        kind: String,
        /// Name or id; of a volume: `pool/name` or id.
        resource: String,
        /// The disk or NIC.
        device: Option<String>,
        /// Which dimension.
        name: String,
        /// Its value; none: none.
        value: Option<String>,
    },
    /// What was ever said of one.
    List {
        /// `instance` or `volume`.
        kind: String,
        /// Name or id; of a volume: `pool/name` or id.
        resource: String,
    },
}
