//! Groups log lines about refusals. One line for each refusal would be a load of its own.

use std::time::Duration;

use crate::clock::MonotonicInstant;

/// At most one line in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The refusals of one kind since the last line about them.
#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    unlogged: u64,
    logged_at: Option<MonotonicInstant>,
}

impl RefusalLog {
    /// Counts a refusal. Returns the number of refusals since the last line if it is time for a line.
    pub(super) fn count(&mut self, now: MonotonicInstant) -> Option<u64> {
        self.unlogged += 1;
        if self.logged_at.is_some_and(|logged| now.since(logged) < LOG_EVERY) {
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use crate::{clock::Clock, domain::Timestamp};

    use super::*;

    #[test]
    fn refusals_are_logged_together_once_in_ten_seconds() {
        let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
        let mut log = RefusalLog::default();
        assert_eq!(log.count(clock.monotonic_now()), Some(1));
        for _ in 0..4 {
            assert_eq!(log.count(clock.monotonic_now()), None);
        }
        clock.advance(LOG_EVERY);
        assert_eq!(log.count(clock.monotonic_now()), Some(5));
        assert_eq!(log.count(clock.monotonic_now()), None);
    }
}
