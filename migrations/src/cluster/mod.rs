//! A private PostgreSQL server: made from Debian's package, in Weir's data directory, on a Unix socket, as an
//! unprivileged user, for as long as Weir runs.
//!
//! It does NOT back up, upgrade between major versions, or serve anybody but Weir.

mod account;
mod create;
mod error;
mod install;
mod layout;
mod orphans;
mod server;
mod settings;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::watch;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use create::SUPERUSER;
use error::{disk_error, io_error};
use install::Programs;
use layout::{Layout, PORT};
use server::{Launch, Server};

pub(crate) use account::Account;
pub use error::ClusterError;
pub(crate) use layout::own_dir;
pub(crate) use orphans::clear as clear_orphans;
pub use server::ClusterState;

/// The role that owns Weir's database, and the database's name.
const OWNER: &str = "weir";

/// After a crash PostgreSQL replays at most `max_wal_size` and a little; ten minutes are enough on a poor disk.
const READY_MAX: Duration = Duration::from_secs(600);

/// A server that starts clean is ready after some 50 ms.
const READY_LOOK_INTERVAL: Duration = Duration::from_millis(25);

/// A server that was killed leaves processes behind which hold its shared memory for a moment, and may itself be there as
/// a zombie, whose number its lock files name, until somebody reaps it.
const PASSING: [&str; 2] = ["still in use", "lock file"];
const START_ATTEMPTS: u32 = 10;
const START_PAUSE: Duration = Duration::from_millis(500);

/// How long a stop may take, by how it was asked for: in order (SIGINT), at once (SIGQUIT), killed.
const STOP_STEPS: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(30)),
    (Signal::QUIT, Duration::from_secs(10)),
    (Signal::KILL, Duration::from_secs(5)),
];

/// How much of the log's end is read for an error.
const LOG_TAIL_BYTES: u64 = 16 * 1024;

/// How many of its lines the error shows: the last one tells that it ended, those before why.
const ERROR_LINES: usize = 3;

/// Where and as whom the private server runs.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Weir's data directory. PostgreSQL's files lie in `postgres/`, its log in `log/postgres.log`, the passwords in
    /// `secrets/`, the socket in `run/` (or, where that is no fit place for a socket, in /run or /tmp).
    pub data_dir: PathBuf,
    /// The unprivileged user to run as when we are root; `postgres` when not set. Ignored otherwise.
    pub user: Option<String>,
    /// Where `<major version>/bin/postgres` lies; Debian's /usr/lib/postgresql when not set.
    pub programs_dir: Option<PathBuf>,
}

/// A running private server. [`PrivateCluster::stop`] ends it in order; dropping it asks the server to end and does
/// not wait; if the whole process is killed, the kernel asks the server to end.
pub struct PrivateCluster {
    server: Server,
    layout: Layout,
    socket_dir: PathBuf,
    url: String,
    superuser_url: String,
}

/// A made, not yet started cluster.
pub(crate) struct Prepared {
    pub(crate) layout: LayoutPaths,
    pub(crate) account: Account,
    pub(crate) postgres: PathBuf,
    pub(crate) url: String,
    pub(crate) superuser_url: String,
    pub(crate) has_timescale: bool,
    inner: Layout,
    socket_dir: PathBuf,
    owner_password: (String, bool),
    lock: File,
}

/// The places that others need to know.
pub(crate) struct LayoutPaths {
    pub(crate) pgdata: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) secrets: PathBuf,
}

impl ClusterOptions {
    /// The defaults, in this data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), user: None, programs_dir: None }
    }
}

