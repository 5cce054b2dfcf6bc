//! Test guests, started with virsh and XML of our own, without Weir: the truth that Weir is tested against.
//!
//! Dropping a guest destroys and undefines it and removes its files. Counters are read by [`crate::truth`].

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::daemons::wait_for;
use crate::guest_image::{self, GuestImage};
use crate::network::silence_at;
use crate::orders::Orders;
use crate::place::Place;
use crate::process::{run, virsh};
use crate::truth::{Figures, figures_at};
use crate::virt_type::{VirtType, decide};
use crate::xml::{Element, element};

/// Where libvirt's AppArmor profile lets QEMU read and virt-aa-helper look.
const DISKS: &str = "/var/lib/libvirt/images/weir-testbed";
/// virtlogd may write here and nowhere else.
const CONSOLES: &str = "/var/log/libvirt/qemu";
/// The guest's kernel has to let go of a device; under software emulation that takes up to 2 s.
const UNPLUG_LIMIT: Duration = Duration::from_secs(20);
/// The namespace of the tenant's name in a guest's metadata.
const WEIR_NAMESPACE: &str = "urn:weir:instance:1";

/// A disk of a test guest: an empty qcow2 image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSpec {
    /// Name in guest and host: `vda`, `vdb`.
    pub target: String,
    /// Size, MiB.
    pub mib: u64,
}

/// What guest to make. [`GuestSpec::new`] fills in a small one.
#[derive(Debug, Clone)]
pub struct GuestSpec {
    /// libvirt's name for it; letters, digits, dot, dash, underscore.
    pub name: String,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// How many it may have later; no more unless said otherwise.
    pub max_vcpus: Option<u32>,
    /// Memory, MiB. The kernel needs about 100 to unpack itself.
    pub memory_mib: u64,
    /// Disks, in order.
    pub disks: Vec<DiskSpec>,
    /// Networks: one NIC each (`eth0`, `eth1`, in order).
    pub networks: Vec<String>,
    /// Its work.
    pub orders: Orders,
    /// The tenant in its metadata, or none at all.
    pub tenant_metadata: Option<String>,
    /// None: whichever works here.
    pub virt: Option<VirtType>,
    /// The node that it is started on; this machine unless said otherwise.
    pub place: Place,
    /// Whether its console is a terminal, which a paused QEMU looks at each second; otherwise a plain file, with which it
    /// rests.
    pub has_terminal: bool,
}

/// A guest that is defined in libvirt.
#[derive(Debug)]
pub struct Guest {
    name: String,
    uuid: String,
    home: PathBuf,
    console: PathBuf,
    macs: Vec<String>,
    place: Place,
}

impl GuestSpec {
    /// One vCPU, 128 MiB, no disk, no NIC, no orders, no tenant.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            vcpus: 1,
            max_vcpus: None,
            memory_mib: 128,
            disks: Vec::new(),
            networks: Vec::new(),
            orders: Orders::default(),
            tenant_metadata: None,
            virt: None,
            place: Place::default(),
            has_terminal: true,
        }
    }

    /// Defines the guest and starts it.
    pub fn start(self) -> Result<Guest> {
        let guest = self.define()?;
        guest.start()?;
        Ok(guest)
    }

    /// Makes its disks and defines it, without starting it.
    pub fn define(self) -> Result<Guest> {
        if self.name.is_empty() || !self.name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
        {
            bail!("test guest `{}`: a name is letters, digits, dot, dash and underscore", self.name);
        }
        let image = guest_image::ensure()?;
        let virt = self.virt.map_or_else(decide, Ok)?;
        let guest = Guest {
            home: Path::new(DISKS).join(&self.name),
            console: Path::new(CONSOLES).join(format!("{}.console.log", self.name)),
            uuid: uuid::Uuid::new_v4().to_string(),
            macs: self.networks.iter().map(|_| random_mac()).collect(),
            name: self.name.clone(),
            place: self.place.clone(),
        };
        make_directory(Path::new(DISKS))?;
        make_directory(&guest.home)?;
        for disk in &self.disks {
            guest.make_disk(disk)?;
        }
        let file = guest.home.join("guest.xml");
        fs::write(&file, self.xml(&guest, &image, virt)?)?;
        self.place
            .virsh(&["define", "--validate", text(&file)?])
            .with_context(|| format!("cannot define {}", self.name))?;
        Ok(guest)
    }

    fn xml(&self, guest: &Guest, image: &GuestImage, virt: VirtType) -> Result<String> {
        let os = element("os")
            .child(element("type").with("arch", "x86_64").with("machine", "pc").text("hvm"))
            .child(element("kernel").text(text(&image.kernel)?))
            .child(element("initrd").text(text(&image.initrd)?))
            .child(element("cmdline").text(self.orders.kernel_command_line()?));
        let metadata = self.tenant_metadata.iter().map(|tenant| {
            let instance = element("weir:instance").with("xmlns:weir", WEIR_NAMESPACE).with("tenant", tenant);
            element("metadata").child(instance)
        });
        let xml = element("domain")
            .with("type", virt.as_str())
            .child(element("name").text(&guest.name))
            .child(element("uuid").text(&guest.uuid))
            .children(metadata)
            .child(element("memory").with("unit", "MiB").text(self.memory_mib))
            .child(element("vcpu").with("current", self.vcpus).text(self.max_vcpus.unwrap_or(self.vcpus)))
            .child(os)
            // ACPI is what plugs devices in and out while the guest runs.
            .child(element("features").child(element("acpi")))
            .child(element("on_reboot").text("destroy"))
            .child(self.devices(guest)?);
        Ok(xml.render())
    }

    fn devices(&self, guest: &Guest) -> Result<Element> {
        let mut disks = Vec::new();
        for disk in &self.disks {
            disks.push(
                element("disk")
                    .with("type", "file")
                    .with("device", "disk")
                    .child(element("driver").with("name", "qemu").with("type", "qcow2"))
                    .child(element("source").with("file", text(&guest.disk_path(&disk.target))?))
                    .child(element("target").with("dev", &disk.target).with("bus", "virtio")),
            );
        }
        let nics = self.networks.iter().zip(&guest.macs).map(|(network, mac)| {
            element("interface")
                .with("type", "network")
                .child(element("mac").with("address", mac))
                .child(element("source").with("network", network))
                .child(element("model").with("type", "virtio"))
        });
        let console = text(&guest.console)?;
        let serial = if self.has_terminal {
            let log = element("log").with("file", console).with("append", "off");
            element("serial").with("type", "pty").child(log)
        } else {
            let file = element("source").with("path", console).with("append", "off");
            element("serial").with("type", "file").child(file)
        };
        Ok(element("devices")
            .children(disks)
            .children(nics)
            .child(serial)
            .child(element("memballoon").with("model", "virtio")))
    }
}

