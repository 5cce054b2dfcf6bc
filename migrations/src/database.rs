//! Scoped access: the only way to run a query is inside a transaction that says for whom it works. It does NOT
//! migrate, start servers or know any table.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{BorrowToSql, ToSql};
use tokio_postgres::{
    Client, Config, CopyInSink, CopyOutStream, Error, NoTls, Row, RowStream, Statement, ToStatement,
};
use uuid::Uuid;

use crate::error::DbError;
use crate::migrate::StorageProfile;

/// What every new connection is told before anybody may use it.
///
/// The time zone: text that PostgreSQL makes of an instant must not depend on the server. The timeout: a
/// transaction that is forgotten keeps its locks and keeps vacuum from working; five minutes is far above any
/// honest pause between two statements.
const ON_CONNECT: &str = "SET ROLE weir_app; SET timezone = 'UTC'; \
                          SET idle_in_transaction_session_timeout = '5min'";

/// How many connections the pool opens and how long a caller waits for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections held at most. PostgreSQL pays about 10 MiB and one process for each.
    pub max_connections: usize,
    /// How long [`Database::session`] waits for a free connection, and for a new one to be made.
    pub wait: Duration,
}

impl Default for PoolLimits {
    /// 16 connections: enough for ingest, jobs and a busy portal on a small machine, and a quarter of what the
    /// private cluster allows. 10 s: a person who waits for a page gives up about then.
    fn default() -> Self {
        Self { max_connections: 16, wait: Duration::from_secs(10) }
    }
}

/// For whom a transaction works. PostgreSQL shows it those rows and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The provider: all tenants.
    Provider,
    /// One tenant.
    Tenant(Uuid),
}

/// A pool of connections, each of which works as [`crate::APP_ROLE`]. Clones share the pool.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    limits: PoolLimits,
}

/// A connection from the pool. It has no query methods: call [`Session::begin`] and say for whom.
///
/// ```no_run
/// # async fn example(database: migrations::Database) -> Result<(), migrations::DbError> {
/// let mut session = database.session().await?;
/// let transaction = session.begin(migrations::Scope::Provider).await?;
/// let row = transaction.query_one("SELECT count(*) AS tenants FROM tenant", &[]).await?;
/// # Ok(()) }
/// ```
///
/// A query without a scope does not compile:
///
/// ```compile_fail,E0599
/// # async fn example(database: migrations::Database) -> Result<(), migrations::DbError> {
/// let mut session = database.session().await?;
/// let row = session.query_one("SELECT count(*) AS tenants FROM tenant", &[]).await?;
/// # Ok(()) }
/// ```
///
/// Nor does one on the pool:
///
/// ```compile_fail,E0599
/// # async fn example(database: migrations::Database) -> Result<(), migrations::DbError> {
/// let row = database.query_one("SELECT count(*) AS tenants FROM tenant", &[]).await?;
/// # Ok(()) }
/// ```
pub struct Session {
    client: deadpool_postgres::Object,
}

/// An open transaction with a [`Scope`]. Dropped without [`Transaction::commit`] it is rolled back.
///
/// Its methods are those of [`tokio_postgres::Transaction`], less everything that could leave the scope.
pub struct Transaction<'a> {
    inner: deadpool_postgres::Transaction<'a>,
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Lets every connection live on the runtime that opened the pool. Otherwise it would live on the runtime of whoever
/// happened to be first to need it, such as a web server's worker, and die with that.
struct AtHome {
    runtime: Handle,
}

impl Connect for AtHome {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        let config = config.clone();
        let opening = self.runtime.spawn(async move {
            let (client, connection) = config.connect(NoTls).await?;
            let driver = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!("a connection to the database ended: {error}");
                }
            });
            Ok((client, driver))
        });
        Box::pin(async move {
            match opening.await {
                Ok(opened) => opened,
                // The runtime is gone, and the process with it; the pool's time limit ends this wait.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

impl Database {
    /// Opens a pool on a migrated database and proves it by one connection.
    ///
    /// The runtime that this is called on must live as long as the pool: connections live on it.
    ///
    ///
    /// `url` is what [`tokio_postgres::Config`] reads: a URL or `key=value` pairs, over TCP or a Unix socket.
    pub async fn connect(url: &str, limits: PoolLimits) -> Result<Self, DbError> {
        let mut config: Config = url.parse().map_err(DbError::Url)?;
        if config.get_application_name().is_none() {
            config.application_name("weir");
        }
        config.connect_timeout(limits.wait);
        // Fast recycling is enough: nothing outlives a transaction but what ON_CONNECT set.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(config, AtHome { runtime: Handle::current() }, recycling);
        let pool = Pool::builder(manager)
            .max_size(limits.max_connections)
            .wait_timeout(Some(limits.wait))
            .create_timeout(Some(limits.wait))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move { client.batch_execute(ON_CONNECT).await.map_err(HookError::Backend) })
            }))
            .build()
            .expect("a runtime is set, which is all that the builder checks");
        let database = Self { pool, limits };
        database.session().await?;
        Ok(database)
    }

    /// Takes a connection from the pool.
    pub async fn session(&self) -> Result<Session, DbError> {
        match self.pool.get().await {
            Ok(client) => Ok(Session { client }),
            Err(PoolError::Timeout(_)) => Err(DbError::Exhausted {
                max_connections: self.limits.max_connections,
                wait: self.limits.wait,
            }),
            Err(PoolError::Backend(source) | PoolError::PostCreateHook(HookError::Backend(source))) => {
                Err(connect_error(source))
            }
            Err(_) => Err(DbError::Closed),
        }
    }

    /// How this database stores large tables.
    pub async fn storage_profile(&self) -> Result<StorageProfile, DbError> {
        let mut session = self.session().await?;
        let transaction = session.begin(Scope::Provider).await?;
        let row = transaction.query_one("SELECT profile FROM weir_storage", &[]).await?;
        Ok(StorageProfile::from_sql(row.try_get("profile")?))
    }

    /// Closes the pool: sessions in use live on, new ones are refused.
    pub fn close(&self) {
        self.pool.close();
    }
}

