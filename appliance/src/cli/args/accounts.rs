//! `weir user …` and `weir token …`: who may log in. No behaviour.

use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, of all tenants
    Provider,
    /// Nodes, instances and capacity of all tenants; no money, no changes
    Planner,
    /// What belongs to its tenant
    Tenant,
}

/// `weir user …`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user. The password is asked for
    Create {
        /// a-z, 0-9 and . _ @ + -, at most 127: an e-mail address will do
        name: String,
        /// What the user may do
        #[arg(long, value_enum)]
        role: Role,
        /// The tenant that it belongs to (with --role tenant)
        #[arg(long, required_if_eq("role", "tenant"))]
        tenant: Option<String>,
        /// What pages call the user [default: the name]
        #[arg(long)]
        display_name: Option<String>,
        /// Read the password from standard input, one line, instead of asking
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change a user's password; ends all of the user's sessions
    SetPassword {
        /// Which user
        name: String,
        /// Read the password from standard input, one line, instead of asking
        #[arg(long)]
        password_stdin: bool,
    },
    /// Lock a user out at once: sessions and tokens end
    Disable {
        /// Which user
        name: String,
    },
    /// Let a user in again
    Enable {
        /// Which user
        name: String,
    },
    /// All users
    List,
}

/// `weir token …`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make an API token for a user. It is shown once
    Create {
        /// Whose
        user: String,
        /// What it is for
        #[arg(long)]
        name: String,
        /// It may only read
        #[arg(long)]
        read_only: bool,
        /// Until when it is good [default: until it is revoked]
        #[arg(long, value_name = "INSTANT")]
        expires_at: Option<Timestamp>,
    },
    /// A user's tokens
    List {
        /// Whose
        user: String,
    },
    /// Make a token useless
    Revoke {
        /// Whose
        user: String,
        /// Its id
        token_id: String,
    },
}
