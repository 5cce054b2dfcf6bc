//! The parts of a running Weir, wired: database, collector, compute. Everybody in this crate works on them.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use collector::{Collector, CollectorError};
use compute::{BoxFuture, Compute, Readings};
use migrations::Database;
use tokio::sync::{Notify, RwLock};
use usage::{IngestSettings, Ingestor, UsageSettings};

use crate::config::{self, Config};
use crate::nodes::door::Door;
use crate::spending::Freshness;

/// How many reading intervals may pass between two readings of time that still counts as measured: one lost
/// reading is no estimate yet.
const TOLERANCE_INTERVALS: u32 = 5;
/// The same in halves: 2.5 intervals.
const TOLERANCE_DIVISOR: u32 = 2;

/// The parts.
pub struct Parts {
    /// The configuration that it was started with.
    pub config: Config,
    /// The database, by scope.
    pub database: Database,
    /// Readings in.
    pub ingestor: Ingestor,
    /// How usage is derived.
    pub usage: UsageSettings,
    /// Rung when readings have come in.
    pub ingested: Arc<Notify>,
    /// Rung when mail has become due.
    pub mail_due: Arc<Notify>,
    /// Rung when a billing run was asked for.
    pub billing_due: Arc<Notify>,
    /// How old month-to-date amounts are.
    pub freshness: Freshness,
    /// What this node is called.
    pub node_name: String,
    /// Where further nodes are let in; `None`: nowhere.
    pub door: Option<Door>,
    /// Billing runs that are being worked on.
    closing: AtomicUsize,
    reader: Arc<Reader>,
    compute: RwLock<Option<Compute>>,
}

/// A billing run that is being worked on, until it is dropped.
pub struct Closing<'a>(&'a AtomicUsize);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The collector, for those who need a reading now.
struct Reader {
    collector: RwLock<Option<Collector>>,
}

impl Parts {
    /// Starts the collector and compute.
    ///
    /// # Errors
    /// A setting is not right, or the spool cannot be opened.
    pub fn start(data_dir: &Path, config: &Config, database: Database, door: Option<Door>) -> Result<Self> {
        let window = config.window()?;
        let interval = config.collector.reading_interval.0;
        let node_name = config.collector.node_name.clone().unwrap_or_else(host_name);
        let collector = match config.collector.enabled {
            true => Some(start_collector(data_dir, config, &node_name)?),
            false => None,
        };
        let reader = Arc::new(Reader { collector: RwLock::new(collector) });
        let settings = compute::Settings {
            libvirt_uri: config.collector.libvirt_uri.clone(),
            pool: config.compute.pool.clone(),
            pool_path: config.compute.pool_path.clone(),
            virtualization: virtualization(config.compute.virtualization),
        };
        let readings: Arc<dyn Readings> = Arc::<Reader>::clone(&reader);
        let compute = Compute::start(settings, readings).context("failed to start compute")?;
        Ok(Self {
            config: config.clone(),
            ingestor: Ingestor::new(database.clone(), IngestSettings::new(window)),
            database,
            usage: UsageSettings { window, tolerance: interval * TOLERANCE_INTERVALS / TOLERANCE_DIVISOR },
            ingested: Arc::new(Notify::new()),
            mail_due: Arc::new(Notify::new()),
            billing_due: Arc::new(Notify::new()),
            freshness: Freshness::default(),
            node_name,
            door,
            closing: AtomicUsize::new(0),
            reader,
            compute: RwLock::new(Some(compute)),
        })
    }

