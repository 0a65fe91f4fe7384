//! The way to Postgres: [`Database`] runs statements on connections of a pool, with a time limit and measured.
//!
//! [`options`] is how it connects, [`cache`] the connection cache in front of the driver's pool, [`health`] decides which
//! connections are checked, [`pooler`] finds a pooler that shares sessions, [`schema`] applies and compares the migrations, and
//! [`installation`] tells which builds run.

mod cache;
mod health;
mod installation;
mod options;
mod pooler;
mod schema;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection,
    postgres::{PgListener, PgPoolOptions},
};

use crate::{
    clock::{Clock, MonotonicInstant},
    config::{CommitterConfig, DatabaseConfig},
    domain::Timestamp,
    store::error::StoreError,
    telemetry::{Instruments, PoolUsage},
};

use cache::{ConnectionCache, PooledConnection};
use health::ConnectionHealth;

pub(in crate::store) use cache::PlanCacheMode;
pub use installation::{Installation, RunningBuild};
pub use schema::MigrationStep;
pub(in crate::store) use schema::{BUILD, admitted};

impl DatabaseConfig {
    /// The settings of the shared pool: the lanes of the committer have connections of their own.
    pub fn for_shared_pool(&self, committer: &CommitterConfig) -> Self {
        let lanes = u32::try_from(committer.lanes).unwrap_or(u32::MAX);
        Self {
            max_connections: self.max_connections.saturating_sub(lanes).max(1),
            ..self.clone()
        }
    }
}

/// Rights of a role that let it rewrite the history. A server should have none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privileges {
    /// The role is a superuser of the cluster.
    pub superuser: bool,
    /// The role owns `audit_entry`, or is a member of the role that does. A superuser counts as a member.
    pub owner: bool,
}

/// A pool of connections with its cache. Clones share both.
#[derive(Debug, Clone)]
pub struct Database {
    cache: ConnectionCache,
    /// The caches of this pool and of the dedicated ones, for the metrics.
    caches: Arc<Mutex<Vec<ConnectionCache>>>,
    instruments: Instruments,
    /// The host and the port, or the folder of the socket, for messages.
    server: Arc<str>,
    /// The last error of a server that cannot write, and when it was. A successful write removes it.
    exhausted: Arc<Mutex<Option<(StoreError, MonotonicInstant)>>>,
    /// True once two sessions were seen to have two server processes.
    has_own_sessions: Arc<AtomicBool>,
}

/// The operation that writes changes.
pub(super) const COMMIT: &str = "commit";

/// A use of Postgres is logged if it takes longer, the wait for a connection included.
const SLOW: Duration = Duration::from_secs(1);

/// How long a server that could not write counts as unable, if nothing else is written. Without calls nothing else is.
const EXHAUSTED_FOR: Duration = Duration::from_secs(15);

