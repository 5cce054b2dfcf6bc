//! What the demo puts up and takes down again: data directory, daemons, networks, file servers, Weir itself, a second node.
//!
//! It also removes what an earlier demo left that was killed: guests, networks and the pool by name, processes by their
//! recorded ids once their command line proves that the id is still theirs. Nothing else is touched.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::mail;
use super::node::NodeProcess;
use super::plans::Site;
use super::show::Show;
use super::weir::{Weir, free_address};
use super::{Interrupt, Options};
use crate::daemons::{self, StartedDaemon, wait_for};
use crate::exits::Exits;
use crate::file_server::FileServer;
use crate::guest;
use crate::lifecycle::Watcher;
use crate::lock::Lock;
use crate::network::{self, Network};
use crate::place::Place;
use crate::process::virsh;
use crate::second_node::SecondNode;
use crate::smtp::SmtpServer;

/// Everything that the demo makes in libvirt begins with this.
pub(super) const PREFIX: &str = "weir-demo";
/// The host name of the second node.
const NODE: &str = "weir-demo-node";
/// Where the volumes are: below libvirt's own directory, which QEMU's user can reach.
const POOL_DIRECTORY: &str = "/var/lib/libvirt/images/weir-demo";
/// The data directory where the one asked for cannot be reached by PostgreSQL's user (a clone in /root).
const REACHABLE_DATA: &str = "/var/lib/weir-demo";
/// Marks a directory as the demo's own, to be cleared; holds the ids of its processes.
const MARKER: &str = ".weir-demo";
/// One demo at a time: they share names. The kernel lets go of it when a demo is killed.
const LOCK: &str = "/run/weir-demo.lock";
/// What a leftover process gets to end by itself.
const PATIENCE: Duration = Duration::from_secs(15);

/// What all guests need besides Weir: each node's watch over lives, file server and network.
#[derive(Debug)]
pub(super) struct Platform {
    here: Place,
    watchers: [Watcher; 2],
    servers: [FileServer; 2],
    network: Network,
    pub(super) node: SecondNode,
    pub(super) smtp: SmtpServer,
    pub(super) exits: Exits,
}

impl Platform {
    pub(super) fn place(&self, site: Site) -> &Place {
        match site {
            Site::Near => &self.here,
            Site::Far => self.node.place(),
        }
    }

    pub(super) fn network(&self, site: Site) -> &Network {
        match site {
            Site::Near => &self.network,
            Site::Far => self.node.network(),
        }
    }

    pub(super) fn server(&self, site: Site) -> &FileServer {
        &self.servers[usize::from(site == Site::Far)]
    }

    pub(super) fn watcher(&self, site: Site) -> &Watcher {
        &self.watchers[usize::from(site == Site::Far)]
    }
}

/// Everything that must be taken down at the end.
#[derive(Debug)]
pub(super) struct Stage {
    data: PathBuf,
    weir_log: PathBuf,
    processes: Processes,
    weir: Option<Arc<Weir>>,
    platform: Option<Arc<Platform>>,
    node: Option<NodeProcess>,
    config_afterwards: Option<String>,
    /// Held as long as guests and network carry the demo's name.
    _lock: Lock,
}

/// Processes of a demo, as the marker file keeps them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Processes {
    weir: Option<i32>,
    watchers: Vec<i32>,
    daemons: Vec<(String, i32)>,
}

