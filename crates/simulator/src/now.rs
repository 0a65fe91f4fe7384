//! The only place where the simulator reads the system clock.

use time::OffsetDateTime;

/// The time of day, in UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "the simulator stands for AWS: it must not share the service's clock"
)]
pub(super) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
