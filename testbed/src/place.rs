//! Where guests run: this machine's own libvirt, or the one of a further node in namespaces of its own.
//!
//! It starts nothing and ends nothing; [`crate::second_node`] does.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{LIBVIRT_URI, finish_command, virsh_at};

/// One node's libvirt, and the namespaces in which its programs run. The default is this machine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    uri: String,
    run_directory: PathBuf,
    holder: Option<u32>,
}

impl Default for Place {
    fn default() -> Self {
        Self { uri: LIBVIRT_URI.to_owned(), run_directory: PathBuf::from("/run/libvirt"), holder: None }
    }
}

impl Place {
    /// A node whose namespaces the process `holder` keeps, and whose /run/libvirt is seen here as `run_directory`.
    pub(crate) fn inside(holder: u32, run_directory: PathBuf) -> Self {
        let socket = run_directory.join("libvirt-sock");
        Self {
            uri: format!("qemu+unix:///system?socket={}", socket.display()),
            run_directory,
            holder: Some(holder),
        }
    }

    /// libvirt's URI for it, to be used from anywhere on this machine. Reading and writing.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The same for reading only, as the collector connects. Ask for it with `virConnectOpenReadOnly`.
    #[must_use]
    pub fn uri_readonly(&self) -> String {
        if self.holder.is_none() {
            return self.uri.clone();
        }
        format!("qemu+unix:///system?socket={}", self.run_directory.join("libvirt-sock-ro").display())
    }

    /// One virsh command there; returns what it printed.
    pub fn virsh<S: AsRef<str>>(&self, args: &[S]) -> Result<String> {
        virsh_at(&self.uri, args)
    }

    /// A program that will run there. It replaces `nsenter` as the same process, so its child's id is its own.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let Some(holder) = self.holder else {
            return Command::new(program);
        };
        let mut command = Command::new("nsenter");
        command.args(["--target", &holder.to_string(), "--mount", "--uts", "--net", "--", program]);
        command
    }

    /// Runs a program there to its end; returns what it printed.
    pub fn run<S: AsRef<str>>(&self, program: &str, args: &[S]) -> Result<String> {
        let mut command = self.command(program);
        command.args(args.iter().map(AsRef::as_ref));
        finish_command(command)
    }

    /// The process of a running guest.
    pub fn guest_pid(&self, guest: &str) -> Result<i32> {
        let file = self.run_directory.join("qemu").join(format!("{guest}.pid"));
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}: does {guest} run?", file.display()))?;
        text.trim().parse().with_context(|| format!("{} holds no process id: {text}", file.display()))
    }
}
