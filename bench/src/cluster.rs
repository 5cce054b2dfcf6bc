//! A private PostgreSQL server of the bench's own, with fsync on, in a temporary directory or in one that is kept.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use migrations::cluster::{ClusterOptions, PrivateCluster};
use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls};

/// The server and where it lies; a temporary directory goes with it.
pub struct Cluster {
    pub server: PrivateCluster,
    _folder: Option<TempDir>,
}

impl Cluster {
    /// In `kept`, or below /var/tmp, which is on a disk where /tmp may not be, and where PostgreSQL's user may pass.
    ///
    /// # Errors
    /// PostgreSQL cannot be run.
    pub async fn start(kept: Option<&Path>) -> Result<Self> {
        let (path, folder) = match kept {
            Some(path) => {
                std::fs::create_dir_all(path)?;
                (std::path::absolute(path)?, None)
            }
            None => {
                let folder = tempfile::Builder::new().prefix("weir-bench-").tempdir_in("/var/tmp")?;
                std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let server = PrivateCluster::start(ClusterOptions::new(path)).await?;
        Ok(Self { server, _folder: folder })
    }

    /// A superuser in the bench's own database: without row-level security, so nothing is faster, and allowed to change
    /// what is logged.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn superuser(&self) -> Result<Client> {
        let own: Config = self.server.url().parse()?;
        let mut config: Config = self.server.superuser_url().parse()?;
        config.dbname(own.get_dbname().context("the database has no name")?);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Ends the server in order.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}
