//! What a user is here for. It does NOT decide about single pages: it says what [`crate::Principal`] is asked.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a user may see and do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, of all tenants.
    Provider,
    /// Nodes, instances and capacity of all tenants; no money, and nothing to change.
    Planner,
    /// Its own tenant.
    Tenant,
}

impl Role {
    /// All of them, for whoever offers a choice.
    pub const ALL: [Role; 3] = [Role::Provider, Role::Planner, Role::Tenant];

    /// As commands, the API and the database write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Provider => "provider",
            Role::Planner => "planner",
            Role::Tenant => "tenant",
        }
    }

    /// The inverse of [`Role::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