    /// Says that a billing run is being worked on.
    pub fn begin_closing(&self) -> Closing<'_> {
        self.closing.fetch_add(1, Ordering::Relaxed);
        Closing(&self.closing)
    }

    /// Whether a billing run is being worked on: what can wait a little leaves it a core.
    pub fn is_closing(&self) -> bool {
        0 < self.closing.load(Ordering::Relaxed)
    }

    /// Compute, while Weir runs.
    ///
    /// # Errors
    /// Weir is being stopped.
    pub async fn compute(&self) -> Result<tokio::sync::RwLockReadGuard<'_, Compute>> {
        tokio::sync::RwLockReadGuard::try_map(self.compute.read().await, Option::as_ref)
            .map_err(|_| anyhow::anyhow!("Weir is being stopped"))
    }

    /// The collector's state; `None` when this node is not metered.
    pub async fn collector_status(&self) -> Option<collector::Status> {
        self.reader.collector.read().await.as_ref().map(Collector::status)
    }

    /// The collector's last look, from memory; `None` before the first one, or when this node is not metered.
    pub async fn last_look(&self) -> Option<Arc<metering::Batch>> {
        self.reader.collector.read().await.as_ref()?.latest()
    }

    /// The node's id; `None` when this node is not metered.
    pub async fn node_id(&self) -> Option<metering::NodeId> {
        self.reader.collector.read().await.as_ref().map(Collector::node_id)
    }

    /// What shipping needs; `None` when this node is not metered.
    pub async fn spool(&self) -> Option<(collector::Spool, Arc<Notify>)> {
        self.reader
            .collector
            .read()
            .await
            .as_ref()
            .map(|collector| (collector.spool().clone(), collector.notify()))
    }

    /// What this node's collector holds.
    ///
    /// # Errors
    /// This node is not metered.
    pub async fn inspect(&self) -> Result<serde_json::Value> {
        let collector = self.reader.collector.read().await;
        let collector = collector.as_ref().context("this node is not metered (collector.enabled = false)")?;
        crate::inspect::value(collector, &self.config, &self.node_name)
    }

    /// Takes a reading of everything now.
    ///
    /// # Errors
    /// It could not be taken.
    pub async fn read_now(&self) -> Result<metering::BatchSeq> {
        let collector = self.reader.collector.read().await;
        let collector = collector.as_ref().context("this node is not metered (collector.enabled = false)")?;
        Ok(collector.read_now().await?)
    }

    /// Lets compute finish what it does and ends its thread.
    pub async fn stop_compute(&self) {
        if let Some(compute) = self.compute.write().await.take() {
            compute.stop_thread().await;
        }
    }

    /// Takes a last reading and ends the collector's thread.
    ///
    /// # Errors
    /// The last reading could not be made durable. That libvirt is away is no error.
    pub async fn stop_collector(&self) -> Result<()> {
        match self.reader.collector.write().await.take() {
            None => Ok(()),
            Some(collector) => match collector.stop().await {
                Ok(()) | Err(CollectorError::Hypervisor(_)) => Ok(()),
                Err(error) => Err(error).context("the last reading was not stored"),
            },
        }
    }
}

impl Readings for Reader {
    fn take(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            match self.collector.read().await.as_ref() {
                None => Ok(()),
                Some(collector) => collector
                    .read_now()
                    .await
                    .map(|_| ())
                    .map_err(|error| format!("{:#}", anyhow::Error::from(error))),
            }
        })
    }
}

impl dashboards::Live for Parts {
    fn waiting_batches(&self) -> u64 {
        self.with_status(|status| status.backlog.batches).unwrap_or(0)
    }

    fn own_node(&self) -> Option<metering::NodeId> {
        let collector = self.reader.collector.try_read().ok()?;
        collector.as_ref().map(Collector::node_id)
    }

    fn warnings(&self) -> Vec<String> {
        let enabled = self.config.collector.enabled;
        if !enabled {
            return vec!["This node is not metered: collector.enabled is false.".to_owned()];
        }
        self.with_status(|status| status.last_error)
            .flatten()
            .map(|error| format!("The collector reports: {error}"))
            .into_iter()
            .collect()
    }
}

impl Parts {
    /// The collector's state for those who cannot wait.
    fn with_status<T>(&self, take: impl FnOnce(collector::Status) -> T) -> Option<T> {
        let collector = self.reader.collector.try_read().ok()?;
        collector.as_ref().map(|collector| take(collector.status()))
    }
}

/// Starts the collector of a node, of the control plane or a further one.
///
/// # Errors
/// A setting is not right, or the spool cannot be opened.
pub fn start_collector(data_dir: &Path, config: &Config, node_name: &str) -> Result<Collector> {
    let state_dir = data_dir.join("spool");
    // Readings tell what tenants do.
    DirBuilder::new().recursive(true).mode(0o700).create(&state_dir).with_context(|| {
        format!("the spool {} cannot be made; is the disk full or read-only?", state_dir.display())
    })?;
    collector::start(collector::Settings {
        libvirt_uri: config.collector.libvirt_uri.clone(),
        reading_interval: config.collector.reading_interval.0,
        sample_interval: config.collector.sample_interval.0,
        cross_check_interval: config.collector.cross_check_interval.0,
        state_dir,
        node_name: node_name.to_owned(),
    })
    .context("failed to start the collector")
}

const fn virtualization(asked: config::Virtualization) -> compute::Virtualization {
    match asked {
        config::Virtualization::Auto => compute::Virtualization::Auto,
        config::Virtualization::Kvm => compute::Virtualization::Kvm,
        config::Virtualization::Emulated => compute::Virtualization::Emulated,
    }
}

/// What this host is called.
pub fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "node".to_owned() } else { name }
}
