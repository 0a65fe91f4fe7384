//! The only clock of the process: wall time, monotonic time, and sleep. Tests use one that they advance by hand.
//!
//! Leases and ledger times use the *database's* clock, which is read in the transaction that needs it. This clock stamps calls to
//! AWS, makes ids, and sleeps.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;

use crate::domain::Timestamp;

/// A clock. Cheap to clone; clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(ClockSource);

#[derive(Debug, Clone)]
enum ClockSource {
    System {
        start: Instant,
        ahead: time::Duration,
    },
    Manual {
        start: Timestamp,
        elapsed: Arc<watch::Sender<Duration>>,
    },
}

/// A point in monotonic time, which never jumps: the time since the clock was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonotonicInstant(Duration);

impl MonotonicInstant {
    /// The point `duration` later.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// The point `duration` earlier, or the first one.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }

    /// The time since `earlier`. Zero if `earlier` is later.
    pub fn since(self, earlier: MonotonicInstant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self::system_off_by(0)
    }

    /// The clock of the machine, `seconds` fast (or slow, if negative). It simulates a replica with a wrong clock.
    #[expect(clippy::disallowed_methods, reason = "this is the only clock")]
    pub fn system_off_by(seconds: i32) -> Self {
        Self(ClockSource::System {
            start: Instant::now(),
            ahead: time::Duration::seconds(seconds.into()),
        })
    }

    /// A clock that stays at `start` until it is [advanced](Self::advance).
    pub fn manual(start: Timestamp) -> Self {
        Self(ClockSource::Manual {
            start,
            elapsed: Arc::new(watch::Sender::new(Duration::ZERO)),
        })
    }

    /// Advances a manual clock, and wakes sleepers whose time has come. No effect on a system clock.
    pub fn advance(&self, duration: Duration) {
        if let ClockSource::Manual { elapsed, .. } = &self.0 {
            elapsed.send_modify(|elapsed| *elapsed += duration);
        }
    }

    /// The wall time.
    #[expect(clippy::disallowed_methods, reason = "this is the only clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            ClockSource::System { ahead, .. } => Timestamp::new(time::OffsetDateTime::from(SystemTime::now()) + *ahead),
            ClockSource::Manual { start, elapsed } => *start + *elapsed.borrow(),
        }
    }

    /// The monotonic time.
    #[expect(clippy::disallowed_methods, reason = "this is the only clock")]
    pub fn monotonic_now(&self) -> MonotonicInstant {
        match &self.0 {
            ClockSource::System { start, .. } => MonotonicInstant(Instant::now() - *start),
            ClockSource::Manual { elapsed, .. } => MonotonicInstant(*elapsed.borrow()),
        }
    }

    /// Sleeps for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            ClockSource::System { .. } => tokio::time::sleep(duration).await,
            ClockSource::Manual { elapsed, .. } => {
                let due = elapsed.borrow().saturating_add(duration);
                // `self` keeps the sender alive, so waiting cannot fail.
                let _ = elapsed.subscribe().wait_for(|elapsed| *elapsed >= due).await;
            }
        }
    }

    /// A new UUID of version 7. Its order is the order of creation (RFC 9562, section 5.7).
    pub fn uuid(&self) -> uuid::Uuid {
        let now = self.now().to_offset_date_time();
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
        uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, now.nanosecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_a_sleeper_at_its_time_and_not_earlier() {
        let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                let asleep = clock.monotonic_now();
                clock.sleep(Duration::from_secs(30)).await;
                clock.monotonic_now().since(asleep)
            }
        });
        while clock_waiters(&clock) == 0 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(29));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        assert_eq!(sleeper.await.unwrap(), Duration::from_secs(30));
    }

    fn clock_waiters(clock: &Clock) -> usize {
        match &clock.0 {
            ClockSource::Manual { elapsed, .. } => elapsed.receiver_count(),
            ClockSource::System { .. } => 0,
        }
    }
}
