//! `[nodes]`: whether and where further nodes deliver. It does not open anything.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::Text;

/// A certificate must outlive some tries to renew it; tests use the shortest.
const LIFE_MIN: Duration = Duration::from_secs(5);
/// A stolen certificate that nobody noticed must end some day.
const LIFE_MAX: Duration = Duration::from_secs(90 * 24 * 3_600);
/// A usual batch has some kilobytes.
const BODY_TIME_MIN: Duration = Duration::from_secs(1);
/// What is slower keeps a connection for nothing.
const BODY_TIME_MAX: Duration = Duration::from_secs(600);

/// `[nodes]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nodes {
    /// Where further nodes deliver their readings, such as `0.0.0.0:9443`; without it, nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// How nodes reach it, if not by this host's name: a name or an address, with a port if another one leads here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Further names and addresses in the listener's certificate. Nodes do not look at them; other programs may.
    pub names: Vec<String>,
    /// How long a node's certificate is good for; it is renewed when two thirds are over.
    pub certificate_life: Text<Duration>,
    /// How long a batch may take on its way; whoever trickles bytes is cut off then. The largest one (32 MiB) takes 30 s
    /// at 10 Mbit/s.
    pub body_time: Text<Duration>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            listen: None,
            address: None,
            names: Vec::new(),
            certificate_life: Text(::nodes::certificates::LIFE),
            body_time: Text(Duration::from_secs(30)),
        }
    }
}

impl Nodes {
    /// Whether it is right.
    ///
    /// # Errors
    /// What is not, and how to mend it.
    pub fn check(&self) -> Result<()> {
        let life = self.certificate_life.0;
        if life < LIFE_MIN || LIFE_MAX < life {
            bail!(
                "nodes.certificate_life is {life:?}; it must be from {LIFE_MIN:?} to 90 days, such as \"24h\""
            );
        }
        let body_time = self.body_time.0;
        if body_time < BODY_TIME_MIN || BODY_TIME_MAX < body_time {
            bail!(
                "nodes.body_time is {body_time:?}; it must be from {BODY_TIME_MIN:?} to {BODY_TIME_MAX:?}, such as \"30s\""
            );
        }
        let is_odd = |name: &String| name.is_empty() || name.contains(['/', ' ', '@']) || !name.is_ascii();
        if let Some(odd) = self.names.iter().chain(&self.address).find(|name| is_odd(name)) {
            bail!(
                "[nodes] has {odd:?} as a name; write a host's name or address, such as \"weir.example.com\""
            );
        }
        Ok(())
    }
}
