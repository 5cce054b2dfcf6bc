//! Requests about webhook endpoints.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is asked of webhook endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum WebhookRequest {
    /// All, or a tenant's.
    List {
        /// Whose.
        tenant: Option<String>,
    },
    /// Adds one.
    Add {
        /// Its address.
        url: String,
        /// Whose; none: the provider's own.
        tenant: Option<String>,
        /// The types that it wants; none: all.
        types: Vec<String>,
        /// What it is for.
        description: String,
    },
    /// Sends to it again, or no more.
    Enable {
        /// Which.
        endpoint: String,
        /// Whether.
        is_enabled: bool,
    },
    /// A new secret.
    Rotate {
        /// Which.
        endpoint: String,
    },
    /// Removes it.
    Remove {
        /// Which.
        endpoint: String,
    },
    /// A test event.
    Test {
        /// Which.
        endpoint: String,
    },
    /// What was sent.
    Deliveries {
        /// To which.
        endpoint: String,
        /// How many.
        limit: u32,
    },
    /// Sends events again.
    Replay {
        /// To which.
        endpoint: String,
        /// One event.
        event: Option<Uuid>,
        /// All since then.
        since: Option<Timestamp>,
    },
}
