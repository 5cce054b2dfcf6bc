//! A further KVM node on this machine: mount, host name and (if wanted) network namespaces of its own, its own libvirtd,
//! its own network for guests, and a line to the root namespace that can be cut.
//!
//! What runs there is found by its mount namespace, and ended by process id when the node is dropped, also on a panic. A
//! node whose test was killed is ended by the next one. It does not touch this machine's own libvirtd.
//!
//! The kernel sends exit records (taskstats) to the first network namespace only: in a node with a network of its own a
//! listener has to enter that one, as the collector does.

mod power;

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};

use crate::daemons::wait_for;
use crate::lock::Lock;
use crate::network::{Network, free_subnet};
use crate::place::Place;
use crate::process::{finish_command, run};

/// One directory per node: its /run/libvirt, /var/lib/libvirt and /etc/libvirt, and who made it.
const NODES: &str = "/run/weir-testbed-nodes";
const LOCK: &str = "/run/weir-testbed-nodes.lock";
/// Below a node's directory: `OWNER_PID OWNER_START HOLDER_PID HOLDER_START`.
const OWNER: &str = "owner";
/// Where the disks of all guests are; the same on every node, as with shared storage.
const IMAGES: &str = "/var/lib/libvirt/images";
/// The first start of libvirtd probes QEMU.
const START_LIMIT: Duration = Duration::from_secs(60);
/// What libvirtd may take to notice that its guests were ended, and to tidy up after them.
const TIDY_LIMIT: Duration = Duration::from_secs(5);
/// What a killed process may take to be gone.
const GONE_LIMIT: Duration = Duration::from_secs(5);
/// Ports of incoming migrations, per node, so that two on one network do not meet.
const MIGRATION_PORTS: u16 = 16;

/// Whether a node has a network of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Net {
    /// A network namespace, joined to this machine's by a line that can be cut.
    #[default]
    Own,
    /// This machine's network: two such nodes can migrate guests to each other.
    Shared,
}

/// The running node; dropping it ends everything in it.
#[derive(Debug)]
pub struct SecondNode {
    name: String,
    directory: PathBuf,
    place: Place,
    holder: Child,
    libvirtd: Option<Child>,
    line: Option<Line>,
    network: Option<Network>,
    host_uuid: String,
    boot_id: String,
}

/// The two pairs of interfaces between the node and this machine.
#[derive(Debug, Clone)]
struct Line {
    /// This machine's end of the way to the control plane.
    uplink: String,
    here: Ipv4Addr,
    there: Ipv4Addr,
    /// This machine's end of the guests' network.
    guests: String,
}

impl SecondNode {
    /// A node with a network of its own. `name` is its host name too: letters, digits, dash.
    pub fn start(name: &str) -> Result<Self> {
        Self::start_with(name, Net::Own)
    }

