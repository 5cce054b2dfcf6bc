//! `weir up`: everything on one machine, in one process, from start to a clean stop.
//!
//! It starts the parts in the order of their needs and stops them in reverse. What the parts do is theirs.

mod jobs;
pub mod place;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use migrations::cluster::{ClusterOptions, PrivateCluster};
use migrations::{Database, PoolLimits};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use self::jobs::Jobs;
use crate::cli::args::UpArguments;
use crate::config::Config;
use crate::control;
use crate::nodes::door::Door;
use crate::nodes::home::Home;
use crate::parts::Parts;

/// How long a query may wait for a free connection before it fails: longer than any page should take.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);

/// Runs until a signal.
///
/// # Errors
/// What keeps it from starting, in one sentence.
pub fn run(data_dir: PathBuf, flags: &UpArguments) -> Result<()> {
    let place = place::take(&data_dir)?;
    Home::is_not_in(&data_dir)?;
    let config = Config::load(&data_dir, flags)?;
    log_to_stderr(&config)?;
    let listeners = Listeners::bind(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(data_dir, config, listeners));
    // A query that hangs must not keep a stopped Weir alive.
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop(place);
    ended
}

async fn serve(data_dir: PathBuf, config: Config, listeners: Listeners) -> Result<()> {
    let mut stop = Signals::new()?;
    let cluster = match &config.database.url {
        Some(_) => None,
        None => Some(start_cluster(&data_dir, &config).await?),
    };
    let url = match (&config.database.url, &cluster) {
        (Some(url), _) => url.clone(),
        (None, Some(cluster)) => cluster.url().to_owned(),
        (None, None) => anyhow::bail!("there is no database to use"),
    };
    let ended = serve_with(&data_dir, &config, &url, listeners, &mut stop).await;
    if let Some(cluster) = cluster {
        info!("stopping PostgreSQL");
        cluster.stop().await;
    }
    ended
}

async fn start_cluster(data_dir: &std::path::Path, config: &Config) -> Result<PrivateCluster> {
    info!("starting PostgreSQL in {}", data_dir.join("postgres").display());
    let options =
        ClusterOptions { user: Some(config.database.user.clone()), ..ClusterOptions::new(data_dir) };
    PrivateCluster::start(options).await.context("failed to start the private PostgreSQL")
}

/// With a database that answers: migrates, starts the parts, serves, and stops them again.
async fn serve_with(
    data_dir: &std::path::Path,
    config: &Config,
    url: &str,
    listeners: Listeners,
    stop: &mut Signals,
) -> Result<()> {
    let smtp = smtp(config)?;
    let report = migrations::migrate(url).await.context("failed to migrate the database")?;
    info!(profile = report.profile.as_sql(), applied = report.applied.len(), "database ready");
    let limits = PoolLimits { max_connections: config.database.pool_size, wait: CONNECTION_WAIT };
    let database = Database::connect(url, limits).await.context("failed to connect to the database")?;
    let (stopping, stopped) = watch::channel(false);
    let door = listeners.door(data_dir, config, &database).await?;
    let parts = Arc::new(Parts::start(data_dir, config, database, door)?);
    let jobs = Jobs::start(&parts, smtp, &stopped).await;
    let address = listeners.pages.local_addr()?;
    let mut front = control::server::start(&parts, data_dir, listeners)?;
    let nodes = parts.door.as_ref().map_or_else(String::new, |door| format!("   nodes: {}", door.url));
    println!("Weir {} is up: http://{address}{nodes}   (Ctrl-C stops it)", env!("CARGO_PKG_VERSION"));
    let ended = tokio::select! {
        signal = stop.next() => { info!("stopping: {signal}"); Ok(()) }
        ended = front.ended() => ended.context("the web server ended"),
    };
    front.stop().await;
    parts.stop_compute().await;
    let last_look = parts.stop_collector().await;
    jobs.drain().await;
    let _ = stopping.send(true);
    jobs.stop().await;
    ended.and(last_look)
}

/// The mail server, checked before anything else is done.
fn smtp(config: &Config) -> Result<Option<mail::Smtp>> {
    let Some(settings) = config.mail.smtp()? else { return Ok(None) };
    Ok(Some(mail::Smtp::new(&settings).context("[mail] is not right")?))
}

/// The signals that stop Weir in order.
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn new() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for one, and says which.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "terminated",
        }
    }
}

/// Where Weir is reached, taken before anything slow begins, so that a busy port is known at once.
pub struct Listeners {
    /// Pages and API.
    pub pages: TcpListener,
    /// Figures for Prometheus.
    pub metrics: Option<TcpListener>,
    /// Readings of further nodes.
    pub nodes: Option<TcpListener>,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Self> {
        let address = config.server.listen;
        let pages = listen(address).with_context(|| {
            format!(
                "the pages cannot be served on {address}; choose another address: --listen 127.0.0.1:PORT"
            )
        })?;
        if !address.ip().is_loopback() {
            warn!(
                "{address} is served without TLS: whoever listens on the way reads passwords and invoices; put a proxy with TLS before it, or use 127.0.0.1"
            );
        }
        let metrics = match config.metrics.listen {
            None => None,
            Some(address) => Some(listen(address).with_context(|| {
                format!("the metrics cannot be served on {address}; choose another metrics.listen")
            })?),
        };
        let nodes = match config.nodes.listen {
            None => None,
            Some(address) => Some(listen(address).with_context(|| {
                format!("nodes cannot be listened to on {address}; choose another address: --nodes-listen 0.0.0.0:PORT")
            })?),
        };
        Ok(Self { pages, metrics, nodes })
    }

    /// The door for nodes, if they are listened to.
    async fn door(
        &self,
        data_dir: &std::path::Path,
        config: &Config,
        database: &Database,
    ) -> Result<Option<Door>> {
        let Some(nodes) = &self.nodes else { return Ok(None) };
        Door::new(data_dir, &config.nodes, nodes.local_addr()?, database).await.map(Some)
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Sets logging up.
///
/// # Errors
/// `log.level` is no filter.
pub fn log_to_stderr(config: &Config) -> Result<()> {
    let filter = EnvFilter::try_new(&config.log.level).with_context(|| {
        format!("log.level {:?} is no filter; write \"info\" or \"info,collector=debug\"", config.log.level)
    })?;
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal)
        .with_target(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!("logging cannot be set up: {error}"))
}
