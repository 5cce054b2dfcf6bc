//! What a node keeps of its membership: the file `node.json` in its data directory, readable by its owner alone. One file,
//! replaced as a whole, so that key and certificate always belong together. It does NOT hold readings.

use std::path::{Path, PathBuf};

use ::nodes::authority::write_whole;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::wire::Certified;

/// A node's membership.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Home {
    /// The control plane: `https://host:port`.
    pub url: String,
    /// Who the node is: its spool's id.
    pub node_id: Uuid,
    /// What it is called.
    pub name: String,
    /// Which libvirt, if it was said at joining.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libvirt_uri: Option<String>,
    /// How often it reads, if it was said at joining.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading_interval: Option<String>,
    /// The authority's certificate, PEM: what the control plane must show.
    pub authority: String,
    /// The node's own, PEM.
    pub certificate: String,
    /// Its key, PEM. It was made here and is nowhere else.
    pub key: String,
    /// When the certificate was issued, by the control plane's clock.
    pub issued_at: Timestamp,
    /// When it ends, by the same.
    pub expires_at: Timestamp,
}

impl Home {
    /// Refuses a directory in which a node lives: a control plane with its spool would be that node, too.
    ///
    /// # Errors
    /// One does.
    pub fn is_not_in(data_dir: &Path) -> Result<()> {
        if path(data_dir).exists() {
            bail!(
                "{} is a node's data directory: it has joined a control plane. Run it with weir node run, or name another \
                 directory for a control plane: --data DIR",
                data_dir.display()
            );
        }
        Ok(())
    }

    /// Reads it.
    ///
    /// # Errors
    /// The machine has not joined, or the file is damaged.
    pub fn load(data_dir: &Path) -> Result<Self> {
        let path = path(data_dir);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "this machine is no node yet; let it join: make a token on the control plane (`weir node token create`) \
                 and type here what it prints"
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
        };
        serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{} is damaged; let the node join again with a new token: its readings are kept",
                path.display()
            )
        })
    }

    /// Writes it; after a crash the old one or the new one is there.
    ///
    /// # Errors
    /// The disk's.
    pub fn store(&self, data_dir: &Path) -> Result<()> {
        let path = path(data_dir);
        let bytes = serde_json::to_vec_pretty(self)?;
        write_whole(&path, &bytes, 0o600).with_context(|| format!("failed to write {}", path.display()))
    }

    /// The same with another certificate for another key.
    ///
    /// # Errors
    /// The instants are none.
    pub fn with_certificate(&self, certified: Certified, key: String) -> Result<Self> {
        Ok(Self {
            certificate: certified.certificate,
            key,
            issued_at: Timestamp::from_microsecond(certified.issued_at_us)?,
            expires_at: Timestamp::from_microsecond(certified.expires_at_us)?,
            ..self.clone()
        })
    }

    /// The address of one of the control plane's routes.
    #[must_use]
    pub fn route(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("node.json")
}