    /// A node. Its libvirtd answers and its guests' network is up when this returns.
    pub fn start_with(name: &str, net: Net) -> Result<Self> {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            bail!("node `{name}`: a name is letters, digits and dash");
        }
        let _lock = Lock::take(Path::new(LOCK))?;
        remove_leftovers()?;
        let directory = Path::new(NODES).join(name);
        let [host_uuid, boot_id] = [(); 2].map(|()| uuid::Uuid::new_v4().to_string());
        write_files(&directory, name, &host_uuid, &boot_id)?;
        let holder = hold_namespaces(net)?;
        let place = Place::inside(holder.id(), directory.join("run"));
        // From here on dropping it tidies up, whatever fails.
        let mut node = Self {
            name: name.to_owned(),
            directory,
            place,
            holder,
            libvirtd: None,
            line: None,
            network: None,
            host_uuid,
            boot_id,
        };
        node.wait_for_holder()?;
        node.remember_owner()?;
        node.furnish()?;
        if net == Net::Own {
            node.lay_line()?;
        }
        node.start_libvirtd()?;
        node.make_network()?;
        Ok(node)
    }

    /// Its name, which is its host name and that of its guests' network.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its libvirt and its namespaces: for guests ([`crate::guest::GuestSpec::place`]) and for programs.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The id of the host, as its libvirt says.
    #[must_use]
    pub fn host_uuid(&self) -> &str {
        &self.host_uuid
    }

    /// What /proc/sys/kernel/random/boot_id says there.
    #[must_use]
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// A directory of the node that is seen under the same path inside and outside; gone with the node.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.directory.join("own")
    }

    /// Runs the command given inside the node, to its end; returns what it printed.
    pub fn run(&self, command: &mut Command) -> Result<String> {
        finish_command(self.inside(command))
    }

    /// The command given as one that runs inside the node, with its arguments, environment and directory.
    #[must_use]
    pub fn inside(&self, command: &Command) -> Command {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut inside = self.place.command(&program);
        inside.args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(key, value),
                None => inside.env_remove(key),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            inside.current_dir(directory);
        }
        inside
    }

    /// One virsh command on its libvirt.
    pub fn virsh<S: AsRef<str>>(&self, args: &[S]) -> Result<String> {
        self.place.virsh(args)
    }

    /// The address under which programs in the node reach this machine: where a control plane listens for it.
    #[must_use]
    pub fn control_address(&self) -> Ipv4Addr {
        self.line.as_ref().map_or(Ipv4Addr::LOCALHOST, |line| line.here)
    }

    /// The node's own address on that line.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.line.as_ref().map_or(Ipv4Addr::LOCALHOST, |line| line.there)
    }

    /// The network of its guests.
    ///
    /// # Panics
    /// Never: a node that was started has one.
    #[must_use]
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("a node that was started has a network")
    }

    /// An address of this machine on the guests' network: where a file server for them listens.
    #[must_use]
    pub fn server_address(&self) -> Ipv4Addr {
        self.network().here()
    }

    /// Takes the line to this machine down, as a cut cable; the guests' network stays.
    pub fn cut_line(&self) -> Result<()> {
        self.set_line("down")
    }

    /// Puts the line up again.
    pub fn mend_line(&self) -> Result<()> {
        self.set_line("up")
    }

    /// The process of its libvirtd; none while it is killed.
    #[must_use]
    pub fn libvirtd_pid(&self) -> Option<u32> {
        self.libvirtd.as_ref().map(Child::id)
    }

    /// Sends a signal to its libvirtd.
    pub fn signal_libvirtd(&self, signal: Signal) -> Result<()> {
        let pid = self.libvirtd_pid().with_context(|| format!("{} has no libvirtd now", self.name))?;
        signal_process(pid, signal).with_context(|| format!("cannot signal libvirtd of {}", self.name))
    }

    /// Ends its libvirtd with SIGKILL. Guests go on.
    pub fn kill_libvirtd(&mut self) -> Result<()> {
        let Some(mut libvirtd) = self.libvirtd.take() else { return Ok(()) };
        libvirtd.kill().context("cannot kill libvirtd")?;
        libvirtd.wait().context("cannot wait for libvirtd")?;
        Ok(())
    }

    /// Starts its libvirtd (again), and waits until it answers.
    pub fn start_libvirtd(&mut self) -> Result<()> {
        if self.libvirtd.is_some() {
            return Ok(());
        }
        let log = File::create(self.directory.join("libvirtd.out"))?;
        let child = self
            .place
            .command("libvirtd")
            // /run itself is this machine's, with the pid file of its libvirtd in it.
            .args(["--pid-file", "/run/libvirt/libvirtd.pid"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start libvirtd in namespaces: is util-linux installed?")?;
        self.libvirtd = Some(child);
        let place = self.place.clone();
        let libvirtd = self.libvirtd.as_mut().context("it was started above")?;
        let outcome = wait_for(START_LIMIT, || match libvirtd.try_wait() {
            Ok(Some(status)) => Some(Err(status)),
            _ => place.virsh(&["version"]).is_ok().then_some(Ok(())),
        });
        if matches!(outcome, Some(Ok(()))) {
            return Ok(());
        }
        if let Some(Err(_)) = outcome {
            self.libvirtd = None;
        }
        let said = fs::read_to_string(self.directory.join("libvirtd.log")).unwrap_or_default();
        bail!("libvirtd of {} does not answer ({outcome:?}): {said}", self.name)
    }

    fn wait_for_holder(&self) -> Result<()> {
        let comm = format!("/proc/{}/comm", self.holder.id());
        let is_there = || fs::read_to_string(&comm).is_ok_and(|name| name.trim() == "sleep").then_some(());
        wait_for(GONE_LIMIT, is_there).context("unshare made no namespaces: the testbed runs as root")
    }

    fn remember_owner(&self) -> Result<()> {
        let (own, holder) = (std::process::id(), self.holder.id());
        let text = format!("{own} {} {holder} {}\n", start_of(own)?, start_of(holder)?);
        fs::write(self.directory.join(OWNER), text).context("cannot note who made the node")
    }

    /// Its own directories over this machine's, and its names.
    fn furnish(&self) -> Result<()> {
        let own = |name: &str| self.directory.join(name).to_string_lossy().into_owned();
        let inside = |program: &str, args: &[&str]| self.place.run(program, args).map(drop);
        inside("mount", &["--bind", &own("etc"), "/etc/libvirt"])?;
        // Before /var/lib/libvirt is covered: the disks are the same as everywhere.
        inside("mount", &["--bind", IMAGES, &own("lib/images")])?;
        inside("mount", &["--rbind", &own("lib"), "/var/lib/libvirt"])?;
        inside("mkdir", &["-p", "/run/libvirt"])?;
        inside("mount", &["--bind", &own("run"), "/run/libvirt"])?;
        inside("mount", &["--bind", &own("boot_id"), "/proc/sys/kernel/random/boot_id"])?;
        inside("hostname", &[&self.name])
    }

    /// Two pairs: one for programs, one for guests, so that the first can be cut without the second.
    fn lay_line(&mut self) -> Result<()> {
        let inside = |args: &[&str]| self.place.run("ip", args).map(drop);
        let subnet = free_subnet(&format!("{}-line", self.name))?;
        let line = Line {
            uplink: interface("wu", &self.name),
            here: subnet.address(1),
            there: subnet.address(2),
            guests: interface("wg", &self.name),
        };
        // A node without IPv6 sends no router solicitations to its guests.
        for scope in ["all", "default"] {
            self.place.run("sysctl", &["-q", "-w", &format!("net.ipv6.conf.{scope}.disable_ipv6=1")])?;
        }
        inside(&["link", "set", "lo", "up"])?;
        let holder = self.holder.id().to_string();
        for (here, there) in [(&line.uplink, "uplink"), (&line.guests, "guests")] {
            run("ip", &["link", "add", here, "type", "veth", "peer", "name", there, "netns", &holder])?;
            let setting = format!("/proc/sys/net/ipv6/conf/{here}/disable_ipv6");
            if fs::exists(&setting)? {
                fs::write(&setting, "1").with_context(|| format!("cannot write {setting}"))?;
            }
            run("ip", &["link", "set", here, "up"])?;
            inside(&["link", "set", there, "up"])?;
        }
        run("ip", &["addr", "add", &format!("{}/24", line.here), "dev", &line.uplink])?;
        inside(&["addr", "add", &format!("{}/24", line.there), "dev", "uplink"])?;
        self.line = Some(line);
        Ok(())
    }

    fn make_network(&mut self) -> Result<()> {
        let Some(line) = self.line.clone() else {
            self.network = Some(Network::create_at(&self.place, &self.name)?);
            return Ok(());
        };
        let mut network = Network::create_at(&self.place, &self.name)?;
        self.place.run("ip", &["link", "set", "guests", "master", network.bridge()])?;
        let here = network.subnet().address(2);
        run("ip", &["addr", "add", &format!("{here}/24"), "dev", &line.guests])?;
        network.seen_from_here_as(here);
        self.network = Some(network);
        Ok(())
    }

    fn set_line(&self, state: &str) -> Result<()> {
        let line =
            self.line.as_ref().with_context(|| format!("{} shares this machine's network", self.name))?;
        run("ip", &["link", "set", &line.uplink, state]).map(drop)
    }
}

impl Drop for SecondNode {
    fn drop(&mut self) {
        // The network's own removal needs libvirtd, which may be stopped or gone: a bridge is removed below.
        let bridge = self.network.take().map(Network::forget);
        if let Err(error) = end_everything(&self.directory, self.holder.id()) {
            eprintln!("testbed: node {}: {error:#}", self.name);
        }
        let _ = self.libvirtd.as_mut().map(Child::wait);
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        // A namespace goes some time after its last process; names shall be free at once.
        match (&self.line, bridge) {
            (Some(line), _) => {
                let _ = run("ip", &["link", "del", &line.uplink]);
                let _ = run("ip", &["link", "del", &line.guests]);
            }
            (None, Some(bridge)) => drop(run("ip", &["link", "del", &bridge])),
            (None, None) => {}
        }
    }
}

/// Ends nodes whose tests were killed. Those of running tests are left alone.
fn remove_leftovers() -> Result<()> {
    let Ok(entries) = fs::read_dir(NODES) else { return Ok(()) };
    for directory in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let text = fs::read_to_string(directory.join(OWNER)).unwrap_or_default();
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [owner, owner_start, holder, holder_start] = numbers[..] else { continue };
        let lives = |pid: u64, start: u64| {
            u32::try_from(pid).is_ok_and(|pid| start_of(pid).is_ok_and(|found| found == start))
        };
        if lives(owner, owner_start) {
            continue;
        }
        eprintln!("testbed: ending {}, left by a test that was killed", directory.display());
        if lives(holder, holder_start) {
            let holder = u32::try_from(holder)?;
            end_everything(&directory, holder)?;
            signal_process(holder, Signal::KILL)?;
        } else {
            remove_directory(&directory);
        }
    }
    Ok(())
}

