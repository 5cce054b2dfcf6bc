//! `weir node join` and `weir node run`: the collector alone, on a further machine, from start to a clean stop. It does
//! NOT look at the database, which is elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use collector::{Collector, CollectorError, Spool};
use metering::NodeId;
use tokio::sync::{RwLock, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::home::Home;
use super::link::{Link, OverLink};
use super::{join, serve};
use crate::cli::args::{JoinArguments, RunArguments, UpArguments};
use crate::config::Config;
use crate::parts::{host_name, start_collector};
use crate::up::{Signals, log_to_stderr, place};

/// How long a stop waits for readings that are still on their way; they are safe in the spool.
const DRAIN_MAX: Duration = Duration::from_secs(5);
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// A running node.
pub struct Role {
    /// Its configuration.
    pub config: Config,
    /// Its line to the control plane.
    pub link: Arc<Link>,
    /// Its collector; `None` once it is being stopped.
    pub collector: RwLock<Option<Collector>>,
}

/// Joins, and goes on as [`run`] does.
///
/// # Errors
/// What keeps it from joining or starting, in one sentence.
pub fn join(data_dir: PathBuf, arguments: &JoinArguments, as_json: bool) -> Result<()> {
    let place = place::take(&data_dir)?;
    let config = config(&data_dir, &arguments.run)?;
    let name = arguments.run.name.clone().or(config.collector.node_name.clone()).unwrap_or_else(host_name);
    // Before the token is spent: whatever of the settings is not right.
    let run = &arguments.run;
    let config = config.for_node(run.libvirt_uri.as_deref(), run.reading_interval.as_deref(), &name)?;
    log_to_stderr(&config)?;
    collector::keep_one_heap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let node_id = node_id(&data_dir)?;
    let home = runtime.block_on(join::join(&data_dir, arguments, node_id, &name))?;
    if as_json {
        let joined = serde_json::json!({ "node_id": home.node_id, "name": home.name, "url": home.url });
        println!("{joined}");
    } else {
        println!("Joined {} as {}.", home.url, home.name);
    }
    if arguments.only_join && as_json {
        return Ok(());
    }
    if arguments.only_join {
        println!("Start it with: weir node run --data {}", data_dir.display());
        return Ok(());
    }
    let ended = runtime.block_on(serve(&data_dir, config, home));
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop(place);
    ended
}

/// Runs until a signal.
///
/// # Errors
/// What keeps it from starting, in one sentence.
pub fn run(data_dir: PathBuf, arguments: &RunArguments) -> Result<()> {
    let place = place::take(&data_dir)?;
    let home = Home::load(&data_dir)?;
    let uri = arguments.libvirt_uri.as_deref().or(home.libvirt_uri.as_deref());
    let interval = arguments.reading_interval.as_deref().or(home.reading_interval.as_deref());
    let config = config(&data_dir, arguments)?.for_node(uri, interval, &home.name)?;
    log_to_stderr(&config)?;
    collector::keep_one_heap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(&data_dir, config, home));
    // A control plane that hangs must not keep a stopped node alive.
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop(place);
    ended
}

async fn serve(data_dir: &Path, config: Config, home: Home) -> Result<()> {
    let mut stop = Signals::new()?;
    let collector = start_collector(data_dir, &config, &home.name)?;
    if collector.node_id().uuid() != home.node_id {
        bail!(
            "the spool in {} is not the one that this node joined with; put it back, or let the node join again with a new \
             token",
            data_dir.display()
        );
    }
    let (spool, wake) = (collector.spool().clone(), collector.notify());
    let interval = config.collector.reading_interval.0;
    let (name, url) = (home.name.clone(), home.url.clone());
    let link = Arc::new(Link::new(data_dir.to_owned(), home, spool.clone(), interval)?);
    let (stopping, stopped) = watch::channel(false);
    let shipping =
        tokio::spawn(collector::ship(spool.clone(), wake, OverLink(Arc::clone(&link)), stopped.clone()));
    let renewing = tokio::spawn(Arc::clone(&link).keep_certified(stopped));
    let role = Arc::new(Role { config, link, collector: RwLock::new(Some(collector)) });
    let control = serve::start(&role, data_dir)?;
    println!("Node {name} runs and delivers to {url}   (Ctrl-C stops it)");
    let signal = stop.next().await;
    info!("stopping: {signal}");
    control.stop(true).await;
    let last_look = role.stop_collector().await;
    drain(&spool, &role.link).await;
    let _ = stopping.send(true);
    end(shipping).await;
    end(renewing).await;
    if role.link.seen().problem.is_none() {
        let _ = tokio::time::timeout(DRAIN_MAX, role.link.leave()).await;
    }
    last_look
}

impl Role {
    async fn stop_collector(&self) -> Result<()> {
        match self.collector.write().await.take() {
            None => Ok(()),
            Some(collector) => match collector.stop().await {
                Ok(()) | Err(CollectorError::Hypervisor(_)) => Ok(()),
                Err(error) => Err(error).context("the last reading was not stored"),
            },
        }
    }
}

/// Who this machine is, by its spool; a new spool draws a new id.
fn node_id(data_dir: &Path) -> Result<NodeId> {
    let dir = data_dir.join("spool");
    std::fs::create_dir_all(&dir).with_context(|| format!("the spool {} cannot be made", dir.display()))?;
    Ok(Spool::open(&dir).context("failed to open the spool")?.node_id())
}

/// The file and the environment.
fn config(data_dir: &Path, arguments: &RunArguments) -> Result<Config> {
    let flags = UpArguments { config: arguments.config.clone(), ..UpArguments::default() };
    Config::load(data_dir, &flags)
}

/// Waits a little until the spool is empty, as long as what is in it is taken.
async fn drain(spool: &Spool, link: &Link) {
    let empty = async {
        while spool.backlog().is_ok_and(|backlog| 0 < backlog.batches) && link.seen().problem.is_none() {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    };
    let _ = tokio::time::timeout(DRAIN_MAX, empty).await;
    if spool.backlog().is_ok_and(|backlog| 0 < backlog.batches) {
        warn!("readings are left in the spool; they will be delivered at the next start");
    }
}

/// Waits for a task; one that waits for the network is cut off.
async fn end(mut task: JoinHandle<()>) {
    if tokio::time::timeout(DRAIN_MAX, &mut task).await.is_err() {
        task.abort();
    }
}
