//! `[webhooks]`: where events may be sent to. It sends nothing.

use hooks::guard::Guard;
use serde::{Deserialize, Serialize};

/// `[webhooks]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Whether endpoints may be at private, loopback and link-local addresses, and without TLS. It opens the network around
    /// this machine to all who may add endpoints, tenants too: they see the beginning of each answer.
    pub allow_private: bool,
}

impl Webhooks {
    /// What may be spoken to.
    #[must_use]
    pub const fn guard(&self) -> Guard {
        Guard { allow_private: self.allow_private }
    }
}
