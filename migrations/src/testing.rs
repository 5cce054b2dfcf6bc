//! A fresh database per test: cloned from a migrated template, on a private server that all test processes of a run
//! share. It is for tests only, panics with the reason when something real is missing (a test must not skip), and does
//! NOT keep anything: `fsync` is off and the server removes itself some seconds after its last user.
//!
//! The server lies in `/tmp/weir-test-pg-<uid>-<hash of the migrations>`, so that a changed migration gets a new one.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::cluster::{self, Account, ClusterError, ClusterOptions, Prepared};
use crate::{Database, PoolLimits, StorageProfile};

/// Longer than the pause between two test programs of one run, shorter than a developer's patience with a process
/// that is left over.
const GRACE_SECONDS: &str = "20";

/// A tenth of a second is the rule; a machine that compiles beside it is slow.
const READY_MAX: Duration = Duration::from_secs(60);
const READY_LOOK_INTERVAL: Duration = Duration::from_millis(25);
/// Between making a directory and giving it away: two calls of the system.
const OWNED_MAX: Duration = Duration::from_secs(5);

/// The migrated databases that tests are cloned from.
const PLAIN_TEMPLATE: &str = "weir_template_plain";
const TIMESCALE_TEMPLATE: &str = "weir_template_timescale";

/// The role that owns the databases, as in a private cluster.
const OWNER: &str = "weir";

/// A test seldom needs more at once; many tests run beside it.
const LIMITS: PoolLimits = PoolLimits { max_connections: 8, wait: Duration::from_secs(30) };

/// What the server is told beside its settings: nothing needs to survive, and many tests connect at once.
const SERVER_SETTINGS: [&str; 6] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=400",
    "shared_buffers=128MB",
    "autovacuum=off",
];

/// A database of its own for one test, migrated, and dropped with this value. Use it as a [`Database`].
pub struct TestDatabase {
    database: Database,
    name: String,
    url: String,
    superuser_url: String,
}

/// The shared server, held for the life of this process.
struct Server {
    url: String,
    superuser_url: String,
    /// Its shared lock keeps the server alive.
    _users: File,
}

/// Makes a database for one test, with native partitions: what Weir has on Debian as it is.
///
/// # Panics
///
/// When PostgreSQL is not installed or the server does not start.
pub async fn database() -> TestDatabase {
    database_as(StorageProfile::Plain).await
}

/// The same with a profile of the caller's choice. See [`has_timescale`].
///
/// # Panics
///
/// As [`database`], and when the profile needs TimescaleDB and it is not installed.
pub async fn database_as(profile: StorageProfile) -> TestDatabase {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    let server = SERVER.get_or_init(start_or_join).await;
    let template = template_of(profile);
    let name = format!("t_{}", Uuid::new_v4().simple());
    let superuser = superuser(&server.superuser_url).await.expect("the test server takes connections");
    superuser
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER}"))
        .await
        .unwrap_or_else(|error| panic!("cannot clone {template}: {}", chain(&error)));
    let url = with_database(&server.url, &name);
    let database = Database::connect(&url, LIMITS).await.expect("the test database takes connections");
    TestDatabase { database, name, url, superuser_url: server.superuser_url.clone() }
}

/// Whether TimescaleDB is installed, so that a test can go through both profiles where both are to be had.
///
/// # Panics
///
/// When PostgreSQL is not installed.
pub fn has_timescale() -> bool {
    cluster::has_timescale()
        .unwrap_or_else(|error| panic!("the tests need a PostgreSQL of their own: {error}"))
}

impl TestDatabase {
    /// The URL as which `weir` would connect: the owner's.
    pub fn owner_url(&self) -> &str {
        &self.url
    }

    /// A connection as the owner, in the provider scope, without the walls of [`crate::Session`]: to look into the
    /// catalogue or to prepare what the application could not.
    ///
    /// # Panics
    ///
    /// When the server takes no connection.
    pub async fn owner_client(&self) -> Client {
        let (client, _) = crate::migrate::connect(&self.url).await.expect("the owner can connect");
        client.batch_execute("SET weir.scope = 'provider'").await.expect("the owner can set its scope");
        client
    }

