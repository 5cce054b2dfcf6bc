//! Requests about users and their tokens. Passwords pass here in clear: the channel is a socket of this machine that
//! only whoever runs Weir can open.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cli::args::Role;

/// What is asked of users and tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum AccountRequest {
    /// Adds a user.
    UserCreate {
        /// Its name.
        name: String,
        /// What it may do.
        role: Role,
        /// Whose it is.
        tenant: Option<String>,
        /// What pages call it.
        display_name: Option<String>,
        /// Its password.
        password: Password,
    },
    /// Changes a password.
    UserSetPassword {
        /// Whose.
        name: String,
        /// To what.
        password: Password,
    },
    /// Locks a user out.
    UserDisable {
        /// Whom.
        name: String,
    },
    /// Lets a user in again.
    UserEnable {
        /// Whom.
        name: String,
    },
    /// All users.
    UserList {},
    /// Makes a token.
    TokenCreate {
        /// Whose.
        user: String,
        /// What for.
        name: String,
        /// It may change nothing.
        read_only: bool,
        /// Until when it is good.
        expires_at: Option<Timestamp>,
    },
    /// A user's tokens.
    TokenList {
        /// Whose.
        user: String,
    },
    /// Makes a token useless.
    TokenRevoke {
        /// Whose.
        user: String,
        /// Which.
        token_id: String,
    },
}

/// A password on its way. It is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}