impl PrivateCluster {
    /// Makes the cluster where there is none, ends what an earlier run left behind, starts the server, and returns
    /// when it can be used. From then on it is brought back when it dies.
    pub async fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        let prepared = blocking(move || prepare(&options, true)).await?;
        let Prepared {
            account,
            postgres,
            url,
            superuser_url,
            inner: layout,
            socket_dir,
            owner_password,
            lock,
            ..
        } = prepared;
        let lock = Arc::new(lock);
        let mut attempt = 1;
        let (server, client) = loop {
            remove_dead_sockets(&socket_dir);
            let log_from = layout.log_file().metadata().map_or(0, |metadata| metadata.len());
            let launch = Launch {
                account: account.clone(),
                program: postgres.clone(),
                pgdata: layout.pgdata.clone(),
                log: layout.log_file(),
            };
            let server = Server::spawn(launch, Arc::clone(&lock)).map_err(io_error("run", &postgres))?;
            match wait_until_ready(&server, &superuser_url, &layout).await? {
                Some(client) => break (server, client),
                None => {
                    let output = read_tail(&layout.log_file(), log_from);
                    let is_passing = PASSING.iter().any(|words| output.contains(words));
                    if !is_passing || START_ATTEMPTS <= attempt {
                        return Err(start_error(&output, &layout));
                    }
                }
            }
            attempt += 1;
            tokio::time::sleep(START_PAUSE).await;
        };
        let (password, is_new) = owner_password;
        set_up(&client, &password, is_new).await.map_err(ClusterError::Setup)?;
        server.keep();
        Ok(Self { server, layout, socket_dir, url, superuser_url })
    }

    /// Where Weir's own database is: as its owner, who is no superuser. Holds a password; do not log it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same server's maintenance database, as its superuser: for backups and for making databases.
    pub fn superuser_url(&self) -> &str {
        &self.superuser_url
    }

    /// PostgreSQL's log.
    pub fn log_file(&self) -> PathBuf {
        self.layout.log_file()
    }

    /// What the server is doing, now and from now on. It is brought back by itself; this is for status pages.
    pub fn supervise(&self) -> watch::Receiver<ClusterState> {
        self.server.state()
    }

    /// Ends the server in order: open transactions are rolled back, everything committed is written out.
    pub async fn stop(self) {
        let mut state = self.server.state();
        for (signal, at_most) in STOP_STEPS {
            self.server.stop(signal);
            let ended = state.wait_for(|state| *state == ClusterState::Stopped);
            if tokio::time::timeout(at_most, ended).await.is_ok() {
                if !self.socket_dir.starts_with(&self.layout.data) {
                    // It lies among other people's; the next start makes it anew.
                    let _ = std::fs::remove_dir(&self.socket_dir);
                }
                return;
            }
            tracing::warn!(?signal, seconds = at_most.as_secs(), "PostgreSQL has not ended");
        }
    }
}

impl Drop for PrivateCluster {
    fn drop(&mut self) {
        self.server.stop(Signal::INT);
    }
}

impl Prepared {
    pub(crate) fn owner_password(&self) -> &str {
        &self.owner_password.0
    }
}

/// Whether a new private cluster would have TimescaleDB: it is installed for the newest PostgreSQL.
pub(crate) fn has_timescale() -> Result<bool, ClusterError> {
    Ok(Programs::find(None, Path::new("/nonexistent"))?.has_timescale())
}

/// Everything up to the point of starting. `is_durable` is off for tests only.
pub(crate) fn prepare(options: &ClusterOptions, is_durable: bool) -> Result<Prepared, ClusterError> {
    let account = Account::resolve(options.user.as_deref())?;
    let programs = Programs::find(options.programs_dir.as_deref(), &options.data_dir.join("postgres"))?;
    let layout = Layout::prepare(&options.data_dir)?;
    let lock = layout.lock()?;
    account.ensure_passage(&layout.data, &programs.postgres)?;
    orphans::clear(&layout.pgdata)?;
    create::create(&layout, &account, &programs, is_durable)?;

    let (password, is_new) = layout.password(SUPERUSER)?;
    if is_new {
        let path = layout.password_file(SUPERUSER);
        // A cluster that does not know it is there already.
        layout::remove_if_there(&path).map_err(io_error("remove", &path))?;
        return Err(ClusterError::SecretLost { path });
    }
    let owner_password = layout.password(OWNER)?;
    let socket_dir = layout.socket_dir(&account)?;
    let conf = settings::render(&socket_dir, settings::memory_bytes(), programs.has_timescale());
    layout::write_private(&layout.pgdata.join(settings::FILE), &conf, Some(&account))?;
    Ok(Prepared {
        url: url(OWNER, &owner_password.0, &socket_dir, OWNER),
        superuser_url: url(SUPERUSER, &password, &socket_dir, SUPERUSER),
        layout: LayoutPaths {
            pgdata: layout.pgdata.clone(),
            log: layout.log_file(),
            secrets: layout.secrets.clone(),
        },
        account,
        has_timescale: programs.has_timescale(),
        postgres: programs.postgres,
        inner: layout,
        socket_dir,
        owner_password,
        lock,
    })
}

