//! `weir webhook …`: who is told of what happens. No behaviour.

use clap::Subcommand;
use jiff::Timestamp;
use uuid::Uuid;

/// `weir webhook …`
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// All endpoints, or a tenant's
    List {
        /// Only this tenant's
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Tell an address of what happens. The secret that verifies the signatures is shown this once
    Add {
        /// Its address, with https
        url: String,
        /// Tell it of this tenant alone [default: of all tenants]
        #[arg(long)]
        tenant: Option<String>,
        /// Only events of this type, such as invoice.issued; repeat it for more [default: all]
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
        /// What it is for
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Send to an endpoint again that was disabled
    Enable {
        /// Its id
        endpoint: String,
    },
    /// Send nothing to an endpoint for now
    Disable {
        /// Its id
        endpoint: String,
    },
    /// Give an endpoint a new secret; for a day the former one signs, too
    Rotate {
        /// Its id
        endpoint: String,
    },
    /// Send nothing to an endpoint any more
    Remove {
        /// Its id
        endpoint: String,
    },
    /// Send an event to see whether an endpoint works
    Test {
        /// Its id
        endpoint: String,
    },
    /// What was sent to an endpoint, and what it answered
    Deliveries {
        /// Its id
        endpoint: String,
        /// How many, the youngest first
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Send events again: one, or all since an instant
    Replay {
        /// To which endpoint, by its id
        endpoint: String,
        /// One event, by its id
        #[arg(long, required_unless_present = "since", conflicts_with = "since")]
        event: Option<Uuid>,
        /// All since then that it wants, such as 2026-11-01T00:00:00Z
        #[arg(long)]
        since: Option<Timestamp>,
    },
}
