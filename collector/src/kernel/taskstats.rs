//! Exit records: the kernel tells the CPU time of every thread that ends, on all processors, by generic netlink.
//!
//! Only decoding and the socket; what the times add up to is `ledger`'s. Needs `CAP_NET_ADMIN` and the first pid namespace.
//! Records are sent to the first network namespace only: elsewhere the kernel (6.18) accepts a listener and never sends it
//! anything, so the namespaces are compared, and what was opened has to hear the end of a thread of its own.

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::netlink::{self, Message, Received, Socket, attribute, attributes, u16_at, u32_at, u64_at};

/// `linux/genetlink.h`, `linux/taskstats.h`.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const TASKSTATS_CMD_GET: u8 = 1;
const TASKSTATS_CMD_ATTR_REGISTER_CPUMASK: u16 = 3;
const TYPE_PID: u16 = 1;
const TYPE_STATS: u16 = 3;
const TYPE_AGGR_PID: u16 = 4;
const GENL_HEADER: usize = 4;

/// Offsets in `struct taskstats`, to which newer versions only add at the end.
const AT_VERSION: usize = 0;
const AT_FLAGS: usize = 8;
const AT_CPU_NS: usize = 72;
const AT_PID: usize = 128;
const AT_TGID: usize = 368;

/// Since this version a record names its process.
const FIRST_VERSION: u16 = 12;
/// This one put new fields in the middle; the next one took that back.
const BROKEN_VERSION: u16 = 15;
/// The last thread of its process (`AGROUP` of `linux/acct.h`).
const FLAG_LAST_OF_GROUP: u8 = 0x20;

/// Whose network namespace is the first one: process 2 starts the kernel's own threads and never leaves it; process 1 is there
/// where the other may not be looked at, unless somebody moved it, and can itself be closed even to root.
const FIRST_NAMESPACE: [&str; 2] = ["/proc/2/ns/net", "/proc/1/ns/net"];

/// A record takes about 2 KiB of the socket's buffer: enough for some thousand threads that end at once.
const RECEIVE_BUFFER: usize = 8 << 20;

/// The end of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitRecord {
    /// The process.
    pub pid: u32,
    /// The thread.
    pub thread: u32,
    /// All its CPU time, in ns.
    pub cpu_ns: u64,
    /// With it the process ended.
    pub is_last: bool,
}

/// The socket on which the records come in.
pub struct ExitRecords {
    socket: Socket,
}

