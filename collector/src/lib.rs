#![doc = include_str!("../README.md")]

mod agenda;
pub mod bench;
pub mod clock;
pub mod inspect;
pub mod kernel;
mod libvirt;
mod memory;
mod node;
pub mod observation;
mod pauses;
mod runner;
mod shipping;
mod spool;
mod thin;
pub mod tracker;

use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use metering::{Batch, BatchSeq, NodeId};
use tokio::sync::{Notify, oneshot};

use crate::clock::{BootIdError, Clock, SystemClock};
use crate::kernel::{Kernel, View};
use crate::libvirt::Libvirt;
use crate::libvirt::events::{EventsGuard, listen};
use crate::observation::HypervisorError;
use crate::pauses::Pauses;
use crate::runner::{Command, Runner};
use crate::tracker::State;

pub use crate::memory::keep_one_heap;
pub use crate::shipping::{Parcel, Receipt, Sink, SinkError, ship};
pub use crate::spool::{
    Backlog, Limits, MAX_BACKLOG_BYTES, MAX_KEPT_AGE, MAX_KEPT_BYTES, RefusedBatch, Spool, SpoolError, Stock,
    Summary,
};

/// How often a reading is taken unless the settings say otherwise: 60 readings in a usage window of an hour.
pub const DEFAULT_READING_INTERVAL: Duration = Duration::from_secs(60);

/// The shortest reading interval: a look at many instances takes a good part of a second, and each is paid
/// for by the guests' own processes.
pub const MIN_READING_INTERVAL: Duration = Duration::from_secs(1);

/// How often the kernel's figures are sampled unless the settings say otherwise: a sample costs a few microseconds an
/// instance, and what is lost of a guest whose end the kernel does not tell is at most this long.
pub const DEFAULT_SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest sample interval: the kernel's counters move every few milliseconds.
pub const MIN_SAMPLE_INTERVAL: Duration = Duration::from_millis(100);

/// How often the hypervisor is asked for everything unless the settings say otherwise: it costs each guest 3 ms of CPU
/// time, and finds what events did not tell.
pub const DEFAULT_CROSS_CHECK_INTERVAL: Duration = Duration::from_secs(600);

/// What a collector is told at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// libvirt on this node, such as `qemu:///system`.
    pub libvirt_uri: String,
    /// How often a reading is taken.
    pub reading_interval: Duration,
    /// How often the kernel's figures are sampled, in memory.
    pub sample_interval: Duration,
    /// How often a reading asks the hypervisor for everything, and compares. Shorter than the reading interval: always.
    pub cross_check_interval: Duration,
    /// Where the spool lies. One collector for each.
    pub state_dir: PathBuf,
    /// The node's name, for people.
    pub node_name: String,
}

