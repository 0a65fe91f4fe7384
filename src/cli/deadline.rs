//! The moment until which a command waits.

use std::time::Duration;

use tokio::time::Instant;

/// A moment to be done by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        Self(now() + timeout)
    }

    pub(super) fn instant(self) -> Instant {
        self.0
    }

    pub(super) fn remaining(self) -> Duration {
        self.0.saturating_duration_since(now())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a client only measures its own patience, on tokio's clock, which tests can pause"
)]
fn now() -> Instant {
    Instant::now()
}
