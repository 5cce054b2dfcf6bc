//! The control channel: how the commands talk to a running `weir up`.
//!
//! JSON over HTTP on a Unix socket in the data directory that only its owner can open; there is no other
//! authentication. It is private to one version of the binary. The public API is not this (it comes with
//! the portal).

pub mod client;
pub mod request;
pub mod server;

use std::path::{Path, PathBuf};

/// The socket of the data directory.
#[must_use]
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}
