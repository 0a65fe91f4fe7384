//! The moment until which a call waits.

use std::time::Duration;

use tokio::time::Instant;

/// With less than this left, a call would be cut off before its answer.
const MIN_REMAINING: Duration = Duration::from_millis(50);

/// A moment to be done by.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The end of a time-out that begins now.
    pub fn after(timeout: Duration) -> Self {
        Self(now() + timeout)
    }

    pub(crate) fn instant(self) -> Instant {
        self.0
    }

    /// The time that is left.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(now())
    }

    /// There is no time left for another call.
    pub(crate) fn is_over(self) -> bool {
        self.remaining() < MIN_REMAINING
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a client only measures its own patience, on tokio's clock, which tests can delay"
)]
fn now() -> Instant {
    Instant::now()
}
