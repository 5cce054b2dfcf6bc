//! What can go wrong between Weir and PostgreSQL. It does NOT cover starting the private server: that is
//! [`crate::cluster::ClusterError`].

use std::time::Duration;

use tokio_postgres::error::SqlState;

/// A failure of the database or of the way to it. Displays are fragments without their source; log the chain.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The connection string cannot be parsed.
    #[error(
        "the database URL is not one that PostgreSQL understands (postgresql://user:password@host:port/name)"
    )]
    Url(#[source] tokio_postgres::Error),

    /// The server cannot be reached or refuses the login.
    #[error("no connection to the database")]
    Connect(#[source] tokio_postgres::Error),

    /// All connections of the pool are in use.
    #[error("all {max_connections} database connections were busy for {} s", wait.as_secs())]
    Exhausted {
        /// The limit that was hit.
        max_connections: usize,
        /// How long this caller waited.
        wait: Duration,
    },

    /// The pool was closed under the caller: Weir is stopping.
    #[error("the database pool is closed")]
    Closed,

    /// The role [`crate::APP_ROLE`] is missing: the database was never migrated.
    #[error("the database has no role weir_app yet; run `weir migrate` (or `weir up`, which does) first")]
    NotMigrated(#[source] tokio_postgres::Error),

    /// The login role may not create [`crate::APP_ROLE`].
    #[error(
        "the login role {login} may not create the role weir_app; let a superuser run: \
         CREATE ROLE weir_app NOLOGIN; GRANT weir_app TO \"{login}\";"
    )]
    Role {
        /// The role that Weir logs in as.
        login: String,
        /// PostgreSQL's own words.
        #[source]
        source: tokio_postgres::Error,
    },

    /// Another process migrates the same database and does not come to an end.
    #[error("another process has held the migration lock for {} s", wait.as_secs())]
    Locked {
        /// How long this process waited.
        wait: Duration,
    },

    /// A migration failed and was rolled back, or an applied one was edited afterwards.
    #[error("the database could not be migrated")]
    Migration(#[source] Box<refinery::Error>),

    /// TimescaleDB was asked for and the server does not offer it.
    #[error(
        "the server does not offer TimescaleDB (its package installed, and timescaledb in shared_preload_libraries)"
    )]
    NoTimescale,

    /// The server is too old.
    #[error("PostgreSQL {found} is too old; Weir needs 15 or newer")]
    TooOld {
        /// `server_version` as the server says it.
        found: String,
    },

    /// A statement failed.
    #[error("a database statement failed")]
    Query(#[from] tokio_postgres::Error),
}

impl DbError {
    /// Whether the same work, done again from its beginning, may succeed: the connection was lost, the server is
    /// starting or stopping, or two transactions got in each other's way.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(source) | Self::Query(source) => is_transient(source),
            Self::Exhausted { .. } => true,
            _ => false,
        }
    }
}

fn is_transient(error: &tokio_postgres::Error) -> bool {
    // No SQL state: the error is not the server's but the connection's.
    let Some(state) = error.code() else { return true };
    // Class 08 is connection trouble, 57P01 to 57P03 a server that stops or starts.
    state.code().starts_with("08")
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ]
        .contains(state)
}
