//! Which connections of the pool are believed to be good.
//!
//! A connection that was used a moment ago need not be asked whether it is still there: that would be a round trip for each
//! statement. One that has rested is asked. And when one connection was found broken, or leads to a server that takes no
//! writes any more, so may all that are as old: a Postgres that was replaced leaves a pool full of them. They are asked too.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{Executor, PgConnection, Row, pool::PoolConnectionMetadata};

use crate::clock::{Clock, MonotonicInstant};

/// So long a connection that answered is taken to be there.
pub(super) const TRUSTED_FOR: Duration = Duration::from_millis(500);

/// So long after trouble older connections are asked each time. By then each has rested, or was asked.
const SHAKEN_FOR: Duration = Duration::from_secs(30);

/// A connection that does not answer in this time is dropped, and another one made in the time that is left.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// When trouble was met last. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    clock: Clock,
    shaken: Arc<Mutex<Option<MonotonicInstant>>>,
}

impl Trust {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            shaken: Arc::default(),
        }
    }

    /// A connection was found to be no good.
    pub(super) fn shake(&self) {
        *self.shaken.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.monotonic_now());
    }

    /// Whether a connection of the pool may be used. It is asked if need be.
    pub(super) async fn is_good(
        &self,
        connection: &mut PgConnection,
        last: PoolConnectionMetadata,
    ) -> Result<bool, sqlx::Error> {
        if last.idle_for <= TRUSTED_FOR && !self.is_older_than_trouble(last.age) {
            return Ok(true);
        }
        let asked = tokio::time::timeout(ANSWER_WITHIN, takes_writes(connection)).await;
        // An error has the connection dropped without a farewell, which could take its time.
        asked.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
    }

    /// True when trouble was met so shortly ago that connections are asked each time.
    pub(super) fn is_shaken(&self) -> bool {
        self.is_older_than_trouble(Duration::MAX)
    }

    fn is_older_than_trouble(&self, age: Duration) -> bool {
        let shaken = *self.shaken.lock().unwrap_or_else(PoisonError::into_inner);
        let since = shaken.map(|at| self.clock.monotonic_now().since(at));
        since.is_some_and(|since| since < SHAKEN_FOR && age > since)
    }
}

/// One round trip, as the simplest question is.
async fn takes_writes(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let row = connection.fetch_one("SHOW transaction_read_only").await?;
    Ok(row.try_get::<String, _>(0)? == "off")
}
