//! Times as arguments: RFC 3339, a date, or a time ago.

use std::time::Duration;

use pbjson_types::Timestamp;
use time::{Date, OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

use crate::clock::Clock;

/// A time as the argument gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeArg {
    /// An absolute time.
    At(OffsetDateTime),
    /// This duration before now.
    Ago(Duration),
}

impl TimeArg {
    /// The present.
    pub(super) const NOW: Self = Self::Ago(Duration::ZERO);

    /// Parses a time, for the command line parser.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let date = format_description!("[year]-[month]-[day]");
        let time = OffsetDateTime::parse(text, &Rfc3339).ok();
        // A time in the last hours of the year 9999 with a negative offset has no representation in UTC.
        if let Some(time) = time.and_then(|time| time.checked_to_offset(time::UtcOffset::UTC)) {
            return Ok(Self::At(time));
        }
        if let Ok(date) = Date::parse(text, date) {
            return Ok(Self::At(date.midnight().assume_utc()));
        }
        match humantime::parse_duration(text) {
            Ok(span) => Ok(Self::Ago(span)),
            Err(_) if text == "now" => Ok(Self::NOW),
            Err(_) => Err(
                "write it as in 2026-11-22T07:05:00Z (RFC 3339), 2026-11-22 (midnight, UTC), 36h or 7d (ago), or now"
                    .to_owned(),
            ),
        }
    }

    /// The absolute time; `now` is the base of [`Ago`](Self::Ago).
    pub(in crate::cli) fn resolve(self, now: OffsetDateTime) -> OffsetDateTime {
        match self {
            Self::At(time) => time,
            // Out of range means before all history.
            Self::Ago(span) => time::Duration::try_from(span)
                .ok()
                .and_then(|span| now.checked_sub(span))
                .unwrap_or(OffsetDateTime::UNIX_EPOCH),
        }
    }
}

/// The current time of the system clock.
pub(in crate::cli) fn now() -> OffsetDateTime {
    Clock::system().now().to_offset_date_time()
}

/// Converts a time to the type of the API.
pub(in crate::cli) fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: time.unix_timestamp(),
        nanos: time.nanosecond().cast_signed(),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_time_a_date_and_a_time_ago_are_parsed() {
        let now = datetime!(2026-11-22 19:00:00.5 UTC);
        let read = |text: &str| TimeArg::parse(text).unwrap().resolve(now);
        assert_eq!(
            read("2026-11-22T08:05:00.25+01:00"),
            datetime!(2026-11-22 07:05:00.25 UTC)
        );
        assert_eq!(read("2026-11-22"), datetime!(2026-11-22 00:00:00 UTC));
        assert_eq!(read("7d"), datetime!(2026-11-15 19:00:00.5 UTC));
        assert_eq!(read("36h"), datetime!(2026-11-21 07:00:00.5 UTC));
        assert_eq!(read("now"), now);
        assert_eq!(read("999999999y"), OffsetDateTime::UNIX_EPOCH);
    }

    #[test]
    fn an_invalid_time_is_refused_with_examples() {
        for wrong in ["yesterday", "2026-13-01", "2026-11-22T07:05:00", "7", ""] {
            let error = TimeArg::parse(wrong).unwrap_err();
            assert!(error.contains("2026-11-22T07:05:00Z"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_timestamp_before_1970_has_positive_nanos() {
        let time = timestamp(datetime!(1969-12-31 23:59:59.75 UTC));
        assert_eq!((time.seconds, time.nanos), (-1, 750_000_000));
    }
}