impl Database {
    /// Builds a pool. It connects when it is first used.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub fn new(settings: &DatabaseConfig, clock: &Clock) -> Result<Self, StoreError> {
        let options = options::of(settings)?;
        let server = options::server_of(&options);
        let session = options::session_settings(settings);
        let health = ConnectionHealth::new(clock.clone());
        let checked = health.clone();
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.acquire_timeout)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let session = sqlx::raw_sql(AssertSqlSafe(session.clone()));
                Box::pin(async move { session.execute(connection).await.map(drop) })
            })
            .before_acquire(move |connection, last| {
                let health = checked.clone();
                Box::pin(async move { health.is_usable(connection, last).await })
            })
            .connect_lazy_with(options);
        let timeout = settings.statement_timeout + Duration::from_secs(1);
        let cache = ConnectionCache::new(pool, health, clock.clone(), timeout);
        Ok(Self {
            caches: Arc::new(Mutex::new(vec![cache.clone()])),
            cache,
            instruments: Instruments::default(),
            server: server.into(),
            exhausted: Arc::default(),
            has_own_sessions: Arc::default(),
        })
    }

    /// The same database through `connections` connections of its own. They are opened at once, and driven by the runtime of the
    /// caller.
    pub(super) fn dedicated(&self, connections: u32) -> Self {
        let shared = &self.cache;
        let options = shared.pool.options().clone().min_connections(connections);
        let pool = options
            .max_connections(connections)
            .connect_lazy_with((*shared.pool.connect_options()).clone());
        let cache = ConnectionCache::new(pool, shared.health.clone(), shared.clock.clone(), shared.timeout);
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches.push(cache.clone());
        Self { cache, ..self.clone() }
    }

    /// Measures the connections and the statements from now on.
    pub fn measured_by(mut self, instruments: &Instruments) -> Self {
        self.instruments = instruments.clone();
        let caches = self.caches.clone();
        instruments.observe_pool(move || {
            let caches = caches.lock().unwrap_or_else(PoisonError::into_inner);
            let open = caches.iter().filter(|cache| !cache.pool.is_closed());
            open.map(ConnectionCache::usage).reduce(|all, pool| PoolUsage {
                idle: all.idle + pool.idle,
                used: all.used + pool.used,
                max: all.max + pool.max,
            })
        });
        self
    }

    /// The instruments that measure this database, for the rooms that use it.
    pub fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    /// The time on the database's clock.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let query = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#);
        Ok(Timestamp::new(
            self.run(async |conn| query.fetch_one(conn).await).await?,
        ))
    }

    /// Creates the database that the URL names, if it does not exist. Connects to it first. True if it was created.
    ///
    /// # Errors
    /// When Postgres does not answer or refuses.
    pub async fn create_if_missing(settings: &DatabaseConfig) -> Result<bool, StoreError> {
        options::create_if_missing(options::of(settings)?).await
    }

    /// Applies the migrations that are missing.
    ///
    /// # Errors
    /// When Postgres does not answer, or its schema does not admit this build, or would not admit a running replica.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.migrate_telling(&mut |_| ()).await
    }

    /// Does the same, and tells before and after each migration. They take effect together, when this returns.
    ///
    /// # Errors
    /// When Postgres does not answer, or its schema does not admit this build, or would not admit a running replica.
    pub async fn migrate_telling(&self, tell: &mut (dyn FnMut(MigrationStep<'_>) + Send)) -> Result<(), StoreError> {
        self.check_sessions().await?;
        schema::migrate(&self.cache.pool, &self.cache.clock, tell).await
    }

    /// Checks that Postgres answers, takes writes, has a schema that admits this build, and gives each connection its own
    /// session.
    ///
    /// # Errors
    /// When one of these is not so.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.check_sessions().await?;
        self.check_exhausted()?;
        schema::check(self.run(async |connection| schema::state(connection).await).await?)
    }

    /// Does the same on a new connection, whose error says why Postgres cannot be reached.
    ///
    /// # Errors
    /// When one of these is not so.
    pub async fn check_by_connecting(&self) -> Result<(), StoreError> {
        let options = self.cache.pool.connect_options();
        let state = async {
            let mut connection = PgConnection::connect_with(&options)
                .await
                .map_err(|error| StoreError::connecting(&self.server, error))?;
            let state = schema::state(&mut connection)
                .await
                .map_err(|error| StoreError::connecting(&self.server, error))?;
            connection.close().await?;
            Ok(state)
        };
        let state = tokio::time::timeout(self.timeout(), state).await;
        schema::check(state.unwrap_or(Err(StoreError::Timeout(self.timeout())))?)?;
        self.check_sessions().await
    }

    /// Checks, until it once succeeded, that two connections have two sessions.
    async fn check_sessions(&self) -> Result<(), StoreError> {
        if self.has_own_sessions.load(Ordering::Relaxed) {
            return Ok(());
        }
        let check = async |connection: &mut PgConnection| pooler::check(connection, &self.cache.pool).await;
        self.within("session", self.timeout(), check).await?;
        self.has_own_sessions.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn check_exhausted(&self) -> Result<(), StoreError> {
        let mut exhausted = self.exhausted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.cache.clock.monotonic_now();
        match exhausted.take_if(|(_, seen)| now.since(*seen) >= EXHAUSTED_FOR) {
            Some(_) => Ok(()),
            None => exhausted.as_ref().map_or(Ok(()), |(error, _)| Err(error.again())),
        }
    }

    /// Remembers that the server cannot write, or that it can again.
    fn note_writes(&self, operation: &str, error: Option<&StoreError>) {
        // Only of commits: a large query can find the memory or the temporary space full, and writes go on.
        let found = match error {
            _ if operation != COMMIT => return,
            Some(error) if error.is_exhausted() => Some((error.again(), self.cache.clock.monotonic_now())),
            Some(_) => return,
            None => None,
        };
        *self.exhausted.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Listens for notifications on a connection of the pool.
    pub(super) async fn listen(&self, channels: &[&str]) -> Result<PgListener, StoreError> {
        let listening = async {
            let mut listener = PgListener::connect_with(&self.cache.pool).await?;
            // The listener must learn that notifications were lost.
            listener.eager_reconnect(false);
            listener.listen_all(channels.iter().copied()).await?;
            Ok(listener)
        };
        // A listener that is dropped closes its connection.
        tokio::time::timeout(self.timeout(), listening)
            .await
            .unwrap_or(Err(StoreError::Timeout(self.timeout())))
    }

    /// The rights of the role that this database connects as.
    ///
    /// # Errors
    /// When Postgres does not answer, or has no schema.
    pub async fn privileges(&self) -> Result<Privileges, StoreError> {
        let query = sqlx::query!(
            r#"SELECT rolsuper AS "superuser!",
                   pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = 'audit_entry'::regclass), 'MEMBER')
                       AS "owner!"
               FROM pg_roles WHERE rolname = current_user"#
        );
        let row = self.run(async |conn| query.fetch_one(conn).await).await?;
        Ok(Privileges {
            superuser: row.superuser,
            owner: row.owner,
        })
    }

    /// The longest time that a statement may take, the network included.
    pub(super) fn timeout(&self) -> Duration {
        self.cache.timeout
    }

    /// Runs statements within the timeout.
    pub(super) async fn run<T>(
        &self,
        statements: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        self.run_planned(PlanCacheMode::ForceGeneric, statements).await
    }

    /// Runs statements within the timeout, in a `plan_cache_mode`.
    pub(super) async fn run_planned<T>(
        &self,
        mode: PlanCacheMode,
        statements: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let work = async |connection: &mut PgConnection| Ok(statements(connection).await?);
        self.planned("statement", self.timeout(), mode, work).await
    }

    /// Runs `work` on a connection. The timeout includes the wait for the connection. A connection is closed when the work on it
    /// was dropped half-way, or found the server unfit, so that a dead peer or a read-only server keeps no place in the pool.
    /// The metrics use the name of the operation.
    pub(super) async fn within<T>(
        &self,
        operation: &'static str,
        timeout: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.planned(operation, timeout, PlanCacheMode::ForceGeneric, work)
            .await
    }

    async fn planned<T>(
        &self,
        operation: &'static str,
        timeout: Duration,
        mode: PlanCacheMode,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let begun = self.cache.clock.monotonic_now();
        let working = async {
            let mut guard = ConnectionGuard {
                connection: Some(
                    self.cache
                        .acquire(mode)
                        .await
                        .map_err(|error| StoreError::connecting(&self.server, error))?,
                ),
                then: Then::Close,
                cache: &self.cache,
            };
            let connection = guard.connection();
            let result = match connection.set_mode(mode).await {
                Ok(()) => work(&mut connection.connection).await,
                Err(error) => Err(error.into()),
            };
            guard.then = match &result {
                Ok(_) => Then::Cache,
                Err(error) if error.is_unavailable() => Then::Close,
                Err(_) => Then::Return,
            };
            result
        };
        let result = tokio::time::timeout(timeout, working)
            .await
            .unwrap_or(Err(StoreError::Timeout(timeout)));
        let took = self.cache.clock.monotonic_now().since(begun);
        self.instruments.used_postgres(operation, result.is_err(), took);
        if took > SLOW {
            tracing::warn!(
                operation,
                ?took,
                "a use of Postgres was slow; log_min_duration_statement of Postgres has its statement"
            );
        }
        self.note_writes(operation, result.as_ref().err());
        // Not in the guard: a caller who goes away says nothing about Postgres.
        if result.as_ref().is_err_and(StoreError::is_unavailable) {
            self.cache.health.report_failure();
        }
        result
    }

    /// Closes the connections. Those that do not close within the timeout end with the process.
    pub async fn close(&self) {
        let closed = self.cache.pool.close();
        self.cache.clear();
        let _ = tokio::time::timeout(self.timeout(), closed).await;
    }
}

/// Holds a connection while it is used, and decides where it goes when the work ends or is dropped.
struct ConnectionGuard<'a> {
    /// Present until the drop.
    connection: Option<PooledConnection>,
    then: Then,
    cache: &'a ConnectionCache,
}

/// Where a connection goes after its use.
enum Then {
    /// To the cache: the work succeeded.
    Cache,
    /// To the pool: a statement was refused. The pool rolls an open transaction back at once.
    Return,
    /// It is closed: the work was dropped half-way, or the server is unfit.
    Close,
}

impl ConnectionGuard<'_> {
    fn connection(&mut self) -> &mut PooledConnection {
        self.connection.as_mut().expect("it is present until the drop")
    }
}

impl Drop for ConnectionGuard<'_> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        match self.then {
            Then::Cache => self.cache.put(connection),
            Then::Return => self.cache.return_to_pool(connection),
            Then::Close => connection.connection.close_on_drop(),
        }
    }
}