/// Why there are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskstatsError {
    /// The kernel has no such family, or not in this network namespace.
    #[error("the kernel does not serve taskstats here")]
    NotServed(#[source] Errno),
    /// The first network namespace could not be entered.
    #[error("taskstats is served in the first network namespace only, which cannot be entered")]
    Namespace(#[source] Errno),
    /// The kernel refused to register the listener.
    #[error("the kernel refused the listener")]
    Refused(#[source] Errno),
    /// No thread.
    #[error("no thread could be started")]
    Thread,
    /// Which processors there may be is not known.
    #[error("/sys/devices/system/cpu/possible cannot be read")]
    Processors,
    /// The kernel accepted the listener and does not send it anything.
    #[error("the kernel accepted the listener, but tells it of no end")]
    Unheard,
}

impl ExitRecords {
    /// Begins to listen. The socket is opened by a thread of its own, so that only that one enters another namespace.
    pub fn open() -> Result<Self, TaskstatsError> {
        let opener = std::thread::Builder::new().name("weir-taskstats".to_owned());
        let thread = opener.spawn(open_anywhere).map_err(|_| TaskstatsError::Thread)?;
        thread.join().map_err(|_| TaskstatsError::Thread)?
    }

    /// Hands over the records of one receive call, without waiting.
    pub fn receive(&mut self, mut take: impl FnMut(ExitRecord)) -> Result<Received, Errno> {
        self.socket.receive(|message| records(message, &mut take))
    }

    /// Whether the end of a thread is heard. Its record is sent before it can be joined, so nothing is waited for.
    fn hears(&mut self) -> Result<bool, TaskstatsError> {
        let thread = std::thread::Builder::new().name("weir-probe".to_owned());
        let probe = thread.spawn(rustix::thread::gettid).map_err(|_| TaskstatsError::Thread)?;
        let probe = probe.join().map_err(|_| TaskstatsError::Thread)?.as_raw_pid().unsigned_abs();
        let mut is_heard = false;
        loop {
            match self.receive(|record| is_heard |= record.thread == probe) {
                Ok(Received::Some) => {}
                // So many ends that the buffer did not hold them.
                Ok(Received::Overrun) => is_heard = true,
                Ok(Received::Nothing) => return Ok(is_heard),
                Err(error) => return Err(TaskstatsError::Refused(error)),
            }
        }
    }

    /// To wait for.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

/// In the first network namespace, whichever the caller's is.
fn open_anywhere() -> Result<ExitRecords, TaskstatsError> {
    let is_first = is_first_namespace();
    if is_first != Some(false) {
        match open_here() {
            Err(TaskstatsError::NotServed(_) | TaskstatsError::Unheard) if is_first.is_none() => {}
            result => return result,
        }
    }
    enter_first_namespace()?;
    open_here()
}

/// Whether this thread's network namespace is the first one; `None`: nobody may look at that one.
fn is_first_namespace() -> Option<bool> {
    use std::os::unix::fs::MetadataExt;
    let identity = |path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let first = FIRST_NAMESPACE.into_iter().find_map(identity)?;
    Some(identity("/proc/thread-self/ns/net")? == first)
}

fn enter_first_namespace() -> Result<(), TaskstatsError> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let open = |path| rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    let [best, other] = FIRST_NAMESPACE;
    let namespace = open(best).or_else(|_| open(other)).map_err(TaskstatsError::Namespace)?;
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind).map_err(TaskstatsError::Namespace)
}

fn open_here() -> Result<ExitRecords, TaskstatsError> {
    let mut socket =
        Socket::open(Some(rustix::net::netlink::GENERIC), 0).map_err(TaskstatsError::NotServed)?;
    let mut family = None;
    let mut ask = vec![CTRL_CMD_GETFAMILY, 1, 0, 0];
    netlink::push_text(&mut ask, CTRL_ATTR_FAMILY_NAME, "TASKSTATS");
    let answered = socket.command_with_answer(GENL_ID_CTRL, &ask, |message| {
        let body = message.body.get(GENL_HEADER..).unwrap_or_default();
        family = attribute(body, CTRL_ATTR_FAMILY_ID).and_then(|id| u16_at(id, 0));
    });
    answered.map_err(TaskstatsError::NotServed)?;
    let family = family.ok_or(TaskstatsError::NotServed(Errno::NOENT))?;
    socket.want_buffer(RECEIVE_BUFFER);
    let processors = std::fs::read_to_string("/sys/devices/system/cpu/possible")
        .map_err(|_| TaskstatsError::Processors)?;
    let mut register = vec![TASKSTATS_CMD_GET, 1, 0, 0];
    netlink::push_text(&mut register, TASKSTATS_CMD_ATTR_REGISTER_CPUMASK, processors.trim());
    socket.command(family, &register).map_err(TaskstatsError::Refused)?;
    let mut records = ExitRecords { socket };
    if records.hears()? { Ok(records) } else { Err(TaskstatsError::Unheard) }
}

/// The records of single threads in a message. The sum over a process' threads that may follow is left out: it has only
/// those that ended while somebody listened.
fn records(message: Message<'_>, take: &mut impl FnMut(ExitRecord)) {
    let body = message.body.get(GENL_HEADER..).unwrap_or_default();
    for (kind, content) in attributes(body) {
        if kind == TYPE_AGGR_PID
            && let Some(record) = record(content)
        {
            take(record);
        }
    }
}

fn record(content: &[u8]) -> Option<ExitRecord> {
    let thread = u32_at(attribute(content, TYPE_PID)?, 0)?;
    let stats = attribute(content, TYPE_STATS)?;
    let version = u16_at(stats, AT_VERSION)?;
    // A layout that says another thread than the message is not the one that is known here.
    if version < FIRST_VERSION || version == BROKEN_VERSION || u32_at(stats, AT_PID)? != thread {
        return None;
    }
    Some(ExitRecord {
        pid: u32_at(stats, AT_TGID)?,
        thread,
        cpu_ns: u64_at(stats, AT_CPU_NS)?,
        is_last: stats.get(AT_FLAGS)? & FLAG_LAST_OF_GROUP != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(version: u16, thread: u32) -> Vec<u8> {
        let mut stats = vec![0; 560];
        stats[AT_VERSION..AT_VERSION + 2].copy_from_slice(&version.to_ne_bytes());
        stats[AT_FLAGS] = 0x30;
        stats[AT_CPU_NS..AT_CPU_NS + 8].copy_from_slice(&123_456_789_u64.to_ne_bytes());
        stats[AT_PID..AT_PID + 4].copy_from_slice(&thread.to_ne_bytes());
        stats[AT_TGID..AT_TGID + 4].copy_from_slice(&42_u32.to_ne_bytes());
        stats
    }

    fn content(stats: &[u8]) -> Vec<u8> {
        let mut content = vec![8, 0, 1, 0];
        content.extend_from_slice(&43_u32.to_ne_bytes());
        content.extend_from_slice(&u16::try_from(4 + stats.len()).unwrap().to_ne_bytes());
        content.extend_from_slice(&[3, 0]);
        content.extend_from_slice(stats);
        content
    }

    #[test]
    fn a_record_of_a_layout_that_is_not_known_is_not_guessed_at() {
        let known = ExitRecord { pid: 42, thread: 43, cpu_ns: 123_456_789, is_last: true };
        assert_eq!(record(&content(&stats(12, 43))), Some(known));
        assert_eq!(record(&content(&stats(16, 43))), Some(known));
        assert_eq!(record(&content(&stats(11, 43))), None, "it does not name its process");
        assert_eq!(record(&content(&stats(15, 43))), None, "other offsets");
        assert_eq!(record(&content(&stats(16, 44))), None, "the thread stands elsewhere");
        assert_eq!(record(&content(&stats(16, 43)[..300])), None);
    }

    #[test]
    fn the_end_of_a_process_of_this_machine_is_heard() {
        hear_a_child();
    }

    #[test]
    fn the_end_of_a_process_is_heard_from_a_network_namespace_of_ones_own_too() {
        let apart = std::thread::spawn(|| {
            // SAFETY: only the network of this thread changes; no descriptor and no memory does.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
            assert_eq!(is_first_namespace(), Some(false));
            hear_a_child();
            let unheard = open_here().err();
            assert!(
                matches!(unheard, Some(TaskstatsError::Unheard | TaskstatsError::NotServed(_))),
                "what hears nothing is not taken for a listener: {unheard:?}"
            );
        });
        apart.join().unwrap();
    }

    #[test]
    fn ends_that_the_socket_could_not_hold_are_noticed_and_later_ones_are_heard_again() {
        let mut records = ExitRecords::open().expect("taskstats needs CAP_NET_ADMIN");
        records.socket.want_buffer(1);
        for _ in 0..50 {
            std::process::Command::new("true").status().unwrap();
        }
        let mut is_overrun = false;
        loop {
            match records.receive(|_| {}).unwrap() {
                Received::Some => {}
                Received::Overrun => is_overrun = true,
                Received::Nothing => break,
            }
        }
        assert!(is_overrun, "50 ends fit into no buffer of a few messages");
        records.socket.want_buffer(RECEIVE_BUFFER);
        assert!(records.hears().unwrap());
    }

    fn hear_a_child() {
        let mut records = ExitRecords::open().expect("taskstats needs CAP_NET_ADMIN");
        // Long enough for a tick of the scheduler, up to which its time is counted.
        let work = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done";
        let mut child = std::process::Command::new("sh").args(["-c", work]).spawn().unwrap();
        child.wait().unwrap();
        let mut heard = Vec::new();
        while records.receive(|record| heard.push(record)).unwrap() != Received::Nothing {}
        let end = heard.iter().find(|record| record.pid == child.id()).unwrap();
        assert!(end.is_last && end.thread == child.id() && 0 < end.cpu_ns);
    }
}
