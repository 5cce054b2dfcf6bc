//! A connection on a thread of its own, whose calls have a time limit.
//!
//! Why: NOWAIT keeps a bulk call from waiting for an instance that something else works on. It does not help
//! when an instance's process hangs and this call is the first to ask it: libvirtd then waits for its answer for
//! ever, and keepalive is content. Such a call is given up here together with its connection. It goes on holding
//! the instance's job, so that the next call skips that instance and reads all others (tried with a stopped QEMU).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::ffi::Connection;
use crate::observation::HypervisorError;

/// How long a call may take. A bulk call takes about 3 ms an instance, so this is enough for thousands.
const CALL_LIMIT: Duration = Duration::from_secs(15);

/// How many calls may have been given up and still hang. Each holds a thread here and a worker of libvirtd, which
/// has 20; it leaves enough of them to everybody else.
const MAX_HANGING: usize = 8;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// An open connection and its thread, which ends when this is dropped and its last call has returned.
pub struct Session {
    jobs: mpsc::Sender<Job>,
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
        wait(&opened, &doing)?;
        Ok(Self { jobs })
    }

    /// Makes a call on the connection. After an error that says it took too long, the session is of no more use.
    pub fn call<T: Send + 'static>(
        &self,
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
        wait(&answered, doing)
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

fn wait<T>(answered: &mpsc::Receiver<Result<T, HypervisorError>>, doing: &str) -> Result<T, HypervisorError> {
    let message = match answered.recv_timeout(CALL_LIMIT) {
        Ok(result) => return result,
        Err(RecvTimeoutError::Timeout) => {
            format!("no answer within {CALL_LIMIT:?}; libvirtd or an instance's process hangs")
        }
        Err(RecvTimeoutError::Disconnected) => "its thread has ended".to_owned(),
    };
    Err(HypervisorError { doing: doing.to_owned(), message })
}
