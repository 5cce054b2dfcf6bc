//! What libvirt tells by itself: starts, stops, pauses, resizes, plugs, migrations, changed descriptions.
//!
//! An event says when something happened, and "look". What is the case a look says: events are lost while libvirtd is
//! away or hangs, so nothing rests on them alone. A thread of its own waits for libvirtd; it connects again by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metering::InstanceId;
use uuid::Uuid;
use virt_sys as sys;

use super::ffi::Connection;
use super::ffi::listening::{Closed, Hear, Listening, Signal};
use super::pausing::Asking;
use crate::clock::Clock;
use crate::observation::{HypervisorError, HypervisorEvent, What};
use crate::pauses::{Pauses, Question};

/// While libvirtd is away it is tried again after 1 s, 2 s, ..., at most this: a connection costs nothing, and each second
/// without one is a second of events that polling must make up for.
const MAX_RETRY: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Listens until it is dropped. Dropping it does not wait for libvirtd.
pub struct EventsGuard {
    wake: Sender<Wake>,
    is_over: Arc<AtomicBool>,
}

/// What the thread is woken by.
enum Wake {
    /// The connection of this number has ended.
    Closed(u64),
    /// Nobody listens any more.
    Stop,
}

/// Listens to the libvirt at `uri` on a thread of its own. `tell` is called on the thread of libvirt's event loop: it must
/// neither wait nor call libvirt; a channel is what it is for. Guests that pause are asked for their disks, for `pauses`.
pub fn listen(
    uri: &str,
    clock: Arc<dyn Clock>,
    pauses: &Arc<Pauses>,
    tell: impl Fn(HypervisorEvent) + Send + Sync + 'static,
) -> EventsGuard {
    let (wake, woken) = mpsc::channel();
    let is_over = Arc::new(AtomicBool::new(false));
    let tell = Arc::new(tell);
    if uri.starts_with(super::PID_FILES_OF) {
        let (tell, clock) = (Arc::clone(&tell), Arc::clone(&clock));
        super::status_files::spawn(Arc::clone(&is_over), move |instance_id| {
            if instance_id != InstanceId::PROBE {
                let what = What::Resized;
                tell(HypervisorEvent { instance_id, what, at: clock.now(), run_id: None, memory_kib: None });
            }
        });
    }
    let (asking, of_hear) = (Asking::start(uri, pauses), Arc::clone(pauses));
    let hear: Hear = Arc::new(move |uuid, run_id, signal| {
        let instance_id = InstanceId::from_uuid(Uuid::from_bytes(uuid));
        if let Some(what) = what(signal).filter(|_| instance_id != InstanceId::PROBE) {
            let at = clock.now();
            match (what, run_id) {
                (What::Paused, Some(run_id)) => asking.ask(&of_hear, Question { instance_id, run_id, at }),
                (What::Resumed | What::Started, _) => of_hear.resumed(instance_id),
                _ => {}
            }
            let memory_kib = if let Signal::Memory { kib } = signal { Some(kib) } else { None };
            tell(HypervisorEvent { instance_id, what, at, run_id, memory_kib });
        }
    });
    let pauses = Arc::clone(pauses);
    let listener = Listener { uri: uri.to_owned(), hear, pauses, wake: wake.clone(), connections: 0 };
    let spawned = std::thread::Builder::new()
        .name("weir-libvirt-listen".to_owned())
        .spawn(move || listener.run(&woken));
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread to listen to libvirt's events: looks alone find what has changed");
    }
    EventsGuard { wake, is_over }
}

impl Drop for EventsGuard {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // A thread that has ended needs no telling.
        let _ = self.wake.send(Wake::Stop);
    }
}

struct Listener {
    uri: String,
    hear: Hear,
    pauses: Arc<Pauses>,
    wake: Sender<Wake>,
    connections: u64,
}