/// Ends all processes of the holder's mount namespace but itself: guests first, so that their libvirtd tidies up.
fn end_everything(directory: &Path, holder: u32) -> Result<()> {
    let namespace = mount_namespace(holder)?;
    if namespace == mount_namespace(std::process::id())? {
        bail!("process {holder} is in no namespace of its own");
    }
    let members = || members_of(namespace, holder);
    let guests: Vec<u32> = members().into_iter().filter(is_guest).collect();
    let groups: Vec<PathBuf> = guests.iter().flat_map(|pid| control_groups(*pid)).collect();
    for pid in &guests {
        let _ = signal_process(*pid, Signal::KILL);
        let _ = signal_process(*pid, Signal::CONT);
    }
    let has_tidied = || groups.iter().all(|group| !group.exists()).then_some(());
    if !groups.is_empty() {
        let _ = wait_for(TIDY_LIMIT, has_tidied);
    }
    let all_gone = wait_for(GONE_LIMIT, || {
        let left = members();
        for pid in &left {
            let _ = signal_process(*pid, Signal::KILL);
        }
        // What this process started stays a zombie until it is waited for; it has no namespace any more.
        left.is_empty().then_some(())
    });
    for group in &groups {
        remove_control_group(group);
    }
    remove_directory(directory);
    all_gone.with_context(|| format!("processes {:?} do not end", members()))
}

