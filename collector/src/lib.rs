#![doc = include_str!("../README.md")]

pub mod bench;
pub mod clock;
mod libvirt;
mod node;
pub mod observation;
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

use crate::clock::{BootIdError, SystemClock};
use crate::libvirt::Libvirt;
use crate::observation::HypervisorError;
use crate::runner::{Command, Runner};
use crate::tracker::State;

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

/// What a collector is told at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// libvirt on this node, such as `qemu:///system`.
    pub libvirt_uri: String,
    /// How often a reading is taken.
    pub reading_interval: Duration,
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
    commands: mpsc::Sender<Command>,
    thread: JoinHandle<()>,
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
    let boot_id = clock::boot_id().map_err(|error| CollectorError::BootId(Arc::new(error)))?;
    let spool_error = |error| CollectorError::Spool(Arc::new(error));
    let spool = Spool::open(&settings.state_dir).map_err(spool_error)?;
    let state = spool.state().map_err(spool_error)?;
    let state = state.unwrap_or_else(|| State::new(uuid::Uuid::new_v4()));
    let hypervisor = Libvirt::new(&settings.libvirt_uri, boot_id, state.volume_paths());
    let notify = Arc::new(Notify::new());
    let status = Arc::new(Mutex::new(Status::default()));
    let latest = Arc::default();
    let runner = Runner {
        hypervisor: Box::new(hypervisor),
        clock: Arc::new(SystemClock),
        spool: spool.clone(),
        state,
        node_name: settings.node_name,
        boot_id,
        reading_interval: settings.reading_interval,
        status: Arc::clone(&status),
        latest: Arc::clone(&latest),
        notify: Arc::clone(&notify),
    };
    let (commands, receiver) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("weir-collector".to_owned())
        .spawn(move || runner.run(&receiver))
        .map_err(|error| CollectorError::Thread(Arc::new(error)))?;
    Ok(Collector { spool, notify, status, latest, commands, thread })
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
        self.commands.send(command(sender)).map_err(|_| CollectorError::Ended)?;
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
