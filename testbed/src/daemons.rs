//! libvirtd and virtlogd for machines where nobody started them (containers, build machines): started when absent, and
//! stopped again only where asked and only those.
//!
//! It does not install packages and does not touch a daemon that was running already.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::lock::Lock;
use crate::process::{run, virsh};

/// How long a daemon may take until it answers. The first start of libvirtd probes QEMU, about 3 s on a slow machine.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a daemon may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// A daemon that this process started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedDaemon {
    /// Its program name, which is also what /proc/PID/comm says.
    pub name: String,
    /// Its process id.
    pub pid: i32,
}

/// The daemons that [`ensure`] had to start; empty when they ran already.
///
/// Dropping it leaves them running, because tests in parallel processes share them. [`Daemons::stop_on_drop`] for a
/// program that wants to leave a machine as it was.
#[derive(Debug, Default)]
pub struct Daemons {
    started: Vec<StartedDaemon>,
    notes: Vec<String>,
}

/// Stops what [`ensure`] started.
#[derive(Debug)]
pub struct StopOnDrop(Daemons);

/// Makes sure that libvirtd answers on `qemu:///system`, starting it and virtlogd when it does not.
///
/// Also gives /dev/kvm the group and mode of Debian's udev rule (`root:kvm 0660`) where nobody did. Where it is
/// `root:root 0600`, libvirtd can use KVM itself while its guests cannot, and takes its own probe of QEMU for outdated
/// at every look: one guest took 53 s to start instead of 0.6 s.
pub fn ensure() -> Result<Daemons> {
    let _lock = Lock::take(Path::new("/run/weir-testbed-daemons.lock"))?;
    let mut daemons = Daemons::default();
    daemons.notes.extend(mend_kvm_device(Path::new("/dev/kvm"))?);
    if answers() {
        return Ok(daemons);
    }
    for (name, pid_file) in [("virtlogd", "/run/virtlogd.pid"), ("libvirtd", "/run/libvirtd.pid")] {
        if running_pid(name, Path::new(pid_file)).is_some() {
            continue;
        }
        run(name, &["-d"]).with_context(|| format!("cannot start {name}"))?;
        let pid = wait_for(START_LIMIT, || running_pid(name, Path::new(pid_file))).with_context(|| {
            format!("{name} -d returned, but {pid_file} names no running process: see its log")
        })?;
        daemons.started.push(StartedDaemon { name: name.to_owned(), pid });
    }
    if wait_for(START_LIMIT, || answers().then_some(())).is_none() {
        let error = virsh(&["version"]).err().map(|error| error.to_string()).unwrap_or_default();
        bail!("libvirtd runs but does not answer within {} s: {error}", START_LIMIT.as_secs());
    }
    Ok(daemons)
}

impl Daemons {
    /// What had to be started.
    #[must_use]
    pub fn started(&self) -> &[StartedDaemon] {
        &self.started
    }

    /// What else was changed on this machine, as sentences.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Stops what was started, when the returned guard goes.
    #[must_use]
    pub fn stop_on_drop(self) -> StopOnDrop {
        StopOnDrop(self)
    }
}

impl StopOnDrop {
    /// What will be stopped.
    #[must_use]
    pub fn started(&self) -> &[StartedDaemon] {
        self.0.started()
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        // In reverse: virtlogd holds the consoles that libvirtd opened.
        for daemon in self.0.started.iter().rev() {
            if let Err(error) = stop(daemon) {
                eprintln!("testbed: {error:#}");
            }
        }
    }
}

/// Ends a daemon by its process id, once it is certain that the id still belongs to it.
pub fn stop(daemon: &StartedDaemon) -> Result<()> {
    if !is_process(daemon.pid, &daemon.name) {
        return Ok(());
    }
    let pid = Pid::from_raw(daemon.pid).context("a process id is positive")?;
    kill_process(pid, Signal::TERM)
        .with_context(|| format!("cannot stop {} ({})", daemon.name, daemon.pid))?;
    wait_for(STOP_LIMIT, || (!is_process(daemon.pid, &daemon.name)).then_some(()))
        .with_context(|| format!("{} ({}) does not stop", daemon.name, daemon.pid))
}

fn answers() -> bool {
    virsh(&["version"]).is_ok()
}

fn running_pid(name: &str, pid_file: &Path) -> Option<i32> {
    let pid = std::fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    is_process(pid, name).then_some(pid)
}

fn is_process(pid: i32, name: &str) -> bool {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let comm = std::fs::read_to_string(proc.join("comm")).unwrap_or_default();
    let status = std::fs::read_to_string(proc.join("status")).unwrap_or_default();
    comm.trim() == name && !status.lines().any(|line| line.starts_with("State:\tZ"))
}

/// What udev does on a full machine; returns what it did.
fn mend_kvm_device(device: &Path) -> Result<Option<String>> {
    let Ok(meta) = std::fs::metadata(device) else {
        return Ok(None);
    };
    let bare = meta.uid() == 0 && meta.gid() == 0 && meta.mode() & 0o077 == 0;
    let Some(group) = group_id("kvm")? else {
        return Ok(None);
    };
    if !bare {
        return Ok(None);
    }
    let what = || format!("cannot give {} to group kvm (run as root)", device.display());
    std::os::unix::fs::chown(device, None, Some(group)).with_context(what)?;
    std::fs::set_permissions(device, std::fs::Permissions::from_mode(0o660)).with_context(what)?;
    Ok(Some(format!(
        "{} now belongs to root:kvm with mode 0660, as Debian's udev rule has it",
        device.display()
    )))
}

fn group_id(name: &str) -> Result<Option<u32>> {
    let groups = std::fs::read_to_string("/etc/group").context("cannot read /etc/group")?;
    Ok(groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    }))
}

/// Asks until there is an answer or the time is up.
pub(crate) fn wait_for<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_process_with_a_recycled_id_is_never_stopped() {
        let own = i32::try_from(std::process::id()).unwrap();
        stop(&StartedDaemon { name: "libvirtd".into(), pid: own }).unwrap();
    }

    #[test]
    fn libvirt_answers_after_ensure_and_a_second_ensure_starts_nothing() {
        ensure().unwrap();
        assert!(answers());
        assert_eq!(ensure().unwrap().started(), []);
    }

    #[test]
    fn a_machine_without_kvm_is_left_alone() {
        assert_eq!(mend_kvm_device(Path::new("/no/such/device")).unwrap(), None);
    }
}
