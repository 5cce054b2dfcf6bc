//! A node whose power is cut, and which boots again: the same disks, an empty /run, another life of the kernel.
//!
//! What was written without a flush stays, unlike on a real one: for that see [`crate::faults`]. The clock since boot goes on; a
//! program that shall see it begin anew is started in a time namespace.

use std::fs;
use std::path::PathBuf;
use std::process::Child;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{
    GONE_LIMIT, SecondNode, control_groups, is_guest, members_of, mount_namespace, remove_control_group,
    signal_process,
};
use crate::daemons::wait_for;
use crate::network::Network;
use crate::process::run;

impl SecondNode {
    /// Ends everything on the node in the same moment, guests last, so that nobody there sees them end. What runs elsewhere on
    /// its behalf is the caller's to kill before.
    pub fn cut_power(&mut self) -> Result<()> {
        let holder = self.holder.id();
        let namespace = mount_namespace(holder)?;
        let mut members = members_of(namespace, holder);
        members.sort_by_key(is_guest);
        let groups: Vec<PathBuf> =
            members.iter().filter(|pid| is_guest(pid)).flat_map(|pid| control_groups(*pid)).collect();
        for pid in &members {
            // It may have ended by itself.
            let _ = signal_process(*pid, Signal::KILL);
        }
        if let Some(mut libvirtd) = self.libvirtd.take() {
            Child::wait(&mut libvirtd).context("cannot wait for libvirtd")?;
        }
        wait_for(GONE_LIMIT, || members_of(namespace, holder).is_empty().then_some(()))
            .context("what ran on the node does not end")?;
        groups.iter().for_each(|group| remove_control_group(group));
        if let Some(network) = self.network.take() {
            run("ip", &["link", "del", &network.forget()]).context("cannot remove the node's bridge")?;
        }
        Ok(())
    }

    /// Boots it again: with nothing in /run, another boot id and no guests running. Its guests' network has the addresses
    /// that it had, unless somebody took them meanwhile.
    pub fn power_on(&mut self) -> Result<()> {
        let run_directory = self.directory.join("run");
        for entry in fs::read_dir(&run_directory).context("cannot read the node's /run")? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
        }
        self.boot_id = uuid::Uuid::new_v4().to_string();
        // In place: the file is mounted over the kernel's.
        fs::write(self.boot_id_file(), format!("{}\n", self.boot_id)).context("cannot write the boot id")?;
        self.start_libvirtd()?;
        self.network = Some(Network::create_at(&self.place, &self.name)?);
        Ok(())
    }

    /// Holds the node's boot id: for programs in a mount namespace of their own.
    #[must_use]
    pub fn boot_id_file(&self) -> PathBuf {
        self.directory.join("boot_id")
    }
}
