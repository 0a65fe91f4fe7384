//! Formats values of the API for tables.

use pbjson_types::{Duration, Timestamp};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::proto::v1::{Access, Action, Cause, DriftDifference, DriftResolution};

/// The access at AWS. "Unspecified" means that AWS was never read.
pub(super) fn access(value: i32) -> String {
    if value == Access::Unspecified as i32 {
        return "not known (AWS had not answered about it yet)".to_owned();
    }
    name(value, "ACCESS_", Access::as_str_name)
}

pub(super) fn action(value: i32) -> String {
    name(value, "ACTION_", Action::as_str_name)
}

pub(super) fn cause(value: i32) -> String {
    name(value, "CAUSE_", Cause::as_str_name)
}

/// How AWS and the ledger differ.
pub(super) fn difference(value: i32) -> String {
    name(value, "DRIFT_DIFFERENCE_", DriftDifference::as_str_name)
}

/// What became of a difference.
pub(super) fn drift_resolution(value: i32) -> String {
    name(value, "DRIFT_RESOLUTION_", DriftResolution::as_str_name)
}

/// The name of an enum value without its prefix; the number, for a value that only a newer service knows.
pub(super) fn name<E: TryFrom<i32>>(value: i32, prefix: &str, name: fn(&E) -> &'static str) -> String {
    match E::try_from(value) {
        Ok(known) => name(&known).trim_start_matches(prefix).to_owned(),
        Err(_) => value.to_string(),
    }
}

/// A time in RFC 3339, UTC; empty for no time.
pub(super) fn rfc3339(timestamp: Option<&Timestamp>) -> String {
    timestamp
        .and_then(utc)
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// A time in RFC 3339, UTC, truncated to seconds, for lists.
pub(super) fn rfc3339_seconds(timestamp: Option<&Timestamp>) -> String {
    let time = timestamp.and_then(utc).and_then(|time| time.replace_nanosecond(0).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// The time; `None` if it is beyond the years that can be written.
pub(super) fn utc(timestamp: &Timestamp) -> Option<OffsetDateTime> {
    let time = OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()?;
    time.replace_nanosecond(u32::try_from(timestamp.nanos).ok()?).ok()
}

pub(super) fn milliseconds(duration: &Duration) -> String {
    let whole = std::time::Duration::try_from(*duration).unwrap_or_default();
    format!("{}ms", whole.as_millis())
}
