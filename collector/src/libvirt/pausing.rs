//! Asks a domain for its disks' counters the moment it is heard to pause.
//!
//! While a migration or a save works on a domain a call that does not wait gets no counters, and the process is gone a moment
//! after the pause. libvirt lets questions in between the steps of such a job, and does not end the process while it answers
//! one: so these calls wait, on threads and connections of their own that stand ready. They hold up no look.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use super::ffi::Connection;
use super::stats::{self, State};
use crate::observation::{HypervisorError, ObservedDisk};
use crate::pauses::{Pauses, Question};

/// How many domains are asked at a time. One whose process hangs holds its thread until it is gone, and must not keep all
/// others from being asked; each costs a connection.
const THREADS: usize = 2;

/// Nice values of the threads that hear of a pause and ask: milliseconds decide, on a machine whose processors are all taken,
/// and they work for microseconds.
const URGENT: i32 = -10;

/// Where questions go. The threads end with it.
pub struct Asking(Mutex<Sender<Question>>);

impl Asking {
    /// Connects to `uri`, at once so that nobody waits for it later. Answers go to `pauses`.
    pub fn start(uri: &str, pauses: &Arc<Pauses>) -> Self {
        let (ask, asked) = mpsc::channel();
        let asked = Arc::new(Mutex::new(asked));
        for n in 0..THREADS {
            let (uri, pauses, asked) = (uri.to_owned(), Arc::clone(pauses), Arc::clone(&asked));
            let spawned = std::thread::Builder::new()
                .name(format!("weir-libvirt-pause-{n}"))
                .spawn(move || work(&uri, &pauses, &asked));
            if let Err(error) = spawned {
                tracing::warn!(%error, "no thread to ask guests that pause: what they did before a migration may be missing");
            }
        }
        Self(Mutex::new(ask))
    }

    /// Does not wait.
    pub fn ask(&self, pauses: &Pauses, question: Question) {
        pauses.ask(question);
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).send(question).is_err() {
            pauses.answer(question, None);
        }
    }
}

/// Lets the calling thread go before others where that is allowed.
pub fn hurry() {
    if let Err(error) = rustix::process::setpriority_process(None, URGENT) {
        tracing::debug!(%error, "guests that pause are asked no sooner than anything else is done");
    }
}

fn work(uri: &str, pauses: &Pauses, asked: &Mutex<Receiver<Question>>) {
    hurry();
    let mut connection = Connection::open(uri).ok();
    loop {
        let next = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(question) = next else {
            return;
        };
        let answer = disks(&mut connection, uri, question);
        if let Err(error) = &answer {
            tracing::debug!(instance = %question.instance_id, %error, "a guest that paused could not be asked for its disks");
        }
        pauses.answer(question, answer.ok().flatten());
    }
}

/// `None`: it is gone, goes on, or gave nothing.
fn disks(
    connection: &mut Option<Connection>,
    uri: &str,
    question: Question,
) -> Result<Option<Vec<ObservedDisk>>, HypervisorError> {
    let uuid = question.instance_id.uuid();
    let uuid = uuid.as_bytes();
    let first = connection.as_ref().map(|connection| connection.blocks_once_free(uuid));
    let record = match first {
        Some(Ok(record)) => record,
        // libvirtd was restarted since.
        Some(Err(_)) | None => {
            *connection = None;
            connection.insert(Connection::open(uri)?).blocks_once_free(uuid)?
        }
    };
    let record = record.filter(|record| record.id == Some(question.run_id));
    let record = record.filter(|record| stats::state(record) == Some(State::Suspended));
    let disks = record.map(|record| stats::disks_alone(&record.params)).unwrap_or_default();
    let is_read = disks.iter().any(|disk| disk.registers.is_some());
    Ok(is_read.then_some(disks))
}