impl Guest {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process that runs it.
    pub fn pid(&self) -> Result<i32> {
        self.place.guest_pid(&self.name)
    }

    /// Ends its process with SIGKILL, as the kernel does when memory runs out.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends a signal to its process: SIGSTOP makes it hang, SIGCONT lets it go on.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        signal_guest(self.pid()?, signal).with_context(|| format!("guest {}", self.name))
    }

    /// Its UUID.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// MAC addresses of the NICs that it was defined with, in order, lower case.
    #[must_use]
    pub fn macs(&self) -> &[String] {
        &self.macs
    }

    /// The image file of a disk.
    #[must_use]
    pub fn disk_path(&self, target: &str) -> PathBuf {
        self.home.join(format!("{target}.qcow2"))
    }

    /// Starts it (again); its orders begin anew.
    pub fn start(&self) -> Result<()> {
        self.virsh("start", &[])
    }

    /// Stops its vCPUs; counters stay.
    pub fn suspend(&self) -> Result<()> {
        self.virsh("suspend", &[])
    }

    /// Lets it go on.
    pub fn resume(&self) -> Result<()> {
        self.virsh("resume", &[])
    }

    /// Ends it like a power cut; its counters are gone, it stays defined.
    pub fn destroy(&self) -> Result<()> {
        self.virsh("destroy", &[])
    }

    /// Cuts it off from its networks; see [`crate::network::silence`].
    pub fn silence(&self) -> Result<()> {
        silence_at(&self.place, &self.name)
    }

    /// What libvirt counts for it now.
    pub fn figures(&self) -> Result<Figures> {
        figures_at(&self.place, &self.name)
    }

    /// What it said on its serial console since it was started last.
    pub fn console_text(&self) -> Result<String> {
        match fs::read(&self.console) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.console.display())),
        }
    }

    /// Waits until the console shows `text` (`"WEIR all done"`, `"order=3 "`), and returns that line.
    ///
    /// An order that fails ends the waiting at once, with what the guest said.
    pub fn wait_for(&self, text: &str, limit: Duration) -> Result<String> {
        let found = wait_for(limit, || {
            let console = self.console_text().ok()?;
            let line = console.lines().find(|line| line.contains(text)).map(str::to_owned);
            let failed =
                console.lines().find(|line| line.starts_with("WEIR order=") && line.contains(" failed "));
            line.map(Ok).or_else(|| failed.map(|line| Err(line.to_owned())))
        });
        match found {
            Some(Ok(line)) => Ok(line),
            Some(Err(line)) => bail!("guest {}: an order failed before `{text}` came: {line}", self.name),
            None => {
                let console = self.console_text()?;
                let last: Vec<_> = console.lines().rev().take(5).collect();
                let last = last.into_iter().rev().collect::<Vec<_>>().join(" / ");
                bail!(
                    "guest {}: no `{text}` on the console within {} s; it ends: {last}",
                    self.name,
                    limit.as_secs()
                )
            }
        }
    }

    /// Plugs a new, empty disk in while the guest runs.
    pub fn attach_disk(&self, disk: &DiskSpec) -> Result<()> {
        self.make_disk(disk)?;
        let path = self.disk_path(&disk.target);
        let how = ["--driver", "qemu", "--subdriver", "qcow2", "--targetbus", "virtio", "--live"];
        self.virsh("attach-disk", &[&[text(&path)?, disk.target.as_str()], how.as_slice()].concat())
    }

    /// Unplugs a disk, waits until the guest let go of it, and returns the figures from just before.
    pub fn detach_disk(&self, target: &str) -> Result<Figures> {
        let before = self.figures()?;
        self.virsh("detach-disk", &[target, "--live"])?;
        let gone = || {
            self.place
                .virsh(&["domblklist", &self.name])
                .is_ok_and(|list| !has_word(&list, target))
                .then_some(())
        };
        wait_for(UNPLUG_LIMIT, gone)
            .with_context(|| format!("{}: disk {target} is still there", self.name))?;
        fs::remove_file(self.disk_path(target)).ok();
        Ok(before)
    }

    /// Plugs a NIC in while the guest runs; returns its MAC.
    pub fn attach_nic(&self, network: &str) -> Result<String> {
        let mac = random_mac();
        self.virsh("attach-interface", &["network", network, "--model", "virtio", "--mac", &mac, "--live"])?;
        Ok(mac)
    }

    /// Unplugs a NIC, waits until the guest let go of it, and returns the figures from just before.
    pub fn detach_nic(&self, mac: &str) -> Result<Figures> {
        let before = self.figures()?;
        self.virsh("detach-interface", &["network", "--mac", mac, "--live"])?;
        let gone = || {
            self.place.virsh(&["domiflist", &self.name]).is_ok_and(|list| !has_word(&list, mac)).then_some(())
        };
        wait_for(UNPLUG_LIMIT, gone).with_context(|| format!("{}: NIC {mac} is still there", self.name))?;
        Ok(before)
    }

    fn virsh(&self, verb: &str, more: &[&str]) -> Result<()> {
        self.place.virsh(&[&[verb, self.name.as_str()], more].concat()).map(drop)
    }

    fn make_disk(&self, disk: &DiskSpec) -> Result<()> {
        let (path, size) = (self.disk_path(&disk.target), format!("{}M", disk.mib));
        run("qemu-img", &["create", "-q", "-f", "qcow2", text(&path)?, &size]).map(drop)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Each step may be unnecessary; what counts is what is left.
        let _ = self.virsh("destroy", &[]);
        let _ = self.virsh("undefine", &["--nvram"]);
        let _ = fs::remove_dir_all(&self.home);
        let _ = fs::remove_file(&self.console);
        let _ = fs::remove_file(Path::new(CONSOLES).join(format!("{}.log", self.name)));
        if self.place.virsh(&["domstate", &self.name]).is_ok() {
            eprintln!(
                "testbed: guest {} could not be removed; try: virsh destroy, virsh undefine",
                self.name
            );
        }
    }
}