impl Listener {
    fn run(mut self, woken: &Receiver<Wake>) {
        let mut wait = FIRST_RETRY;
        let mut was_told = false;
        loop {
            match self.connect() {
                Ok(listening) => {
                    tracing::debug!(uri = self.uri, "listening to libvirt's events");
                    (wait, was_told) = (FIRST_RETRY, false);
                    let is_over = self.wait_until_closed(woken);
                    drop(listening);
                    self.pauses.forget_all();
                    if is_over {
                        return;
                    }
                }
                Err(error) if !was_told => {
                    tracing::warn!(%error, "libvirt's events cannot be had; looks alone find what has changed until they can");
                    was_told = true;
                }
                Err(_) => {}
            }
            match woken.recv_timeout(wait) {
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Wake::Closed(_)) | Err(RecvTimeoutError::Timeout) => {}
            }
            wait = (wait * 2).min(MAX_RETRY);
        }
    }

    fn connect(&mut self) -> Result<Listening, HypervisorError> {
        self.connections += 1;
        let number = self.connections;
        // The callback may be called from any thread; older standard senders are not shared between threads.
        let wake = Mutex::new(self.wake.clone());
        let closed: Closed = Arc::new(move || {
            let _ = wake.lock().unwrap_or_else(PoisonError::into_inner).send(Wake::Closed(number));
        });
        Connection::open(&self.uri)?.listen(&self.hear, closed)
    }

    /// True: nobody listens any more.
    fn wait_until_closed(&self, woken: &Receiver<Wake>) -> bool {
        loop {
            match woken.recv() {
                Ok(Wake::Closed(number)) if number == self.connections => return false,
                Ok(Wake::Closed(_)) => {}
                Ok(Wake::Stop) | Err(_) => return true,
            }
        }
    }
}

/// What an event means for metering; `None`: nothing.
fn what(signal: Signal) -> Option<What> {
    let (event, detail) = match signal {
        Signal::Lifecycle { event, detail } => (event, detail),
        Signal::Memory { .. } => return Some(What::Resized),
        Signal::Devices => return Some(What::DevicesChanged),
        Signal::Description => return Some(What::Described),
    };
    match (event, detail) {
        (sys::VIR_DOMAIN_EVENT_DEFINED | sys::VIR_DOMAIN_EVENT_UNDEFINED, _) => Some(What::Described),
        (sys::VIR_DOMAIN_EVENT_STARTED, sys::VIR_DOMAIN_EVENT_STARTED_MIGRATED) => Some(What::MigratedHere),
        (sys::VIR_DOMAIN_EVENT_STARTED, sys::VIR_DOMAIN_EVENT_STARTED_WAKEUP) => Some(What::Resumed),
        (sys::VIR_DOMAIN_EVENT_STARTED, _) => Some(What::Started),
        (sys::VIR_DOMAIN_EVENT_STOPPED, sys::VIR_DOMAIN_EVENT_STOPPED_MIGRATED) => Some(What::MigratedAway),
        (sys::VIR_DOMAIN_EVENT_STOPPED, _) => Some(What::Stopped),
        // A guest that panicked or sleeps executes nothing.
        (
            sys::VIR_DOMAIN_EVENT_SUSPENDED
            | sys::VIR_DOMAIN_EVENT_PMSUSPENDED
            | sys::VIR_DOMAIN_EVENT_CRASHED,
            _,
        ) => Some(What::Paused),
        (sys::VIR_DOMAIN_EVENT_RESUMED, _) => Some(What::Resumed),
        // SHUTDOWN announces a stop that follows at once.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_of_a_life_cycle_says_what_it_means_for_the_bill() {
        for (event, detail, expected) in [
            (sys::VIR_DOMAIN_EVENT_STARTED, sys::VIR_DOMAIN_EVENT_STARTED_BOOTED, Some(What::Started)),
            (sys::VIR_DOMAIN_EVENT_STARTED, sys::VIR_DOMAIN_EVENT_STARTED_RESTORED, Some(What::Started)),
            (sys::VIR_DOMAIN_EVENT_STARTED, sys::VIR_DOMAIN_EVENT_STARTED_MIGRATED, Some(What::MigratedHere)),
            (sys::VIR_DOMAIN_EVENT_STOPPED, sys::VIR_DOMAIN_EVENT_STOPPED_MIGRATED, Some(What::MigratedAway)),
            (sys::VIR_DOMAIN_EVENT_STOPPED, sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED, Some(What::Stopped)),
            (sys::VIR_DOMAIN_EVENT_SUSPENDED, 0, Some(What::Paused)),
            (sys::VIR_DOMAIN_EVENT_RESUMED, 0, Some(What::Resumed)),
            (sys::VIR_DOMAIN_EVENT_DEFINED, 0, Some(What::Described)),
            (sys::VIR_DOMAIN_EVENT_SHUTDOWN, 0, None),
            (u32::MAX, u32::MAX, None),
        ] {
            assert_eq!(what(Signal::Lifecycle { event, detail }), expected, "{event} {detail}");
        }
        assert_eq!(what(Signal::Memory { kib: 1 }), Some(What::Resized));
        assert_eq!(what(Signal::Devices), Some(What::DevicesChanged));
        assert_eq!(what(Signal::Description), Some(What::Described));
    }
}
