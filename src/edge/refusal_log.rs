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