impl Stage {
    /// An empty data directory, running daemons, and nothing left of an earlier demo.
    pub(super) fn prepare(options: &Options, show: &Show) -> Result<Self> {
        show.step("libvirtd, and what an earlier demo left");
        let lock = Lock::try_take(Path::new(LOCK))?.context(
            "another demo is running on this machine; wait until it is over, or end it with Ctrl-C",
        )?;
        let data = reachable(&options.data, Path::new(REACHABLE_DATA))?;
        if data != options.data && data == Path::new(REACHABLE_DATA) {
            show.note(&format!(
                "{} is a link to {REACHABLE_DATA}: PostgreSQL's user can go there",
                options.data.display()
            ));
        }
        let before = processes_of(&data)?;
        end_processes(&before, &data);
        let daemons = daemons::ensure()?;
        daemons.notes().iter().for_each(|note| show.note(note));
        for name in remove_from_libvirt()? {
            show.note(&format!("removed {name}, left by an earlier demo"));
        }
        empty_directory(&data)?;
        clear_output(&options.output)?;
        let mut processes = Processes::default();
        let started = daemons.started().iter().map(|daemon| (daemon.name.clone(), daemon.pid));
        // Daemons that a killed demo started are this one's to stop.
        processes.daemons = before.daemons.into_iter().chain(started).collect();
        let stage = Self {
            data,
            weir_log: options.output.join("weir.log"),
            processes,
            weir: None,
            platform: None,
            node: None,
            config_afterwards: None,
            _lock: lock,
        };
        stage.remember()?;
        Ok(stage)
    }

    /// A second node, the guests' networks, what they fetch from, and the watch over their lives.
    pub(super) fn set_up(&mut self) -> Result<Arc<Platform>> {
        let network = Network::create(PREFIX)?;
        let node = SecondNode::start(NODE)?;
        let servers = [FileServer::start(network.host_address())?, FileServer::start(node.server_address())?];
        let smtp = mail::start(&self.data)?;
        let watchers = [Watcher::start()?, Watcher::start_at(node.place())?];
        self.processes.watchers =
            watchers.iter().filter_map(|watcher| i32::try_from(watcher.pid()).ok()).collect();
        let here = Place::default();
        let platform =
            Arc::new(Platform { here, watchers, servers, network, node, smtp, exits: Exits::listen()? });
        self.platform = Some(Arc::clone(&platform));
        self.remember()?;
        Ok(platform)
    }

    /// Starts Weir and waits until it answers.
    pub(super) fn start_weir(&mut self, options: &Options, interrupt: &Interrupt) -> Result<Arc<Weir>> {
        let config = self.data.join("weir.toml");
        let mut text = configuration();
        if let Some(platform) = &self.platform {
            text.push_str(&mail::configuration(&platform.smtp, &self.data));
            // For `make up` afterwards: the second node and its address are gone by then.
            self.config_afterwards = Some(text.clone());
            let listen = free_address(&platform.node.control_address().to_string())?;
            text.push_str(&format!("\n[nodes]\nlisten = \"{listen}\"\naddress = \"{listen}\"\n"));
        }
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let weir = Weir::spawn(&options.weir, &self.data, &config, &self.weir_log)?;
        self.processes.weir = i32::try_from(weir.pid()).ok();
        self.remember()?;
        weir.wait_ready(interrupt)?;
        let weir = Arc::new(weir);
        self.weir = Some(Arc::clone(&weir));
        Ok(weir)
    }

    /// Lets the second node join, in one command there.
    pub(super) fn join_node(&mut self, options: &Options, weir: &Weir, interrupt: &Interrupt) -> Result<()> {
        let platform = self.platform.as_ref().context("the platform is up")?;
        let log = options.output.join("node.log");
        let data = self.data.join("second-node");
        self.node = Some(NodeProcess::join(&options.weir, weir, &platform.node, &data, &log, interrupt)?);
        Ok(())
    }

    /// The demo's processes have other ids after a restart.
    pub(super) fn note_weir(&mut self) -> Result<()> {
        self.processes.weir = self.weir.as_ref().and_then(|weir| i32::try_from(weir.pid()).ok());
        self.remember()
    }

    pub(super) fn weir_log(&self) -> &Path {
        &self.weir_log
    }

    /// Takes everything down. Goes on after a failure: as little as possible shall be left.
    pub(super) fn clear(&mut self) {
        complain("removing guests", guest::remove_leftovers(PREFIX).map(drop));
        self.node = None;
        self.weir = None;
        self.platform = None;
        if let Some(text) = self.config_afterwards.take() {
            let written = fs::write(self.data.join("weir.toml"), text).context("cannot write weir.toml");
            complain("taking the second node out of the configuration", written);
        }
        complain("removing from libvirt", remove_from_libvirt().map(drop));
        for (name, pid) in self.processes.daemons.drain(..).rev() {
            complain("stopping a daemon", daemons::stop(&StartedDaemon { name, pid }));
        }
        self.processes = Processes::default();
        complain("noting that nothing runs", self.remember());
    }

