//! The time at which a call stops waiting.

use std::time::Duration;

use tokio::time::Instant;

/// With less time left than this, a call would end before its answer arrives.
const MIN_REMAINING: Duration = Duration::from_millis(50);

/// The end of a timeout, on the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The end of a timeout that starts now.
    pub fn after(timeout: Duration) -> Self {
        Self(now() + timeout)
    }

    /// This deadline, or the end of a timeout that starts now, whichever is earlier.
    pub(crate) fn at_most(self, timeout: Duration) -> Self {
        Self(self.0.min(now() + timeout))
    }

    pub(crate) fn instant(self) -> Instant {
        self.0
    }

    /// The time that is left; zero after the deadline.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(now())
    }

    /// True if too little time is left for another call.
    pub(crate) fn is_over(self) -> bool {
        self.remaining() < MIN_REMAINING
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a client only measures its own timeouts, on tokio's clock, which tests can pause"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
