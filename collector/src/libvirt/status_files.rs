//! Changes that libvirt makes to a running domain and tells no event of: `setvcpus` above all.
//!
//! The system's QEMU driver writes the state of a running domain to a file whenever something was done to it. The file is
//! watched, not believed: that it was written means "look", and when. Without the right to read it, or for another libvirt,
//! such a change counts from the look that sees it.

use std::ffi::OsStr;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metering::InstanceId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use uuid::Uuid;

/// Where the files lie.
const DIR: &str = "/run/libvirt/qemu";

/// How much of a file is read: the domain's UUID stands near its beginning, behind the list of its jobs and devices.
const HEAD_BYTES: u64 = 64 << 10;

/// How often the thread wakes to see whether anybody still listens, and whether the directory is there.
const PULSE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Watches until `is_over`. `tell` must not wait.
pub fn watch(is_over: &AtomicBool, tell: &dyn Fn(InstanceId)) {
    while !is_over.load(Ordering::Relaxed) {
        match open() {
            Ok(fd) => follow(&fd, is_over, tell),
            Err(error) => {
                tracing::trace!(%error, "{DIR} cannot be watched");
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}

/// On a thread of its own.
pub fn spawn(is_over: Arc<AtomicBool>, tell: impl Fn(InstanceId) + Send + 'static) {
    let spawned = std::thread::Builder::new()
        .name("weir-libvirt-status".to_owned())
        .spawn(move || watch(&is_over, &tell));
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread to watch {DIR}: another number of vCPUs counts from the look that sees it");
    }
}

fn open() -> rustix::io::Result<OwnedFd> {
    let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    // libvirt writes another file and renames it.
    let flags = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::ONLYDIR;
    inotify::add_watch(&fd, DIR, flags)?;
    Ok(fd)
}

/// Until the directory is gone or nobody listens.
fn follow(fd: &OwnedFd, is_over: &AtomicBool, tell: &dyn Fn(InstanceId)) {
    let mut buffer = [MaybeUninit::uninit(); 4_096];
    while !is_over.load(Ordering::Relaxed) {
        let mut waiting = [PollFd::new(fd, PollFlags::IN)];
        match poll(&mut waiting, Some(&PULSE)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        let mut reader = inotify::Reader::new(fd.as_fd(), &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => return,
            };
            if event.events().contains(inotify::ReadFlags::IGNORED) {
                return;
            }
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            if let Some(instance_id) = name.and_then(|name| instance_of(Path::new(DIR), name)) {
                tell(instance_id);
            }
        }
    }
}

/// Whose file it is; `None`: nobody's, or it cannot be read.
fn instance_of(dir: &Path, name: &OsStr) -> Option<InstanceId> {
    if Path::new(name).extension()? != "xml" {
        return None;
    }
    let mut head = Vec::new();
    std::fs::File::open(dir.join(name)).ok()?.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    let head = String::from_utf8_lossy(&head);
    let (_, after) = head.split_once("<uuid>")?;
    let (uuid, _) = after.split_once("</uuid>")?;
    Some(InstanceId::from_uuid(uuid.trim().parse::<Uuid>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_domain_says_whose_it_is_and_no_other_file_does() {
        let dir = tempfile::tempdir().unwrap();
        let id = "4dfea78c-0000-4000-8000-000000000001";
        for (name, text, expected) in [
            ("a.xml", format!("<domstatus><domain><name>a</name>\n<uuid>{id}</uuid>"), Some(id)),
            ("b.xml", "<domstatus><uuid>x</uuid>".to_owned(), None),
            ("c.pid", format!("<uuid>{id}</uuid>"), None),
            ("d.xml", String::new(), None),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
            let expected = expected.map(|id| InstanceId::from_uuid(id.parse().unwrap()));
            assert_eq!(instance_of(dir.path(), OsStr::new(name)), expected, "{name}");
        }
        assert_eq!(instance_of(dir.path(), OsStr::new("nowhere.xml")), None);
    }
}
