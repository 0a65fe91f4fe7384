//! A LIFO cache of warm connections in front of the driver's pool.
//!
//! The pool pings each returned connection and hands connections out round-robin. That is one more round trip for each
//! statement, and no backend stays warm. So a used connection stays in the cache, and the next caller gets the one that
//! was used last. A connection returns to the pool, which checks it:
//!
//! - after [`FRESH_FOR`] without use;
//! - at the end of a use, [`CACHED_FOR`] after it left the pool;
//! - when a caller waits for the pool;
//! - while connections are suspect.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{PgPool, Postgres, pool::PoolConnection};

use crate::{
    clock::{Clock, MonotonicInstant},
    telemetry::PoolUsage,
};

use super::health::{ConnectionHealth, FRESH_FOR};

/// The longest time from when a connection leaves the pool until it returns. The pool can
/// then close a connection that is too old.
const CACHED_FOR: Duration = Duration::from_secs(60);

/// A connection of the pool.
#[derive(Debug)]
pub(super) struct PooledConnection {
    pub(super) connection: PoolConnection<Postgres>,
    mode: PlanCacheMode,
    acquired_at: MonotonicInstant,
}

/// The `plan_cache_mode` of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) enum PlanCacheMode {
    /// `force_generic_plan`: one plan for all values. Connections start with it.
    #[default]
    ForceGeneric,
    /// `auto`: Postgres plans for the given values while it estimates that to be cheaper.
    Auto,
    /// `force_custom_plan`: Postgres plans for the given values each time.
    ForceCustom,
}

impl PlanCacheMode {
    fn statement(self) -> &'static str {
        match self {
            Self::ForceGeneric => "RESET plan_cache_mode",
            Self::Auto => "SET plan_cache_mode = auto",
            Self::ForceCustom => "SET plan_cache_mode = force_custom_plan",
        }
    }
}

impl PooledConnection {
    /// Sets the mode. No round trip if the connection has it already.
    pub(super) async fn set_mode(&mut self, mode: PlanCacheMode) -> Result<(), sqlx::Error> {
        if self.mode != mode {
            sqlx::raw_sql(mode.statement()).execute(&mut *self.connection).await?;
            self.mode = mode;
        }
        Ok(())
    }
}

/// A pool and its cache. Clones share both.
#[derive(Debug, Clone)]
pub(super) struct ConnectionCache {
    pub(super) pool: PgPool,
    pub(super) health: ConnectionHealth,
    pub(super) clock: Clock,
    /// The longest time that a statement may take, the network included.
    pub(super) timeout: Duration,
    state: Arc<Mutex<State>>,
    /// How many callers wait for the pool.
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct State {
    /// Idle connections and when each was used last, in that order.
    idle: Vec<(PooledConnection, MonotonicInstant)>,
    /// A task is running that returns connections to the pool.
    is_sweeping: bool,
}

impl ConnectionCache {
    pub(super) fn new(pool: PgPool, health: ConnectionHealth, clock: Clock, timeout: Duration) -> Self {
        Self {
            pool,
            health,
            clock,
            timeout,
            state: Arc::default(),
            waiting: Arc::default(),
        }
    }

    /// How the pool is used. A cached connection is idle.
    pub(super) fn usage(&self) -> PoolUsage {
        let all = u64::from(self.pool.size());
        let idle = (self.pool.num_idle() + self.lock().idle.len()) as u64;
        PoolUsage {
            idle,
            used: all.saturating_sub(idle),
            max: self.pool.options().get_max_connections().into(),
        }
    }

    /// Takes the last used fresh connection in this mode, else the last used fresh one, else one from the pool.
    pub(super) async fn acquire(&self, mode: PlanCacheMode) -> Result<PooledConnection, sqlx::Error> {
        if self.health.is_suspect() {
            self.clear();
        }
        if let Some(connection) = self.take(mode) {
            return Ok(connection);
        }
        let _waiting = Waiting::new(&self.waiting);
        // A connection may have been cached before the count said that this caller waits.
        if let Some(connection) = self.take(mode) {
            return Ok(connection);
        }
        Ok(PooledConnection {
            connection: self.pool.acquire().await?,
            mode: PlanCacheMode::default(),
            acquired_at: self.clock.monotonic_now(),
        })
    }

    /// Caches a connection that was just used, or returns it to the pool.
    pub(super) fn put(&self, connection: PooledConnection) {
        let now = self.clock.monotonic_now();
        if self.pool.is_closed() || self.health.is_suspect() || now.since(connection.acquired_at) >= CACHED_FOR {
            return self.return_to_pool(connection);
        }
        let mut state = self.lock();
        state.idle.push((connection, now));
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let Some((connection, _)) = state.idle.pop() else {
                return;
            };
            drop(state);
            return self.return_to_pool(connection);
        }
        if !mem::replace(&mut state.is_sweeping, true) {
            tokio::spawn(self.clone().sweep());
        }
    }

    /// Returns all cached connections to the pool.
    pub(super) fn clear(&self) {
        let idle = mem::take(&mut self.lock().idle);
        idle.into_iter()
            .for_each(|(connection, _)| self.return_to_pool(connection));
    }

    fn take(&self, mode: PlanCacheMode) -> Option<PooledConnection> {
        let now = self.clock.monotonic_now();
        let mut state = self.lock();
        let is_fresh = |(_, used): &(_, MonotonicInstant)| now.since(*used) <= FRESH_FOR;
        let fits = |idle: &(PooledConnection, MonotonicInstant)| idle.0.mode == mode && is_fresh(idle);
        let index = state
            .idle
            .iter()
            .rposition(fits)
            .or_else(|| state.idle.iter().rposition(is_fresh))?;
        Some(state.idle.remove(index).0)
    }

    /// Returns connections that were not used for [`FRESH_FOR`], until none is cached.
    async fn sweep(self) {
        loop {
            self.clock.sleep(FRESH_FOR).await;
            let now = self.clock.monotonic_now();
            let mut state = self.lock();
            let count = state.idle.partition_point(|(_, used)| now.since(*used) >= FRESH_FOR);
            let unused: Vec<_> = state.idle.drain(..count).collect();
            state.is_sweeping = !state.idle.is_empty();
            let is_sweeping = state.is_sweeping;
            drop(state);
            unused
                .into_iter()
                .for_each(|(connection, _)| self.return_to_pool(connection));
            if !is_sweeping {
                return;
            }
        }
    }

    /// Resets the mode and returns the connection to the pool, which pings it. A connection that takes longer than the
    /// timeout is closed.
    pub(super) fn return_to_pool(&self, mut connection: PooledConnection) {
        let timeout = self.timeout;
        tokio::spawn(async move {
            match tokio::time::timeout(timeout, connection.set_mode(PlanCacheMode::default())).await {
                Ok(Ok(())) => {
                    let _ = tokio::time::timeout(timeout, connection.connection.return_to_pool()).await;
                }
                _ => connection.connection.close_on_drop(),
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a waiting caller until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
