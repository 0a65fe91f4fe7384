//! Which connections of the pool are checked before they are used.
//!
//! A check is a round trip. A connection that was just used needs none. After one connection broke, or turned out to be
//! read-only, all connections of the same age or older are suspect: a failover leaves a pool full of connections to the old
//! primary. Suspect connections are checked each time.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{Executor, PgConnection, Row, pool::PoolConnectionMetadata};

use crate::clock::{Clock, MonotonicInstant};

/// How long a connection needs no check after it was used.
pub(super) const FRESH_FOR: Duration = Duration::from_millis(500);

/// How long older connections are suspect after a failure. By then each of them was idle long enough to be checked anyway, or was
/// checked.
const SUSPECT_FOR: Duration = Duration::from_secs(30);

/// The time limit of a check. It leaves time to open another connection.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// When a connection failed last. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct ConnectionHealth {
    clock: Clock,
    failed_at: Arc<Mutex<Option<MonotonicInstant>>>,
}

impl ConnectionHealth {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            failed_at: Arc::default(),
        }
    }

    /// Notes that a connection failed.
    pub(super) fn report_failure(&self) {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.monotonic_now());
    }

    /// Tells whether a connection of the pool may be used. Checks it when it was idle or is suspect.
    pub(super) async fn is_usable(
        &self,
        connection: &mut PgConnection,
        last: PoolConnectionMetadata,
    ) -> Result<bool, sqlx::Error> {
        if last.idle_for <= FRESH_FOR && !self.is_older_than_failure(last.age) {
            return Ok(true);
        }
        let check = tokio::time::timeout(CHECK_TIMEOUT, is_writable(connection)).await;
        // After an error the pool closes the connection at once; a clean close could take long.
        check.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
    }

    /// True while the last failure is recent enough to make old connections suspect.
    pub(super) fn is_suspect(&self) -> bool {
        self.is_older_than_failure(Duration::MAX)
    }

    fn is_older_than_failure(&self, age: Duration) -> bool {
        let failed_at = *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        let since = failed_at.map(|at| self.clock.monotonic_now().since(at));
        since.is_some_and(|since| since < SUSPECT_FOR && age > since)
    }
}

/// One round trip, like a ping.
async fn is_writable(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let row = connection.fetch_one("SHOW transaction_read_only").await?;
    Ok(row.try_get::<String, _>(0)? == "off")
}
