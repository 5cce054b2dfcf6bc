//! The process of a run: which it is, its CPU clock, its threads, whether it is stopped. Nothing is kept open.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metering::InstanceId;

use super::ledger::Opening;

/// Where the system's libvirt keeps pid files, and where its socket lies.
const SYSTEM_PID_DIR: &str = "/run/libvirt/qemu";

/// A process, by what tells it from another one that gets its number later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its start in clock ticks since boot.
    pub start_ticks: u64,
}

/// How many times threads and clock are read until they agree: they move only at a tick, every few milliseconds, and a
/// reading takes microseconds.
const TRIES: usize = 8;

/// Where a libvirt keeps pid files: besides its socket. `None`: it is not on this machine, or has no processes.
pub fn pid_dir(uri: &str) -> Option<PathBuf> {
    let (scheme, rest) = uri.split_once("://")?;
    if !matches!(scheme, "qemu" | "qemu+unix") || !rest.starts_with('/') {
        return None;
    }
    let socket = rest.split_once("socket=").map(|(_, path)| path.split('&').next().unwrap_or(path));
    match socket {
        Some(socket) => Some(Path::new(socket).parent()?.join("qemu")),
        None if rest.starts_with("/system") => Some(PathBuf::from(SYSTEM_PID_DIR)),
        None => None,
    }
}

/// The process of an instance, from libvirt's pid file. Its command line must name the instance.
pub fn find(pid_dir: &Path, name: &str, instance_id: InstanceId) -> Result<Process, String> {
    if name.contains('/') {
        return Err("its name is no file name".to_owned());
    }
    let path = pid_dir.join(format!("{name}.pid"));
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let pid: u32 = text.trim().parse().map_err(|_| format!("{} holds no number", path.display()))?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).map_err(|error| format!("process {pid}: {error}"))?;
    let uuid = instance_id.uuid().to_string();
    if !line.split(|byte| *byte == 0).any(|argument| argument == uuid.as_bytes()) {
        return Err(format!("process {pid} is not of this instance"));
    }
    of_pid(pid).ok_or_else(|| format!("process {pid} has ended"))
}

/// The process of that number.
pub fn of_pid(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(Process { pid, start_ticks: field(&stat, 22)?.parse().ok()? })
}

impl Process {
    /// Its start as time since boot, to the tick.
    pub fn started(self) -> Duration {
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Duration::from_millis(self.start_ticks.saturating_mul(1_000) / per_second)
    }

    /// Whether it is stopped by a signal or a tracer: it will answer nobody.
    pub fn is_stopped(self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        matches!(field(&stat, 3), Some("T" | "t"))
    }

    /// All CPU time of its threads, also of those that have ended, in ns. `None`: it is gone.
    pub fn clock_ns(self) -> Option<u64> {
        let pid = i32::try_from(self.pid).ok()?;
        // `CPUCLOCK_SCHED` of a process (`include/linux/posix-timers.h`): the number's complement over three bits.
        let clock = (!pid << 3) | 2;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a struct of the right type that lives through the call.
        let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
        let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u64::try_from(time.tv_nsec).ok()?);
        (result == 0).then(|| seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// Its clock and the time of each of its threads, at one instant. `None`: it is gone. A process that never stands
    /// still gives threads that are not older than the clock, so that what had ended before is not put too high.
    pub fn clock_and_threads(self) -> Option<Opening> {
        let mut before = self.threads()?;
        for _ in 0..TRIES {
            let clock = self.clock_ns()?;
            let after = self.threads()?;
            if before == after {
                return Some(Opening { clock_ns: clock, living: after, is_at_rest: true });
            }
            before = after;
        }
        Some(Opening { clock_ns: self.clock_ns()?, living: self.threads()?, is_at_rest: false })
    }

    fn threads(self) -> Option<BTreeMap<u32, u64>> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid)).ok()? {
            let entry = entry.ok()?;
            let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A thread that ended meanwhile is not among them any more.
            if let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) {
                threads.insert(thread, text.split_ascii_whitespace().next()?.parse().ok()?);
            }
        }
        Some(threads)
    }

    /// The accounting file of the cgroup that libvirt made for it; `None`: it made none.
    pub fn cgroup(self) -> Option<Cgroup> {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).ok()?;
        let file = cgroup_file(&text, Path::new("/sys/fs/cgroup"))?;
        let is_v2 = file.ends_with("cpu.stat");
        Some(Cgroup { file: File::open(&file).ok()?, is_v2, path: file })
    }
}

/// The accounting file of a VM's cgroup, held open.
pub struct Cgroup {
    file: File,
    is_v2: bool,
    path: PathBuf,
}