    /// The pool itself, for what wants to own one.
    pub fn database(&self) -> Database {
        self.database.clone()
    }
}

impl Deref for TestDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        self.database.close();
        let (name, url) = (self.name.clone(), self.superuser_url.clone());
        // A thread and a runtime of its own: the test's may be single-threaded, or ending.
        let drop_it = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let client = superuser(&url).await.map_err(io::Error::other)?;
                let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                client.batch_execute(&sql).await.map_err(io::Error::other)
            })
        };
        // A database that stays goes with the server.
        if let Ok(thread) = std::thread::Builder::new().spawn(drop_it) {
            let _ = thread.join();
        }
    }
}

async fn start_or_join() -> Server {
    let base = PathBuf::from(format!(
        "/tmp/weir-test-pg-{}-{}",
        rustix::process::geteuid().as_raw(),
        hash_of_migrations()
    ));
    loop {
        let ours = base.clone();
        let locks =
            tokio::task::spawn_blocking(move || take_locks(&ours)).await.expect("taking a lock cannot panic");
        let (users, setup) = locks.unwrap_or_else(|error| panic!("cannot use {}: {error}", base.display()));
        if let Ok(urls) = std::fs::read_to_string(base.join("ready"))
            && let Some((url, superuser_url)) = urls.split_once('\n')
            && superuser(superuser_url).await.is_ok()
        {
            let (url, superuser_url) = (url.to_owned(), superuser_url.to_owned());
            return Server { url, superuser_url, _users: users };
        }
        if base.join("data").exists() {
            // Somebody began and did not end, or the server crashed: away with it, under both locks.
            let ours = base.clone();
            tokio::task::spawn_blocking(move || remove(&ours))
                .await
                .expect("removing a directory cannot panic");
            continue;
        }
        let (url, superuser_url) = start(&base).await;
        std::fs::write(base.join("ready"), format!("{url}\n{superuser_url}")).expect("the base is writable");
        drop(setup);
        return Server { url, superuser_url, _users: users };
    }
}

/// Makes the directory, and takes a shared lock on `users` and then, alone, the one on `setup`.
fn take_locks(base: &Path) -> Result<(File, File), Box<dyn std::error::Error + Send + Sync>> {
    let account = Account::resolve(None)?;
    loop {
        own(base, &account)?;
        let path = base.join("users");
        let open = |path: &Path| OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let users = match open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            users => users?,
        };
        account.give(&path)?;
        rustix::fs::flock(&users, FlockOperation::LockShared)?;
        // The directory may have been removed while we waited for the lock.
        let is_current = |file: &File| Ok::<_, io::Error>(path.metadata()?.ino() == file.metadata()?.ino());
        if !is_current(&users).unwrap_or(false) {
            continue;
        }
        let setup = open(&base.join("setup"))?;
        rustix::fs::flock(&setup, FlockOperation::LockExclusive)?;
        if is_current(&users).unwrap_or(false) {
            return Ok((users, setup));
        }
    }
}

/// Another test's process that made the directory a moment ago may have yet to give it to the server's user.
fn own(base: &Path, account: &Account) -> Result<(), ClusterError> {
    let since = Instant::now();
    loop {
        match cluster::own_dir(base, account) {
            Err(ClusterError::Foreign { .. }) if since.elapsed() < OWNED_MAX => {
                std::thread::sleep(READY_LOOK_INTERVAL);
            }
            owned => return owned,
        }
    }
}

fn remove(base: &Path) {
    cluster::clear_orphans(&base.join("data/postgres")).expect("a crashed test server can be ended");
    let aside = base.with_extension(Uuid::new_v4().simple().to_string());
    std::fs::rename(base, &aside).expect("a crashed test server can be moved away");
    std::fs::remove_dir_all(&aside).expect("a crashed test server can be removed");
}

