//! The one place of this crate that speaks libvirt, read-write: a thread that owns the connection, and what it can do.
//!
//! libvirt's calls block, so callers send closures to the thread and await the answer. The thread connects when it is
//! first asked and again whenever libvirtd had been away. It takes no readings and decides nothing about users' wishes.

mod definition;
mod domain;
mod probe;
mod rates;
mod storage;
mod tree;

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use virt::connect::Connect;

pub(crate) use domain::{Attachment, StopState};
pub use probe::{PROBE_INSTANCE_ID, PROBE_NAME};
pub(crate) use rates::NotSet;

use crate::compute::Settings;
use crate::error::ComputeError;

/// How long a call waits for a libvirtd that is not there: a restart takes one to three seconds.
const RECONNECT_LIMIT: Duration = Duration::from_secs(8);
/// How often it looks.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// What libvirt said. Its own type stays inside this module.
#[derive(Debug, thiserror::Error)]
#[error("libvirt says: {message}")]
pub struct LibvirtFault {
    message: String,
    code: virt::error::ErrorNumber,
}

/// How guests are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    Kvm,
    Emulated,
}

/// What the thread owns.
pub(crate) struct Session {
    settings: Arc<Settings>,
    connection: Option<Connect>,
    accelerator: Option<Accelerator>,
    /// Guests whose rates are being set.
    pending: rates::Pending,
}

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// The way to the thread.
pub(crate) struct Handle {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Handle {
    /// Starts the thread. It connects when it is first asked to do something.
    pub(crate) fn start(settings: Arc<Settings>) -> Result<Self, ComputeError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("compute-libvirt".to_owned())
            .spawn(move || {
                // Errors reach the caller; libvirt would print each to standard error as well.
                virt::error::clear_error_callback();
                let mut session = Session {
                    settings,
                    connection: None,
                    accelerator: None,
                    pending: rates::Pending::default(),
                };
                while let Ok(job) = queue.recv() {
                    job(&mut session);
                }
            })
            .map_err(|source| ComputeError::System {
                doing: "start the thread for libvirt".to_owned(),
                source,
            })?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)) })
    }

    /// Has the thread do something with a live connection.
    pub(crate) async fn call<T, F>(&self, work: F) -> Result<T, ComputeError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session) -> Result<T, ComputeError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |session| {
            // Nobody may be waiting any more.
            let _ = answer.send(session.run(work));
        });
        {
            let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            let jobs = jobs.as_ref().ok_or(ComputeError::Stopped)?;
            jobs.send(job).map_err(|_| ComputeError::Stopped)?;
        }
        answered.await.map_err(|_| ComputeError::Internal("the thread for libvirt broke off".to_owned()))?
    }

    /// Lets the thread finish what it was given, and ends it.
    pub(crate) async fn stop(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // An error would be its panic, which was reported when it happened.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Session {
    fn run<T>(
        &mut self,
        work: impl FnOnce(&mut Session) -> Result<T, ComputeError>,
    ) -> Result<T, ComputeError> {
        self.connect()?;
        let result = work(self);
        match result {
            Err(ComputeError::Libvirt { source, .. }) if !self.is_alive() => {
                self.connection = None;
                Err(ComputeError::Unreachable { uri: self.settings.libvirt_uri.clone(), source })
            }
            other => other,
        }
    }

    /// The live connection: [`Session::run`] has seen to it.
    fn connection(&self) -> Result<&Connect, ComputeError> {
        self.connection.as_ref().ok_or_else(|| ComputeError::Internal("no connection to libvirt".to_owned()))
    }

    fn connect(&mut self) -> Result<(), ComputeError> {
        // A round trip: without one a connection whose other end is gone still looks alive.
        if self.connection.as_ref().is_some_and(|connection| connection.get_lib_version().is_ok()) {
            return Ok(());
        }
        if self.connection.take().is_some() {
            tracing::warn!("libvirt went away; connecting again");
        }
        let end = Instant::now() + RECONNECT_LIMIT;
        loop {
            match Connect::open(Some(&self.settings.libvirt_uri)) {
                Ok(connection) => {
                    self.connection = Some(connection);
                    return Ok(());
                }
                Err(error) if Instant::now() >= end => {
                    return Err(ComputeError::Unreachable {
                        uri: self.settings.libvirt_uri.clone(),
                        source: LibvirtFault::from(error),
                    });
                }
                Err(_) => std::thread::sleep(RECONNECT_PAUSE),
            }
        }
    }

    fn is_alive(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.get_lib_version().is_ok())
    }
}

impl From<virt::error::Error> for LibvirtFault {
    fn from(error: virt::error::Error) -> Self {
        Self { message: error.message().to_owned(), code: error.code() }
    }
}

/// Where the console of an instance is logged.
pub(crate) fn console_log(id: metering::InstanceId) -> std::path::PathBuf {
    definition::console_log(id).into()
}

/// Turns libvirt's error into ours; `doing` completes "cannot ...".
fn failed(doing: impl Into<String>) -> impl FnOnce(virt::error::Error) -> ComputeError {
    let doing = doing.into();
    move |error| {
        let hint = hint_for(error.message());
        ComputeError::Libvirt { doing, hint, source: LibvirtFault::from(error) }
    }
}

/// What mends the failures that people meet first.
fn hint_for(message: &str) -> &'static str {
    if message.contains("Permission denied") {
        return ": QEMU runs as its own user, which must be able to read the file and to enter every directory above it (chmod o+x)";
    }
    if message.contains("virtlogd") {
        return ": virtlogd keeps the guests' consoles; start it (`virtlogd -d`)";
    }
    if message.contains("Cannot allocate memory") || message.contains("cannot set up guest memory") {
        return ": this node has not that much memory free";
    }
    if message.contains("Could not access KVM kernel module") || message.contains("KVM") {
        return ": KVM does not work here; set virtualization to \"emulated\"";
    }
    ""
}
