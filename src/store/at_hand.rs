//! Connections that were used a moment ago, for who comes next.
//!
//! The pool asks each connection that comes back whether it is there, and hands them out by turns: a round trip more for each
//! statement, and none of many backends is ever warm. So a connection stays here first, and who needs one takes that which was used
//! last. It goes back to the pool when it has rested, when somebody waits there, from time to time, and while connections are in
//! doubt: the pool asks those.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{PgPool, Postgres, pool::PoolConnection};

use crate::clock::{Clock, MonotonicInstant};

use super::trust::{TRUSTED_FOR, Trust};

/// So long a connection is kept from its pool, which looks after its age.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// A connection out of the pool.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) connection: PoolConnection<Postgres>,
    /// How Postgres plans on it. As the pool has it, when it is new.
    pub(super) planning: Planning,
    since: MonotonicInstant,
}

/// For which values Postgres plans a statement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) enum Planning {
    /// One plan for all, made once.
    #[default]
    Once,
    /// For those given, as long as it finds that better.
    ByValues,
    /// For those given, each time.
    EachTime,
}

impl Planning {
    fn statement(self) -> &'static str {
        match self {
            Self::Once => "RESET plan_cache_mode",
            Self::ByValues => "SET plan_cache_mode = auto",
            Self::EachTime => "SET plan_cache_mode = force_custom_plan",
        }
    }
}

impl Held {
    /// Has Postgres plan like this from now on. Nothing is asked when it does so already.
    pub(super) async fn plan(&mut self, planning: Planning) -> Result<(), sqlx::Error> {
        if self.planning != planning {
            sqlx::raw_sql(planning.statement())
                .execute(&mut *self.connection)
                .await?;
            self.planning = planning;
        }
        Ok(())
    }
}

/// The connections of a pool that are kept from it. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub(super) struct AtHand {
    pool: PgPool,
    trust: Trust,
    clock: Clock,
    /// Giving back takes at most so long.
    patience: Duration,
    state: Arc<Mutex<State>>,
    /// So many wait for the pool.
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct State {
    /// Which were used when; the last one last.
    held: Vec<(Held, MonotonicInstant)>,
    /// Somebody sees to it that what rests goes back.
    watched: bool,
}

impl AtHand {
    pub(super) fn new(pool: PgPool, trust: Trust, clock: Clock, patience: Duration) -> Self {
        Self {
            pool,
            trust,
            clock,
            patience,
            state: Arc::default(),
            waiting: Arc::default(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().held.len()
    }

    /// The one that was used last, best for such plans, or one of the pool's.
    pub(super) async fn acquire(&self, planning: Planning) -> Result<Held, sqlx::Error> {
        if self.trust.is_shaken() {
            self.clear();
        }
        if let Some(held) = self.take(planning) {
            return Ok(held);
        }
        let _waits = Waits::new(&self.waiting);
        // One may have been put here before it was seen that this waits.
        if let Some(held) = self.take(planning) {
            return Ok(held);
        }
        let connection = self.pool.acquire().await?;
        let since = self.clock.monotonic_now();
        Ok(Held {
            connection,
            planning: Planning::default(),
            since,
        })
    }

    /// Keeps one that was just used; gives back those that are for the pool.
    pub(super) fn keep(&self, held: Held) {
        let now = self.clock.monotonic_now();
        if self.pool.is_closed() || self.trust.is_shaken() || now.since(held.since) >= KEPT_FOR {
            return self.give_back(held);
        }
        let mut state = self.lock();
        state.held.push((held, now));
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let Some((held, _)) = state.held.pop() else { return };
            drop(state);
            return self.give_back(held);
        }
        if !mem::replace(&mut state.watched, true) {
            tokio::spawn(self.clone().watch());
        }
    }

    /// Gives all back.
    pub(super) fn clear(&self) {
        let held = mem::take(&mut self.lock().held);
        held.into_iter().for_each(|(held, _)| self.give_back(held));
    }

    fn take(&self, planning: Planning) -> Option<Held> {
        let now = self.clock.monotonic_now();
        let mut state = self.lock();
        let is_warm = |used: MonotonicInstant| now.since(used) <= TRUSTED_FOR;
        let fits = |(held, used): &(Held, MonotonicInstant)| held.planning == planning && is_warm(*used);
        let place = state.held.iter().rposition(fits).or_else(|| {
            let last = state.held.len().checked_sub(1)?;
            is_warm(state.held[last].1).then_some(last)
        })?;
        Some(state.held.remove(place).0)
    }

    /// Until there is none.
    async fn watch(self) {
        loop {
            self.clock.sleep(TRUSTED_FOR).await;
            let now = self.clock.monotonic_now();
            let mut state = self.lock();
            let rested = state.held.partition_point(|(_, used)| now.since(*used) >= TRUSTED_FOR);
            let rested: Vec<_> = state.held.drain(..rested).collect();
            state.watched = !state.held.is_empty();
            let go_on = state.watched;
            drop(state);
            rested.into_iter().for_each(|(held, _)| self.give_back(held));
            if !go_on {
                return;
            }
        }
    }

    /// Back to the pool, as it came. The pool asks the connection once more; if that takes too long, its place is free again.
    pub(super) fn give_back(&self, mut held: Held) {
        let patience = self.patience;
        tokio::spawn(async move {
            match tokio::time::timeout(patience, held.plan(Planning::default())).await {
                Ok(Ok(())) => {
                    let _ = tokio::time::timeout(patience, held.connection.return_to_pool()).await;
                }
                _ => held.connection.close_on_drop(),
            }
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts who waits while it does.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