/// Makes the cluster, starts it beside this process, and builds the template. Returns the URLs of owner and superuser.
async fn start(base: &Path) -> (String, String) {
    let options = ClusterOptions::new(base.join("data"));
    let prepared = tokio::task::spawn_blocking(move || cluster::prepare(&options, false))
        .await
        .expect("making a cluster cannot panic")
        .unwrap_or_else(|error| panic!("the tests need a PostgreSQL of their own: {error}"));
    let users = base.join("users");
    spawn(base, &prepared)
        .unwrap_or_else(|error| panic!("cannot run the test server beside {users:?}: {error}"));
    let log = prepared.layout.log.display();
    let since = Instant::now();
    let client = loop {
        match superuser(&prepared.superuser_url).await {
            Ok(client) => break client,
            Err(error) if READY_MAX <= since.elapsed() => {
                panic!("the test server is not ready ({log}): {error}")
            }
            Err(_) => tokio::time::sleep(READY_LOOK_INTERVAL).await,
        }
    };
    make_templates(&client, &prepared).await;
    (prepared.url, prepared.superuser_url)
}

fn spawn(base: &Path, prepared: &Prepared) -> io::Result<()> {
    // The server's user ends it and removes everything, so everything is its own.
    let secrets = &prepared.layout.secrets;
    let log_dir = prepared.layout.log.parent().unwrap_or(base);
    let mut owned =
        vec![base.join("data"), base.join("data/cluster.lock"), secrets.clone(), log_dir.to_owned()];
    for entry in std::fs::read_dir(secrets)? {
        owned.push(entry?.path());
    }
    for path in &owned {
        prepared.account.give(path).map_err(io::Error::other)?;
    }
    let mut command = prepared.account.command(Path::new("/bin/sh"), None);
    command
        .current_dir("/")
        .args(["-c", include_str!("test_server.sh"), "weir-test-server"])
        .arg(base)
        .arg(GRACE_SECONDS)
        .arg(&prepared.layout.log)
        .arg(&prepared.postgres)
        .arg("-D")
        .arg(&prepared.layout.pgdata);
    for setting in SERVER_SETTINGS {
        command.args(["-c", setting]);
    }
    if prepared.has_timescale {
        // Its workers connect to every database, and a template that somebody is connected to cannot be cloned.
        command.args(["-c", "timescaledb.max_background_workers=0"]);
    }
    // It outlives us, so nobody waits for it; when we end first, init does.
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(drop)
}

async fn make_templates(client: &Client, prepared: &Prepared) {
    let password = prepared.owner_password();
    client
        .batch_execute(&format!("CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{password}'"))
        .await
        .expect("a new server takes a role");
    make_template(client, prepared, StorageProfile::Plain).await;
    if prepared.has_timescale {
        make_template(client, prepared, StorageProfile::Timescale).await;
    }
}

async fn make_template(client: &Client, prepared: &Prepared, profile: StorageProfile) {
    let template = template_of(profile);
    client
        .batch_execute(&format!("CREATE DATABASE {template} OWNER {OWNER}"))
        .await
        .expect("a new server takes a database");
    crate::migrate_as(&with_database(&prepared.url, template), profile)
        .await
        .unwrap_or_else(|error| panic!("{template} cannot be migrated: {}", chain(&error)));
    client
        .batch_execute(&format!("ALTER DATABASE {template} WITH ALLOW_CONNECTIONS false IS_TEMPLATE true"))
        .await
        .expect("the template can be closed");
}

fn template_of(profile: StorageProfile) -> &'static str {
    match profile {
        StorageProfile::Plain => PLAIN_TEMPLATE,
        StorageProfile::Timescale => TIMESCALE_TEMPLATE,
    }
}

async fn superuser(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The URLs of a private cluster end in the database's name and hold no other slash.
fn with_database(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("a cluster's URL names its database");
    format!("{server}/{name}")
}

fn hash_of_migrations() -> String {
    let mut hash = Sha256::new();
    for (name, text) in crate::migrate::embedded_files() {
        hash.update(name);
        hash.update([0]);
        hash.update(text);
        hash.update([0]);
    }
    // What the template is built with counts, too.
    hash.update(include_str!("../sql/role.sql"));
    hash.update(include_str!("testing.rs"));
    hash.update([u8::from(has_timescale())]);
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
