//! Requests about nodes and the tokens that let them join.

use serde::{Deserialize, Serialize};

/// What is asked of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum NodeRequest {
    /// All of them.
    List {
        /// Removed ones too.
        with_removed: bool,
    },
    /// One.
    Show {
        /// Name or id.
        node: String,
    },
    /// Nothing new is placed on it, or again.
    Drain {
        /// Name or id.
        node: String,
        /// Again.
        undo: bool,
    },
    /// Takes it out.
    Remove {
        /// Name or id.
        node: String,
        /// Even if it works.
        force: bool,
    },
    /// A token that lets a node join.
    TokenCreate {
        /// Only of this name.
        node: Option<String>,
        /// Such as 1h.
        life: String,
    },
    /// All tokens.
    TokenList {},
    /// No token any more.
    TokenRevoke {
        /// Which.
        token_id: String,
    },
}