/// Sends a signal to a guest's process.
pub fn signal_guest(pid: i32, signal: Signal) -> Result<()> {
    let id = Pid::from_raw(pid).context("a process id is positive")?;
    kill_process(id, signal).with_context(|| format!("cannot signal process {pid}"))
}

/// Destroys and undefines every guest whose name starts with `prefix`, whoever made it; returns their names.
/// Their disks are not touched: only their owner knows where they are.
pub fn remove_leftovers(prefix: &str) -> Result<Vec<String>> {
    if prefix.is_empty() {
        bail!("a prefix is needed: an empty one would remove every guest");
    }
    let listed = virsh(&["list", "--all", "--name"])?;
    let names: Vec<_> = listed.lines().map(str::trim).filter(|name| name.starts_with(prefix)).collect();
    for name in &names {
        // Either may fail: it may not run, or not be persistent. What counts is that it is gone.
        let _ = virsh(&["destroy", name]);
        let _ = virsh(&["undefine", name, "--nvram"]);
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// Removes the disks of guests whose name starts with `prefix`, of a test that was killed.
pub fn remove_left_disks(prefix: &str) -> Result<()> {
    if prefix.is_empty() {
        bail!("a prefix is needed: an empty one would remove every guest's disks");
    }
    let Ok(entries) = fs::read_dir(DISKS) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn has_word(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|found| found.eq_ignore_ascii_case(word))
}

/// In QEMU's own range, 52:54:00.
fn random_mac() -> String {
    let bytes = *uuid::Uuid::new_v4().as_bytes();
    format!("52:54:00:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2])
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path)
        .with_context(|| format!("cannot make {} (the testbed runs as root)", path.display()))?;
    // Traversable for libvirt-qemu, listable for root only, like the directory above.
    fs::set_permissions(path, fs::Permissions::from_mode(0o711))?;
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not valid UTF-8", path.display()))
}