    fn remember(&self) -> Result<()> {
        let path = self.data.join(MARKER);
        let text = serde_json::to_string(&self.processes)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.weir.is_some() || self.platform.is_some() || !self.processes.daemons.is_empty() {
            self.clear();
        }
    }
}

fn complain(what: &str, result: Result<()>) {
    if let Err(error) = result {
        eprintln!("weir-demo: {what}: {error:#}");
    }
}

fn configuration() -> String {
    format!(
        "# Written by `make demo`. A reading every second and windows of a minute, because the demo takes only minutes.\n\
         [collector]\nreading_interval = \"1s\"\n\n[metering]\nwindow = \"1m\"\n\n\
         [compute]\npool = \"{PREFIX}\"\npool_path = \"{POOL_DIRECTORY}\"\n\n\
         [billing.seller]\nname = \"Weir demo\"\n"
    )
}

/// Guests, networks, pool and volumes of any demo; returns the names of what was there.
fn remove_from_libvirt() -> Result<Vec<String>> {
    let mut removed = guest::remove_leftovers(PREFIX)?;
    removed.extend(network::remove_leftovers(PREFIX)?);
    let pools = virsh(&["pool-list", "--all", "--name"])?;
    for pool in pools.lines().map(str::trim).filter(|name| name.starts_with(PREFIX)) {
        // Either may fail: it may not be active, or not be persistent.
        let _ = virsh(&["pool-destroy", pool]);
        let _ = virsh(&["pool-undefine", pool]);
        removed.push(pool.to_owned());
    }
    guest::remove_left_disks(PREFIX)?;
    if let Err(error) = fs::remove_dir_all(POOL_DIRECTORY)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("cannot remove {POOL_DIRECTORY}"));
    }
    Ok(removed)
}

