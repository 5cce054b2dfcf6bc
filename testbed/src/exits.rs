//! The kernel's own word on the CPU time of every process that ended while somebody listened: the exit records of taskstats,
//! added up by process. The truth about guests that were killed.
//!
//! A process is whole only if it began after [`Exits::listen`]. Needs root, in the machine's first network namespace.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use netlink_sys::constants::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};

use crate::daemons::wait_for;

/// `GENL_ID_CTRL`, `CTRL_CMD_GETFAMILY`, `CTRL_ATTR_FAMILY_ID` and `_NAME` of linux/genetlink.h.
const CONTROL: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `TASKSTATS_CMD_GET`, `..._ATTR_REGISTER_CPUMASK`, `TASKSTATS_TYPE_AGGR_PID` and `TASKSTATS_TYPE_STATS` of
/// linux/taskstats.h.
const GET: u8 = 1;
const REGISTER: u16 = 3;
const OF_THREAD: u16 = 4;
const STATS: u16 = 3;
/// Offsets in `struct taskstats` of `cpu_run_virtual_total` and `ac_tgid`, the latter since version 12.
const CPU_NS: usize = 72;
const PROCESS: usize = 368;
/// Heads of netlink and of generic netlink.
const HEAD: usize = 16;
const GENERIC_HEAD: usize = 4;
/// Records of some thousand threads at once.
const BUFFER: usize = 8 << 20;
/// How long the records of a process that is gone may be on their way.
const LIMIT: Duration = Duration::from_secs(5);

/// The listener; it listens until the program ends.
#[derive(Debug, Clone, Default)]
pub struct Exits(Arc<Mutex<BTreeMap<u32, u64>>>);

impl Exits {
    /// Begins to listen.
    pub fn listen() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_GENERIC).context("no netlink socket")?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_rx_buf_sz(BUFFER)?;
        let family = family(&socket)?;
        let cpus = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
        let mut text = cpus.trim().as_bytes().to_vec();
        text.push(0);
        socket.send(&request(family, GET, REGISTER, &text), 0)?;
        let exits = Self::default();
        let heard = exits.clone();
        std::thread::Builder::new().name("exits".into()).spawn(move || {
            while let Ok((bytes, _)) = socket.recv_from_full() {
                for (process, cpu_ns) in messages(&bytes).into_iter().filter_map(|body| record(&body)) {
                    *heard.lock().entry(process).or_default() += cpu_ns;
                }
            }
        })?;
        Ok(exits)
    }

    /// CPU time of a process that is gone, with all its threads, ns. Waits until nothing more comes.
    pub fn cpu_ns(&self, pid: i32) -> Result<u64> {
        let pid = u32::try_from(pid).context("a process id is positive")?;
        let gone = || (!std::fs::exists(format!("/proc/{pid}")).unwrap_or(true)).then_some(());
        wait_for(LIMIT, gone).with_context(|| format!("process {pid} has not ended"))?;
        let mut before = None;
        let settled = wait_for(LIMIT, || {
            let now = self.lock().get(&pid).copied();
            let is_settled = now.is_some() && now == before;
            before = now;
            is_settled.then_some(now).flatten()
        });
        settled.with_context(|| format!("the kernel sent no exit record of process {pid}"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn family(socket: &Socket) -> Result<u16> {
    socket.send(&request(CONTROL, GET_FAMILY, FAMILY_NAME, b"TASKSTATS\0"), 0)?;
    let (bytes, _) = socket.recv_from_full()?;
    let id = messages(&bytes).first().and_then(|body| Some(number(attribute(body, FAMILY_ID)?, 0, 2)));
    match id {
        Some(Some(id)) => Ok(u16::try_from(id)?),
        _ => bail!("the kernel has no taskstats"),
    }
}

/// One command with one attribute.
fn request(family: u16, command: u8, kind: u16, value: &[u8]) -> Vec<u8> {
    let padded = value.len().next_multiple_of(4);
    let length = HEAD + GENERIC_HEAD + 4 + padded;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(family.to_ne_bytes());
    bytes.extend(1_u16.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([command, 1, 0, 0]);
    bytes.extend(u16::try_from(4 + value.len()).unwrap_or(u16::MAX).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(length, 0);
    bytes
}

/// What stands behind both heads of each message.
fn messages(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Some(length) = number(bytes, 0, 4).and_then(|length| usize::try_from(length).ok()) {
        let Some(message) = bytes.get(..length).filter(|_| HEAD <= length) else { break };
        bodies.push(message.get(HEAD + GENERIC_HEAD..).unwrap_or_default().to_vec());
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    bodies
}

fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::try_from(number(bytes, 0, 2)?).ok()?;
        // The two highest bits are flags.
        let kind = number(bytes, 2, 2)? & 0x3fff;
        let value = bytes.get(4..length)?;
        if kind == u64::from(wanted) {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

/// Process and CPU time of a thread that ended.
fn record(body: &[u8]) -> Option<(u32, u64)> {
    let stats = attribute(attribute(body, OF_THREAD)?, STATS)?;
    Some((u32::try_from(number(stats, PROCESS, 4)?).ok()?, number(stats, CPU_NS, 8)?))
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let mut whole = [0; 8];
    whole[..length].copy_from_slice(bytes.get(at..at + length)?);
    Some(u64::from_le_bytes(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_held_still_and_killed_ends_on_what_its_clock_showed() {
        use rustix::process::Signal;
        let exits = Exits::listen().unwrap();
        let mut child = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let pid = i32::try_from(child.id()).unwrap();
        crate::guest::signal_guest(pid, Signal::STOP).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let clock = crate::truth::process_cpu_ns(pid).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let ended = exits.cpu_ns(pid).unwrap();
        assert!(clock <= ended && ended < clock + 20_000_000, "{clock} by its clock, {ended} by its exit");
    }
}
