//! Requests about alerts.

use serde::{Deserialize, Serialize};

/// What is asked of alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum AlertRequest {
    /// The open ones.
    List {
        /// Also those that are over.
        all: bool,
    },
    /// The operator has seen to one.
    End {
        /// Which.
        alert_id: String,
    },
}
