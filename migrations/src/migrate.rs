//! Brings a database to this version's schema: under a lock, forward only, each file in one transaction with its
//! line in the history. It does NOT hold SQL of its own beyond the role and the storage profile; that is in `sql/`.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::error::DbError;

/// The key of the advisory lock that migrations of one database take: "weir" in ASCII.
const MIGRATION_LOCK: i64 = 0x7765_6972;

/// How long to wait for another migrator. A migration that rewrites a large table may take minutes.
const LOCK_WAIT: Duration = Duration::from_secs(600);

/// The oldest PostgreSQL that Weir runs on: Debian 12's.
const OLDEST_SERVER: i32 = 150_000;

/// What the migrations need set: policies hold for the owner too (they are forced), so it says for whom it works.
const ON_CONNECT: &str = "SET weir.scope = 'provider'; SET timezone = 'UTC'";

/// How large tables are stored. Chosen when a database is first migrated, then kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageProfile {
    /// Native range partitions, by day.
    Plain,
    /// TimescaleDB's hypertables.
    Timescale,
}

/// What [`migrate`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationReport {
    /// The files that were applied now, in order (`V0001__tenancy`). Empty when there was nothing to do.
    pub applied: Vec<String>,
    /// How the database stores large tables.
    pub profile: StorageProfile,
}

mod embedded {
    refinery::embed_migrations!("sql");
}

impl StorageProfile {
    /// The word in SQL: the table `weir_storage` and, while migrating, the setting `weir.storage_profile`.
    pub fn as_sql(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Timescale => "timescale",
        }
    }

    pub(crate) fn from_sql(word: &str) -> Self {
        // A CHECK constraint keeps the word to these two.
        if word == "timescale" { Self::Timescale } else { Self::Plain }
    }
}

/// Migrates the database at `url` to this version's schema. Doing it twice, or from two processes at once, does it
/// once. The login role becomes the owner of everything, and a member of [`crate::APP_ROLE`].
pub async fn migrate(url: &str) -> Result<MigrationReport, DbError> {
    migrate_with(url, None).await
}

/// The same with a profile of the caller's choice instead of the best that the server offers. A database that has a
/// profile already keeps it.
pub async fn migrate_as(url: &str, profile: StorageProfile) -> Result<MigrationReport, DbError> {
    migrate_with(url, Some(profile)).await
}

async fn migrate_with(url: &str, wanted: Option<StorageProfile>) -> Result<MigrationReport, DbError> {
    let (mut client, connection) = connect(url).await?;
    let outcome = run(&mut client, wanted).await;
    // Closing the connection gives the lock back, whatever happened.
    drop(client);
    // The task only ends; what went wrong on the connection was already an error of the client's.
    let _ = connection.await;
    outcome
}

/// The embedded files as (name, text), by version.
pub(crate) fn embedded_files() -> Vec<(String, String)> {
    let mut files: Vec<_> =
        embedded::migrations::runner().get_migrations().iter().map(|m| (m.version(), file_of(m))).collect();
    files.sort_by_key(|(version, _)| *version);
    files.into_iter().map(|(_, file)| file).collect()
}

/// Connects outside the pool, as the login role itself.
pub(crate) async fn connect(url: &str) -> Result<(Client, JoinHandle<()>), DbError> {
    let config: tokio_postgres::Config = url.parse().map_err(DbError::Url)?;
    let (client, connection) = config.connect(NoTls).await.map_err(DbError::Connect)?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection of the owner ended");
        }
    });
    Ok((client, task))
}

async fn run(client: &mut Client, wanted: Option<StorageProfile>) -> Result<MigrationReport, DbError> {
    check_version(client).await?;
    client.batch_execute(ON_CONNECT).await?;
    lock(client).await?;
    make_role(client).await?;
    let profile = choose_profile(client, wanted).await?;
    client.execute("SELECT set_config('weir.storage_profile', $1, false)", &[&profile.as_sql()]).await?;
    let report = embedded::migrations::runner()
        .run_async(client)
        .await
        .map_err(|error| DbError::Migration(Box::new(error)))?;
    let applied = report.applied_migrations().iter().map(|migration| file_of(migration).0).collect();
    Ok(MigrationReport { applied, profile })
}

async fn check_version(client: &Client) -> Result<(), DbError> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::integer AS number, \
             current_setting('server_version') AS name",
            &[],
        )
        .await?;
    if row.try_get::<_, i32>("number")? < OLDEST_SERVER {
        return Err(DbError::TooOld { found: row.try_get("name")? });
    }
    Ok(())
}

async fn lock(client: &Client) -> Result<(), DbError> {
    client.batch_execute(&format!("SET lock_timeout = {}", LOCK_WAIT.as_millis())).await?;
    match client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await {
        Ok(_) => {}
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            return Err(DbError::Locked { wait: LOCK_WAIT });
        }
        Err(error) => return Err(error.into()),
    }
    client.batch_execute("RESET lock_timeout").await?;
    Ok(())
}

async fn make_role(client: &Client) -> Result<(), DbError> {
    match client.batch_execute(include_str!("../sql/role.sql")).await {
        Ok(()) => Ok(()),
        Err(source) if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let row = client.query_one("SELECT current_user::text AS login", &[]).await?;
            Err(DbError::Role { login: row.try_get("login")?, source })
        }
        Err(source) => Err(source.into()),
    }
}

async fn choose_profile(client: &Client, wanted: Option<StorageProfile>) -> Result<StorageProfile, DbError> {
    let row = client.query_one(include_str!("../sql/storage_profile.sql"), &[]).await?;
    if row.try_get("is_chosen")? {
        let row = client.query_one("SELECT profile FROM weir_storage", &[]).await?;
        return Ok(StorageProfile::from_sql(row.try_get("profile")?));
    }
    match (wanted, row.try_get::<_, bool>("has_timescale")?) {
        (Some(StorageProfile::Plain), _) | (None, false) => return Ok(StorageProfile::Plain),
        (Some(StorageProfile::Timescale), false) => return Err(DbError::NoTimescale),
        (_, true) => {}
    }
    match client.batch_execute("CREATE EXTENSION IF NOT EXISTS timescaledb").await {
        Ok(()) => Ok(StorageProfile::Timescale),
        Err(error) if wanted.is_none() => {
            tracing::warn!(%error, "TimescaleDB is there but cannot be switched on: native partitions are used");
            Ok(StorageProfile::Plain)
        }
        Err(error) => Err(error.into()),
    }
}

fn file_of(migration: &refinery::Migration) -> (String, String) {
    let name = format!("V{:04}__{}", migration.version(), migration.name());
    (name, migration.sql().unwrap_or_default().to_owned())
}
