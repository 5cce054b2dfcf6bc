//! The commands' end of the control channel.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::request::{Refusal, Request};
use super::socket_path;
use crate::nodes::home::Home;

/// The commands' connection to a running `weir up`.
pub struct Client {
    http: reqwest::Client,
    data_dir: String,
}

impl Client {
    /// For the `weir up` of that data directory.
    ///
    /// # Errors
    /// There is none.
    pub fn new(data_dir: &Path) -> Result<Self> {
        let socket = socket_path(data_dir);
        let shown = data_dir.display().to_string();
        if !socket.exists() {
            let start = if Home::is_not_in(data_dir).is_ok() { "up" } else { "node run" };
            bail!(
                "Weir does not run on {shown}; start it with `weir {start} --data {shown}` or name another --data"
            );
        }
        if let Err(error) = std::os::unix::net::UnixStream::connect(&socket)
            && error.kind() == ErrorKind::PermissionDenied
        {
            bail!(
                "only the user who runs Weir on {shown} may give it commands; run this as that user (sudo)"
            );
        }
        let http = reqwest::Client::builder().unix_socket(socket).no_proxy().build()?;
        Ok(Self { http, data_dir: shown })
    }

    /// Asks and waits for the answer, however long it takes.
    ///
    /// # Errors
    /// The server's refusal, or that it cannot be reached.
    pub async fn ask(&self, request: &Request) -> Result<Value> {
        Ok(serde_json::from_slice(&self.ask_bytes(request).await?)?)
    }

    /// The same for documents.
    ///
    /// # Errors
    /// The server's refusal, or that it cannot be reached.
    pub async fn ask_bytes(&self, request: &Request) -> Result<Vec<u8>> {
        let sent = self.http.post("http://weir/control").json(request).send().await;
        let response = sent.with_context(|| {
            format!("Weir on {0} does not answer; see whether it still runs, or start it with `weir up --data {0}`", self.data_dir)
        })?;
        let status = response.status();
        let body = response.bytes().await.context("the answer broke off: Weir was stopped or has failed")?;
        if status.is_success() {
            return Ok(body.to_vec());
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => bail!(refusal.error),
            Err(_) => bail!("Weir answered {status}: {}", String::from_utf8_lossy(&body)),
        }
    }
}