impl fmt::Debug for Database {
    /// Leaves the connection string out: it holds a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Session {
    /// Begins a transaction that works for `scope`.
    pub async fn begin(&mut self, scope: Scope) -> Result<Transaction<'_>, DbError> {
        let inner = self.client.transaction().await?;
        // A simple query, in one message: nothing to prepare, and a uuid cannot carry SQL. The role is set again
        // so that it holds whatever an earlier transaction on this connection did.
        let (scope, tenant_id) = match scope {
            Scope::Provider => ("provider", String::new()),
            Scope::Tenant(tenant_id) => ("tenant", tenant_id.to_string()),
        };
        inner
            .batch_execute(&format!(
                "SELECT set_config('role', 'weir_app', true), set_config('weir.scope', '{scope}', true), \
                 set_config('weir.tenant_id', '{tenant_id}', true)"
            ))
            .await?;
        Ok(Transaction { inner })
    }
}

impl Transaction<'_> {
    /// See [`tokio_postgres::Transaction::query`].
    pub async fn query<T: ?Sized + ToStatement>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.inner.query(statement, params).await
    }

    /// See [`tokio_postgres::Transaction::query_one`].
    pub async fn query_one<T: ?Sized + ToStatement>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, Error> {
        self.inner.query_one(statement, params).await
    }

    /// See [`tokio_postgres::Transaction::query_opt`].
    pub async fn query_opt<T: ?Sized + ToStatement>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        self.inner.query_opt(statement, params).await
    }

    /// A stream of rows, for results too large to hold. See [`tokio_postgres::Transaction::query_raw`].
    pub async fn query_raw<T, P, I>(&self, statement: &T, params: I) -> Result<RowStream, Error>
    where
        T: ?Sized + ToStatement,
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator,
    {
        self.inner.query_raw(statement, params).await
    }

    /// The number of rows that changed. See [`tokio_postgres::Transaction::execute`].
    pub async fn execute<T: ?Sized + ToStatement>(
        &self,
        statement: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        self.inner.execute(statement, params).await
    }

    /// See [`tokio_postgres::Transaction::copy_in`]. PostgreSQL refuses `COPY FROM` into a table with row-level
    /// security: copy into a temporary or unprotected table and `INSERT ... SELECT` from there.
    pub async fn copy_in<T, U>(&self, statement: &T) -> Result<CopyInSink<U>, Error>
    where
        T: ?Sized + ToStatement,
        U: 'static + Send + bytes::Buf,
    {
        self.inner.copy_in(statement).await
    }

    /// See [`tokio_postgres::Transaction::copy_out`].
    pub async fn copy_out<T: ?Sized + ToStatement>(&self, statement: &T) -> Result<CopyOutStream, Error> {
        self.inner.copy_out(statement).await
    }

    /// Prepares a statement once per connection. See [`deadpool_postgres::Transaction::prepare_cached`].
    pub async fn prepare_cached(&self, query: &str) -> Result<Statement, Error> {
        self.inner.prepare_cached(query).await
    }

    /// Makes the work durable. Only after this has returned may anybody be told that it is done.
    pub async fn commit(self) -> Result<(), Error> {
        self.inner.commit().await
    }

    /// Throws the work away and waits until the server has done so.
    pub async fn rollback(self) -> Result<(), Error> {
        self.inner.rollback().await
    }
}

/// Makes sure that `table` has room for every instant in `[start, end)`: daily partitions on plain PostgreSQL,
/// nothing to do on hypertables. Returns how many partitions were new. Idempotent; safe in parallel.
pub async fn ensure_partitions(
    database: &Database,
    table: &str,
    start: jiff::Timestamp,
    end: jiff::Timestamp,
) -> Result<u32, DbError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let row = transaction
        .query_one(
            "SELECT weir_ensure_partitions($1::text::regclass, $2, $3) AS partitions",
            &[&table, &start, &end],
        )
        .await?;
    transaction.commit().await?;
    Ok(row.try_get::<_, i32>("partitions")?.unsigned_abs())
}

fn connect_error(source: Error) -> DbError {
    // What `SET ROLE` says when there is no such role.
    if source.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) {
        DbError::NotMigrated(source)
    } else {
        DbError::Connect(source)
    }
}