/// Why a collector cannot do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CollectorError {
    /// A reading interval that is no use.
    #[error("a reading interval of {0:?} is too short; take {MIN_READING_INTERVAL:?} or more")]
    Interval(Duration),
    /// A sample interval that is no use.
    #[error(
        "a sample interval of {0:?} is of no use; take from {MIN_SAMPLE_INTERVAL:?} to the reading interval"
    )]
    SampleInterval(Duration),
    /// The life of the kernel is not known.
    #[error("the node's boot id is not known")]
    BootId(#[source] Arc<BootIdError>),
    /// The spool failed.
    #[error("the spool failed")]
    Spool(#[source] Arc<SpoolError>),
    /// The hypervisor could not be read. What was tried and why it failed is the source.
    #[error("the instances of this node could not be read")]
    Hypervisor(#[source] HypervisorError),
    /// The collector's thread could not be started.
    #[error("the collector's thread cannot be started")]
    Thread(#[source] Arc<std::io::Error>),
    /// The collector has ended.
    #[error("the collector has ended")]
    Ended,
}

/// How a collector is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether the last look could read the hypervisor.
    pub is_connected: bool,
    /// When instances were last read and the look became durable.
    pub last_observed_at: Option<Timestamp>,
    /// The last batch.
    pub last_seq: Option<BatchSeq>,
    /// What went wrong last; `None` after a look that worked.
    pub last_error: Option<String>,
    /// Instances in the last look, switched off or not.
    pub instances: usize,
    /// What waits for delivery.
    pub backlog: Backlog,
}

/// A collector at work. Dropping it ends its thread after one more look, without waiting for it.
pub struct Collector {
    spool: Spool,
    notify: Arc<Notify>,
    status: Arc<Mutex<Status>>,
    latest: Arc<Mutex<Option<Arc<Batch>>>>,
    kernel: View,
    commands: Commands,
    thread: JoinHandle<()>,
    _events: EventsGuard,
}

/// Tells the collector's thread to end when it is dropped: others hold senders too.
struct Commands(mpsc::Sender<Command>);

impl Drop for Commands {
    fn drop(&mut self) {
        // A thread that has ended needs no telling.
        let _ = self.0.send(Command::Leave);
    }
}

/// Opens the spool and starts the collector's thread. That the hypervisor is away is no error here: it is
/// waited for.
///
/// # Errors
/// Bad settings, a spool that cannot be used, or no thread.
pub fn start(settings: Settings) -> Result<Collector, CollectorError> {
    if settings.reading_interval < MIN_READING_INTERVAL {
        return Err(CollectorError::Interval(settings.reading_interval));
    }
    if settings.sample_interval < MIN_SAMPLE_INTERVAL || settings.reading_interval < settings.sample_interval
    {
        return Err(CollectorError::SampleInterval(settings.sample_interval));
    }
    let boot_id = clock::boot_id().map_err(|error| CollectorError::BootId(Arc::new(error)))?;
    let spool_error = |error| CollectorError::Spool(Arc::new(error));
    let spool = Spool::open(&settings.state_dir).map_err(spool_error)?;
    let state = spool.state().map_err(spool_error)?;
    let state = state.unwrap_or_else(|| State::new(uuid::Uuid::new_v4()));
    let hypervisor = Libvirt::new(&settings.libvirt_uri, boot_id, state.volume_paths());
    let notify = Arc::new(Notify::new());
    let status = Arc::new(Mutex::new(Status::default()));
    let latest = Arc::default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (commands, receiver) = mpsc::channel();
    let tell = commands.clone();
    // A thread that has ended has no use for what is told to it, here and below.
    let kernel =
        Kernel::start(&settings.libvirt_uri, Arc::clone(&clock), settings.sample_interval, move || {
            let _ = tell.send(Command::Ended);
        });
    let tell = commands.clone();
    let pauses = Arc::new(Pauses::default());
    let events = listen(&settings.libvirt_uri, Arc::clone(&clock), &pauses, move |event| {
        let _ = tell.send(Command::Event(event));
    });
    let view = kernel.view();
    let runner = Runner {
        hypervisor: Box::new(hypervisor),
        pauses,
        kernel,
        clock,
        spool: spool.clone(),
        state,
        node_name: settings.node_name,
        boot_id,
        reading_interval: settings.reading_interval,
        cross_check_interval: settings.cross_check_interval,
        status: Arc::clone(&status),
        latest: Arc::clone(&latest),
        notify: Arc::clone(&notify),
    };
    let thread = std::thread::Builder::new()
        .name("weir-collector".to_owned())
        .spawn(move || runner.run(&receiver))
        .map_err(|error| CollectorError::Thread(Arc::new(error)))?;
    let commands = Commands(commands);
    Ok(Collector { spool, notify, status, latest, kernel: view, commands, thread, _events: events })
}

impl Collector {
    /// Who this node is.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.spool.node_id()
    }

    /// Takes a complete look now. It is durable in the spool when this returns.
    ///
    /// # Errors
    /// The hypervisor could not be read, or the look could not be written.
    pub async fn read_now(&self) -> Result<BatchSeq, CollectorError> {
        self.ask(Command::Look).await
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match self.spool.backlog() {
            Ok(backlog) => status.backlog = backlog,
            Err(error) => status.last_error = Some(chain(&error)),
        }
        status
    }

    /// The last look that worked, from memory: what is shown while it happens. Unlike the batch that is shipped it has the
    /// facts of all instances, not only of those that are new or changed. How old it is says its `collected_at`; `None`
    /// before the first one.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<Batch>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the kernel path holds right now, and what it compares to.
    #[must_use]
    pub fn kernel(&self) -> kernel::Snapshot {
        self.kernel.snapshot()
    }

    /// The spool, for shipping.
    #[must_use]
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Told whenever a batch was committed. It wakes one waiter: the one in [`ship`].
    #[must_use]
    pub fn notify(&self) -> Arc<Notify> {
        Arc::clone(&self.notify)
    }

    /// Takes one last look and ends.
    ///
    /// # Errors
    /// The last look failed; the collector has ended all the same.
    pub async fn stop(self) -> Result<(), CollectorError> {
        let last = self.ask(Command::Stop).await;
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        match joined {
            Ok(Ok(())) => last.map(|_| ()),
            Ok(Err(_)) | Err(_) => Err(CollectorError::Ended),
        }
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<runner::Answer>) -> Command,
    ) -> Result<BatchSeq, CollectorError> {
        let (sender, answer) = oneshot::channel();
        self.commands.0.send(command(sender)).map_err(|_| CollectorError::Ended)?;
        answer.await.map_err(|_| CollectorError::Ended)?
    }
}

/// An error with its sources, in one line for people.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