fn is_guest(pid: &u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|it| it.starts_with("qemu"))
}

fn members_of(namespace: u64, but_not: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != but_not && mount_namespace(*pid).is_ok_and(|found| found == namespace))
        .collect()
}

fn mount_namespace(pid: u32) -> Result<u64> {
    let file = format!("/proc/{pid}/ns/mnt");
    Ok(fs::metadata(&file).with_context(|| format!("cannot read {file}"))?.ino())
}

/// The directories that libvirt made for a guest, outermost first.
fn control_groups(pid: u32) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let of_guest = text.lines().filter_map(|line| {
        let (head, path) = line.rsplit_once(':')?;
        let controllers = head.split_once(':')?.1.trim_start_matches("name=");
        let end = path.find("/machine")?;
        let below: Vec<_> = path[end..].trim_start_matches('/').split('/').take(2).collect();
        let root = Path::new("/sys/fs/cgroup").join(controllers);
        (below.len() == 2).then(|| root.join(path[..end].trim_start_matches('/')).join(below.join("/")))
    });
    let mut groups: Vec<_> = of_guest.filter(|group| group.is_dir()).collect();
    groups.sort();
    groups.dedup();
    groups
}

fn remove_control_group(group: &Path) {
    let Ok(entries) = fs::read_dir(group) else { return };
    for below in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()) {
        remove_control_group(&below);
    }
    let _ = fs::remove_dir(group);
}