impl Cgroup {
    /// CPU time in ns; `None`: the cgroup is gone.
    pub fn ns(&self) -> Option<u64> {
        let mut buffer = [0; 1_024];
        let length = self.file.read_at(&mut buffer, 0).ok()?;
        let text = std::str::from_utf8(&buffer[..length]).ok()?;
        if self.is_v2 {
            let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
            return usage.trim().parse::<u64>().ok()?.checked_mul(1_000);
        }
        text.trim().parse().ok()
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// From `/proc/<pid>/cgroup` to the file that libvirt itself reads: that of the whole VM, not of a part of it.
fn cgroup_file(text: &str, root: &Path) -> Option<PathBuf> {
    let lines = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        Some((parts.next()?, parts.next()?, parts.next()?))
    });
    for (hierarchy, controllers, path) in lines {
        let is_v2 = hierarchy == "0" && controllers.is_empty();
        let is_cpuacct = controllers.split(',').any(|controller| controller == "cpuacct");
        let Some(group) = vm_group(path).filter(|_| is_v2 || is_cpuacct) else {
            continue;
        };
        let file = if is_v2 {
            root.join(group).join("cpu.stat")
        } else {
            root.join("cpuacct").join(group).join("cpuacct.usage")
        };
        return Some(file);
    }
    None
}

/// `machine.slice/machine-qemu\x2d1\x2dweb.scope[/libvirt]` or `machine/qemu-1-web.libvirt-qemu`.
fn vm_group(path: &str) -> Option<PathBuf> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    if parts.contains(&"..") {
        return None;
    }
    let at = parts.iter().position(|part| {
        (part.starts_with("machine-qemu") && part.ends_with(".scope")) || part.ends_with(".libvirt-qemu")
    })?;
    let until = if parts.get(at + 1) == Some(&"libvirt") { at + 2 } else { at + 1 };
    Some(parts[..until].iter().collect())
}

/// A field of proc(5)'s stat, counted from 1. The second one may hold anything, so counting begins behind it.
fn field(stat: &str, number: usize) -> Option<&str> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(number.checked_sub(3)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_a_process_is_its_threads_and_what_ended_before() {
        let process = of_pid(std::process::id()).unwrap();
        std::thread::spawn(|| (0..1_000_000_u64).map(std::hint::black_box).sum::<u64>()).join().unwrap();
        let Opening { clock_ns: clock, living: threads, .. } = process.clock_and_threads().unwrap();
        assert!(threads.values().sum::<u64>() <= clock, "{threads:?} {clock}");
        assert!(clock <= process.clock_ns().unwrap());
        assert!(!process.is_stopped());
        assert_eq!(Process { pid: u32::MAX, start_ticks: 0 }.clock_ns(), None);
    }

    #[test]
    fn only_a_libvirt_of_this_machine_has_processes_here() {
        for (uri, dir) in [
            ("qemu:///system", Some("/run/libvirt/qemu")),
            ("qemu+unix:///system?socket=/a/b/libvirt-sock&mode=legacy", Some("/a/b/qemu")),
            ("qemu+ssh://host/system", None),
            ("qemu+tls:///system", None),
            ("qemu:///session", None),
            ("test:///default", None),
            ("nonsense", None),
        ] {
            assert_eq!(pid_dir(uri), dir.map(PathBuf::from), "{uri}");
        }
    }

    #[test]
    fn the_cgroup_is_that_of_the_whole_guest_which_libvirt_reads() {
        let root = Path::new("/cg");
        for (text, file) in [
            (
                "0::/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/emulator",
                Some("/cg/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/cpu.stat"),
            ),
            (
                "4:cpu,cpuacct:/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/emulator\n1:name=systemd:/x",
                Some("/cg/cpuacct/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/cpuacct.usage"),
            ),
            (
                "9:cpuacct:/machine/qemu-1-web.libvirt-qemu/emulator",
                Some("/cg/cpuacct/machine/qemu-1-web.libvirt-qemu/cpuacct.usage"),
            ),
            ("3:cpuacct:/\n0::/", None),
            ("0::/user.slice/libvirtd.service", None),
            ("0::/../machine-qemu.scope", None),
        ] {
            assert_eq!(cgroup_file(text, root), file.map(PathBuf::from), "{text}");
        }
    }

    #[test]
    fn both_kinds_of_accounting_files_are_read_in_nanoseconds() {
        let dir = tempfile::tempdir().unwrap();
        for (name, content, ns) in [
            ("cpu.stat", "usage_usec 12345\nuser_usec 1\n", Some(12_345_000)),
            ("cpuacct.usage", "987654321\n", Some(987_654_321)),
            ("cpu.stat", "nothing", None),
        ] {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            let cgroup = Cgroup { file: File::open(&path).unwrap(), is_v2: name == "cpu.stat", path };
            assert_eq!(cgroup.ns(), ns);
        }
    }
}
