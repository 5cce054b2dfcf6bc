//! A connection on a thread of its own, whose calls have a time limit.
//!
//! Why: NOWAIT keeps a bulk call from waiting for an instance that something else works on. It does not help
//! when an instance's process hangs and this call is the first to ask it: libvirtd then waits for its answer for
//! ever, and keepalive is content. Such a call is given up here together with its connection. It goes on holding
//! the instance's job, so that the next call skips that instance and reads all others (tried with a stopped QEMU).

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::ffi::Connection;
use crate::observation::HypervisorError;

/// How long a call may take. A bulk call takes about 3 ms an instance, so this is enough for thousands.
pub const CALL_LIMIT: Duration = Duration::from_secs(15);

/// How long a connection may take to be opened: milliseconds, unless libvirtd hangs.
const OPEN_LIMIT: Duration = Duration::from_secs(5);

/// How many calls may have been given up and still hang. Each holds a thread here and a worker of libvirtd, which
/// has 20; it leaves enough of them to everybody else.
const MAX_HANGING: usize = 8;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// An open connection and its thread, which ends when this is dropped and its last call has returned.
pub struct Session {
    jobs: mpsc::Sender<Job>,
    has_hung: Cell<bool>,
}

/// Counts the threads of sessions that have not ended.
#[derive(Clone, Default)]
pub struct Threads(Arc<AtomicUsize>);

struct Counted(Threads);

impl Session {
    /// Opens a connection to `uri`.
    pub fn open(uri: &str, threads: &Threads) -> Result<Self, HypervisorError> {
        let doing = format!("opening {uri}");
        if MAX_HANGING < threads.0.load(Ordering::Relaxed) {
            let message = format!("{MAX_HANGING} earlier calls hang; look for instances whose process hangs");
            return Err(HypervisorError { doing, message });
        }
        let counted = Counted::new(threads);
        let (jobs, waiting) = mpsc::channel::<Job>();
        let (answer, opened) = mpsc::sync_channel(1);
        let of_thread = uri.to_owned();
        let spawned = std::thread::Builder::new().name("weir-libvirt".to_owned()).spawn(move || {
            let _counted = counted;
            let connection = match Connection::open(&of_thread) {
                Ok(connection) => connection,
                Err(error) => {
                    // Whoever waited may have given up.
                    let _ = answer.send(Err(error));
                    return;
                }
            };
            let _ = answer.send(Ok(()));
            for job in waiting {
                job(&connection);
            }
        });
        spawned.map_err(|error| HypervisorError { doing: doing.clone(), message: error.to_string() })?;
        wait(&opened, OPEN_LIMIT, &doing).map_err(|(error, _)| error)?;
        Ok(Self { jobs, has_hung: Cell::new(false) })
    }

    /// Makes a call on the connection. After an error that says it took too long, the session is of no more use.
    pub fn call<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce(&Connection) -> Result<T, HypervisorError> + Send + 'static,
    ) -> Result<T, HypervisorError> {
        self.call_within(CALL_LIMIT, doing, work)
    }

    /// The same with a limit of the caller's.
    pub fn call_within<T: Send + 'static>(
        &self,
        limit: Duration,
        doing: &str,
        work: impl FnOnce(&Connection) -> Result<T, HypervisorError> + Send + 'static,
    ) -> Result<T, HypervisorError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |connection| {
            // Whoever waited may have given up.
            let _ = answer.send(work(connection));
        });
        // A thread that has ended drops the job, and the wait says so.
        let _ = self.jobs.send(job);
        wait(&answered, limit, doing).map_err(|(error, is_late)| {
            self.has_hung.set(self.has_hung.get() || is_late);
            error
        })
    }

    /// Whether a call was given up because it took too long.
    pub fn has_hung(&self) -> bool {
        self.has_hung.get()
    }
}

impl Counted {
    fn new(threads: &Threads) -> Self {
        threads.0.fetch_add(1, Ordering::Relaxed);
        Self(threads.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The error says whether the time was up.
fn wait<T>(
    answered: &mpsc::Receiver<Result<T, HypervisorError>>,
    limit: Duration,
    doing: &str,
) -> Result<T, (HypervisorError, bool)> {
    let (message, is_late) = match answered.recv_timeout(limit) {
        Ok(result) => return result.map_err(|error| (error, false)),
        Err(RecvTimeoutError::Timeout) => {
            (format!("no answer within {limit:?}; libvirtd or an instance's process hangs"), true)
        }
        Err(RecvTimeoutError::Disconnected) => ("its thread has ended".to_owned(), false),
    };
    Err((HypervisorError { doing: doing.to_owned(), message }, is_late))
}
