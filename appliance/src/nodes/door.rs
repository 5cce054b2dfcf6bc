//! What the control plane needs to let nodes in: its authority, and how nodes reach it. It does NOT listen.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::nodes::authority::Authority;
use ::nodes::registry;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use migrations::Database;

use super::handshakes::Handshakes;
use crate::config::Nodes;
use crate::parts::host_name;

/// The door for nodes.
pub struct Door {
    /// Who signs.
    pub authority: Arc<Authority>,
    /// How long certificates are good for.
    pub life: Duration,
    /// How nodes reach it: `https://host:port`.
    pub url: String,
    /// Names in the listener's certificate.
    pub names: Vec<String>,
    /// Who is about to come in.
    pub handshakes: Arc<Handshakes>,
}

impl Door {
    /// Opens the authority of the data directory, or makes the first one. `listens` is the address that was taken.
    ///
    /// # Errors
    /// The authority cannot be read or made, or is gone while nodes trust it: another one would lock them out in silence.
    pub async fn new(
        data_dir: &Path,
        config: &Nodes,
        listens: SocketAddr,
        database: &Database,
    ) -> Result<Self> {
        let dir = data_dir.join("authority");
        if !dir.join("ca.pem").exists() {
            let nodes = registry::list(database, false).await?;
            let joined: Vec<&str> =
                nodes.iter().filter(|node| node.joined_at.is_some()).map(|node| node.name.as_str()).collect();
            if !joined.is_empty() {
                bail!(
                    "the authority that {} trust is gone from {}: put it back from a backup; or start without nodes.listen, \
                     remove these nodes (weir node remove), start again, and let them join anew",
                    joined.join(", "),
                    dir.display()
                );
            }
        }
        let authority = Authority::open(&dir, Timestamp::now())
            .with_context(|| format!("failed to open the authority in {}", dir.display()))?;
        let host = host_name();
        let url = url(config.address.as_deref(), &host, listens);
        let mut names = config.names.clone();
        names.extend([host, "localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]);
        if !listens.ip().is_unspecified() {
            names.push(listens.ip().to_string());
        }
        names.extend(config.address.as_deref().map(host_of));
        names.sort();
        names.dedup();
        Ok(Self {
            authority: Arc::new(authority),
            life: config.certificate_life.0,
            url,
            names,
            handshakes: Arc::default(),
        })
    }

    /// What is typed on the new node.
    #[must_use]
    pub fn command(&self, token: &str) -> String {
        format!("weir node join {} --token {token}", self.url)
    }
}

/// How nodes reach the listener: as the settings say, else at its address, else by this host's name.
fn url(address: Option<&str>, host: &str, listens: SocketAddr) -> String {
    let port = listens.port();
    match address {
        Some(address) if address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            format!("https://{address}")
        }
        Some(address) => format!("https://{address}:{port}"),
        None if listens.ip().is_unspecified() => format!("https://{host}:{port}"),
        None => format!("https://{listens}"),
    }
}

/// `host:port` without its port.
fn host_of(address: &str) -> String {
    match address.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_command_leads_where_nodes_can_go() {
        let any: SocketAddr = "0.0.0.0:9443".parse().unwrap();
        let one: SocketAddr = "[::1]:9443".parse().unwrap();
        assert_eq!(url(None, "kvm1", any), "https://kvm1:9443");
        assert_eq!(url(None, "kvm1", one), "https://[::1]:9443");
        assert_eq!(url(Some("weir.example.com"), "kvm1", any), "https://weir.example.com:9443");
        assert_eq!(url(Some("weir.example.com:443"), "kvm1", any), "https://weir.example.com:443");
        assert_eq!(host_of("weir.example.com:443"), "weir.example.com");
    }
}