fn remove_directory(directory: &Path) {
    // Mounts are in the namespace only; what is here is plain files.
    if let Err(error) = fs::remove_dir_all(directory) {
        eprintln!("testbed: cannot remove {}: {error}", directory.display());
    }
}

fn hold_namespaces(net: Net) -> Result<Child> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--uts", "--propagation", "private"]);
    if net == Net::Own {
        command.arg("--net");
    }
    command
        .args(["sleep", "infinity"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start unshare: is util-linux installed?")
}

fn write_files(directory: &Path, name: &str, host_uuid: &str, boot_id: &str) -> Result<()> {
    if directory.exists() {
        bail!("node {name} exists already ({}): choose another name", directory.display());
    }
    for below in ["run", "lib/images", "etc/qemu", "etc/storage", "etc/nwfilter", "own"] {
        fs::create_dir_all(directory.join(below))
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    fs::create_dir_all(IMAGES).with_context(|| format!("cannot make {IMAGES}"))?;
    let log = directory.join("libvirtd.log");
    let daemon = format!(
        "host_uuid = \"{host_uuid}\"\nauth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\nunix_sock_ro_perms = \"0777\"\n\
         unix_sock_rw_perms = \"0700\"\nlog_level = 3\nlog_outputs = \"3:file:{}\"\n",
        log.display()
    );
    let ports = 50_000 + u16::from(Sha256::digest(name)[0]) * MIGRATION_PORTS;
    // QEMU is root there, and files of other nodes' guests are left as they are.
    // One mount namespace for all, so that what belongs to the node can be told by it; no virtlogd needed.
    let qemu = format!(
        "stdio_handler = \"file\"\nuser = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\nnamespaces = []\n\
         dynamic_ownership = 0\n         migration_port_min = {ports}\nmigration_port_max = {}\n",
        ports + MIGRATION_PORTS - 1
    );
    fs::write(directory.join("etc/libvirtd.conf"), daemon)?;
    fs::write(directory.join("etc/qemu.conf"), qemu)?;
    fs::write(directory.join("boot_id"), format!("{boot_id}\n"))?;
    Ok(())
}

/// Field 22 of /proc/PID/stat: with the id it names one process for as long as the machine runs.
fn start_of(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let field = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok());
    field.with_context(|| format!("/proc/{pid}/stat cannot be understood"))
}

fn signal_process(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("a process id is positive")?;
    Ok(kill_process(pid, signal)?)
}

/// At most 15 characters.
fn interface(prefix: &str, name: &str) -> String {
    let hex: String = Sha256::digest(name).iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}{hex}")
}
