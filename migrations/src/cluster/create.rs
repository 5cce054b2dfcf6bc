//! Makes the cluster's files with `initdb`, so that a kill at any moment leaves either a whole cluster or none. It does
//! NOT start it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Output;

use rustix::fs::OFlags;
use rustix::process::Signal;

use super::account::Account;
use super::error::{ClusterError, disk_error, io_error};
use super::install::{Programs, version_of};
use super::layout::{Layout, own_dir, remove_if_there, sync_parent, write_private};
use super::{orphans, settings};

/// The bootstrap superuser. Weir itself logs in as a lesser role.
pub(crate) const SUPERUSER: &str = "postgres";

/// How many lines of a program's output an error shows.
const OUTPUT_LINES: usize = 5;

/// Makes the cluster unless it is there. `is_durable` is off for tests only.
pub(crate) fn create(
    layout: &Layout,
    account: &Account,
    programs: &Programs,
    is_durable: bool,
) -> Result<(), ClusterError> {
    // What an interrupted attempt left.
    orphans::clear(&layout.unfinished)?;
    if layout.unfinished.exists() {
        std::fs::remove_dir_all(&layout.unfinished).map_err(io_error("remove", &layout.unfinished))?;
    }
    let password_file = layout.data.join("postgres.password");
    remove_if_there(&password_file).map_err(io_error("remove", &password_file))?;
    if version_of(&layout.pgdata)?.is_some() {
        return Ok(());
    }
    if layout.pgdata.exists() {
        return Err(ClusterError::Foreign { path: layout.pgdata.clone() });
    }

    tracing::info!(data = %layout.pgdata.display(), user = account.name, "making the private database");
    let (password, _) = layout.password(SUPERUSER)?;
    own_dir(&layout.unfinished, account)?;
    // initdb reads the password from a file that its own user may open.
    write_private(&password_file, &password, Some(account))?;
    let mut command = account.command(&programs.initdb, Some(Signal::KILL));
    command
        .current_dir("/")
        .args(["--username", SUPERUSER, "--auth=scram-sha-256", "--locale=C.UTF-8", "--encoding=UTF8"])
        .arg("--data-checksums")
        .arg("--pwfile")
        .arg(&password_file)
        .arg("--pgdata")
        .arg(&layout.unfinished);
    if !is_durable {
        command.arg("--no-sync");
    }
    let outcome = command.output().map_err(io_error("run", &programs.initdb));
    remove_if_there(&password_file).map_err(io_error("remove", &password_file))?;
    check(&outcome?, layout)?;

    let finish = || {
        // The directory belongs to the account: do not follow a link that it may have put there.
        let mut config = OpenOptions::new()
            .append(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(layout.unfinished.join("postgresql.conf"))?;
        config.write_all(settings::INCLUDE.as_bytes())?;
        config.sync_all()?;
        std::fs::rename(&layout.unfinished, &layout.pgdata)?;
        sync_parent(&layout.pgdata)
    };
    finish().map_err(io_error("finish", &layout.pgdata))
}

fn check(output: &Output, layout: &Layout) -> Result<(), ClusterError> {
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    if let Some(error) = disk_error(&text, &layout.data) {
        return Err(error);
    }
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let output = lines.get(lines.len().saturating_sub(OUTPUT_LINES)..).unwrap_or_default().join(" / ");
    Err(ClusterError::Initdb { data: layout.pgdata.clone(), output })
}