/// Makes the owner and the database where they are missing: after the first start, or after one that was interrupted.
async fn set_up(client: &Client, password: &str, is_new: bool) -> Result<(), tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1) AS has_role, \
             EXISTS (SELECT FROM pg_database WHERE datname = $1) AS has_database",
            &[&OWNER],
        )
        .await?;
    // The password is hexadecimal: it needs no quoting.
    if !row.try_get::<_, bool>("has_role")? {
        client.batch_execute(&format!("CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{password}'")).await?;
    } else if is_new {
        client.batch_execute(&format!("ALTER ROLE {OWNER} PASSWORD '{password}'")).await?;
    }
    if !row.try_get::<_, bool>("has_database")? {
        client.batch_execute(&format!("CREATE DATABASE {OWNER} OWNER {OWNER}")).await?;
    }
    // Nobody else has business here.
    client.batch_execute(&format!("REVOKE CONNECT ON DATABASE {OWNER} FROM PUBLIC")).await
}

/// A connection as superuser once the server takes one, `None` when the server ended instead.
async fn wait_until_ready(
    server: &Server,
    superuser_url: &str,
    layout: &Layout,
) -> Result<Option<Client>, ClusterError> {
    let state = server.state();
    let since = Instant::now();
    loop {
        match tokio_postgres::connect(superuser_url, NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return Ok(Some(client));
            }
            Err(error) if error.code() == Some(&SqlState::INVALID_PASSWORD) => {
                return Err(ClusterError::Setup(error));
            }
            // Not listening yet, or recovering.
            Err(_) => {}
        }
        if *state.borrow() == ClusterState::Stopped {
            return Ok(None);
        }
        if READY_MAX <= since.elapsed() {
            server.stop(Signal::INT);
            return Err(ClusterError::NotReady { waited: READY_MAX, log: layout.log_file() });
        }
        tokio::time::sleep(READY_LOOK_INTERVAL).await;
    }
}

/// Takes away the socket and its lock file of a server that is gone. The directory's lock is ours and no server of ours
/// runs, so nobody can be using them.
fn remove_dead_sockets(socket_dir: &Path) {
    for name in [format!(".s.PGSQL.{PORT}"), format!(".s.PGSQL.{PORT}.lock")] {
        // What is not there needs no removing, and what cannot be removed PostgreSQL will name.
        let _ = std::fs::remove_file(socket_dir.join(name));
    }
}

fn start_error(output: &str, layout: &Layout) -> ClusterError {
    if let Some(error) = disk_error(output, &layout.data) {
        return error;
    }
    // Behind the time and process in front of them, which tell a reader nothing here.
    let words = ["LOG:", "ERROR:", "FATAL:", "PANIC:", "DETAIL:", "HINT:"];
    let lines: Vec<_> = output
        .lines()
        .filter_map(|line| words.iter().find_map(|word| line.find(word)).and_then(|at| line.get(at..)))
        .collect();
    let last = lines.get(lines.len().saturating_sub(ERROR_LINES)..).unwrap_or_default();
    let output = if last.is_empty() { "it ended without a word".to_owned() } else { last.join(" / ") };
    ClusterError::Start { output, log: layout.log_file() }
}

/// The log's end, from the given length on (from its beginning when it is shorter now).
fn read_tail(log: &Path, from: u64) -> String {
    let Ok(bytes) = std::fs::read(log) else {
        return String::new();
    };
    let length = bytes.len() as u64;
    let from = if length < from { 0 } else { from.max(length.saturating_sub(LOG_TAIL_BYTES)) };
    let from = usize::try_from(from).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
}

/// A URL whose parts may hold anything: what is not a letter or digit is percent-encoded.
fn url(role: &str, password: &str, socket_dir: &Path, database: &str) -> String {
    let host: String = socket_dir
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() { char::from(*byte).to_string() } else { format!("%{byte:02X}") }
        })
        .collect();
    format!("postgresql://{role}:{password}@{host}:{PORT}/{database}")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