fn processes_of(data: &Path) -> Result<Processes> {
    match fs::read_to_string(data.join(MARKER)) {
        // An unreadable marker is still a marker; the names in libvirt say the rest.
        Ok(text) => Ok(serde_json::from_str(&text).unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Processes::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", data.join(MARKER).display())),
    }
}

/// Ends Weir, its PostgreSQL and the watcher of a demo that was killed.
fn end_processes(left: &Processes, data: &Path) {
    let data_text = data.to_string_lossy().into_owned();
    if let Some(pid) = left.weir {
        end_process(pid, &["up", &data_text]);
    }
    for pid in &left.watchers {
        end_process(*pid, &["event", "lifecycle"]);
    }
    // PostgreSQL goes with its Weir, unless that one was killed.
    let postmaster = fs::read_to_string(data.join("postgres/postmaster.pid")).unwrap_or_default();
    if let Some(pid) = postmaster.lines().next().and_then(|line| line.trim().parse().ok()) {
        end_process(pid, &["postgres", &data_text]);
    }
}

/// Ends a process if its command line has all of `words`, by force when it does not go.
fn end_process(pid: i32, words: &[&str]) {
    let is_ours = || {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        !line.is_empty() && words.iter().all(|word| line.contains(word))
    };
    let Some(id) = Pid::from_raw(pid) else { return };
    // PostgreSQL takes SIGINT as "now, but in order"; so does Weir.
    for signal in [Signal::INT, Signal::KILL] {
        if !is_ours() || kill_process(id, signal).is_err() {
            return;
        }
        if wait_for(PATIENCE, || (!is_ours()).then_some(())).is_some() {
            return;
        }
    }
}

/// Where the data really goes: `wanted`, or `instead` (and a link to it) when other users cannot reach `wanted`.
fn reachable(wanted: &Path, instead: &Path) -> Result<PathBuf> {
    let absolute =
        std::path::absolute(wanted).with_context(|| format!("cannot find {}", wanted.display()))?;
    if let Ok(target) = fs::read_link(&absolute) {
        if target == instead {
            return Ok(target);
        }
        bail!(
            "{} is a link to {}; remove it, or choose another directory with --data",
            wanted.display(),
            target.display()
        );
    }
    let parent = absolute.parent().context("the data directory cannot be /")?;
    if others_can_reach(parent) {
        return Ok(absolute);
    }
    if absolute.exists() {
        check_is_ours(&absolute)?;
        fs::remove_dir_all(&absolute).with_context(|| format!("cannot remove {}", absolute.display()))?;
    }
    symlink(instead, &absolute)
        .with_context(|| format!("cannot link {} to {}", absolute.display(), instead.display()))?;
    Ok(instead.to_owned())
}

fn others_can_reach(directory: &Path) -> bool {
    directory
        .ancestors()
        .all(|step| fs::metadata(step).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}

/// Refuses to clear a directory that the demo did not make.
fn check_is_ours(directory: &Path) -> Result<()> {
    let empty = fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none());
    if empty || directory.join(MARKER).exists() {
        return Ok(());
    }
    bail!(
        "{} was not made by the demo and will not be cleared; choose another directory with --data",
        directory.display()
    )
}

fn empty_directory(directory: &Path) -> Result<()> {
    if directory.exists() {
        check_is_ours(directory)?;
        fs::remove_dir_all(directory).with_context(|| format!("cannot clear {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    // PostgreSQL's user passes through; what is inside protects itself.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o711))?;
    Ok(fs::write(directory.join(MARKER), "{}")?)
}

/// Removes the documents of the last demo, and nothing else that somebody may have put there.
fn clear_output(output: &Path) -> Result<()> {
    fs::create_dir_all(output).with_context(|| format!("cannot make {}", output.display()))?;
    for entry in fs::read_dir(output)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_made = |begin: &str, ends: &[&str]| {
            name.starts_with(begin) && ends.iter().any(|end| name.ends_with(end))
        };
        let document = is_made("INV-", &[".pdf", ".html", ".json"])
            || is_made("portal-", &[".png"])
            || is_made("mail-", &[".eml"]);
        if document || ["report.json", "weir.log", "node.log", "capacity.pdf"].contains(&name) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_somebody_else_is_never_cleared() {
        let home = tempfile::tempdir().unwrap();
        let foreign = home.path().join("thesis");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("chapter1"), "text").unwrap();
        assert!(empty_directory(&foreign).unwrap_err().to_string().contains("--data"));
        assert!(foreign.join("chapter1").exists());

        let own = home.path().join("demo-data");
        empty_directory(&own).unwrap();
        fs::write(own.join("old"), "x").unwrap();
        empty_directory(&own).unwrap();
        assert!(!own.join("old").exists() && own.join(MARKER).exists());
    }

    #[test]
    fn data_below_a_closed_directory_goes_where_postgres_can_reach_it() {
        let closed = tempfile::tempdir().unwrap();
        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let instead = closed.path().join("instead");
        let wanted = closed.path().join("demo-data");
        assert_eq!(reachable(&wanted, &instead).unwrap(), instead);
        assert_eq!(fs::read_link(&wanted).unwrap(), instead);
        assert_eq!(reachable(&wanted, &instead).unwrap(), instead, "and once more");
        assert!(reachable(&wanted, Path::new("/elsewhere")).is_err(), "a foreign link is not followed");

        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let open = closed.path().join("open");
        assert_eq!(reachable(&open, &instead).unwrap(), open);
    }

    #[test]
    fn documents_of_the_last_demo_go_and_other_files_stay() {
        let output = tempfile::tempdir().unwrap();
        for name in ["INV-2026-000001.pdf", "report.json", "weir.log", "notes.txt", "INV-plan.txt"] {
            fs::write(output.path().join(name), "x").unwrap();
        }
        clear_output(output.path()).unwrap();
        let mut left: Vec<_> = fs::read_dir(output.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["INV-plan.txt", "notes.txt"]);
    }

    #[test]
    fn a_process_that_only_has_the_recorded_id_is_not_ended() {
        end_process(i32::try_from(std::process::id()).unwrap(), &["no such word in this command line"]);
    }
}
