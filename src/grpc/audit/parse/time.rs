//! Parses times. The ledger has microseconds, and messages have nanoseconds.

use time::{Duration, OffsetDateTime};

use crate::{domain::Timestamp, grpc::fields::FieldReader};

const NANOS_PER_MICRO: i64 = 1000;

impl FieldReader {
    /// An optional bound of a time range, rounded up to a microsecond. This selects the same entries, because all recorded times
    /// are whole microseconds.
    pub(in crate::grpc) fn bound(&mut self, field: &str, time: Option<&pbjson_types::Timestamp>) -> Option<Timestamp> {
        let time = self.exact(field, time?)?;
        let excess = i64::from(time.nanosecond()) % NANOS_PER_MICRO;
        let up = Duration::nanoseconds((NANOS_PER_MICRO - excess) % NANOS_PER_MICRO);
        // No entry is recorded after the last representable time, so saturating changes nothing.
        Some(Timestamp::new(time.saturating_add(up)))
    }

    /// A required point in time, rounded down to a microsecond. The state does not change between two whole microseconds.
    pub(super) fn moment(&mut self, field: &str, time: Option<&pbjson_types::Timestamp>) -> Option<Timestamp> {
        self.present(field, time).map(Timestamp::new)
    }

    /// A required time, without rounding.
    pub(super) fn present(&mut self, field: &str, time: Option<&pbjson_types::Timestamp>) -> Option<OffsetDateTime> {
        if time.is_none() {
            self.violate(field, "is required: must be a time");
        }
        self.exact(field, time?)
    }

    fn exact(&mut self, field: &str, time: &pbjson_types::Timestamp) -> Option<OffsetDateTime> {
        let read = read(time);
        if read.is_none() {
            self.violate(
                field,
                "must be a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z, with 0 to 999999999 nanos",
            );
        }
        read
    }
}

/// Applies the rules of `google/protobuf/timestamp.proto`.
fn read(time: &pbjson_types::Timestamp) -> Option<OffsetDateTime> {
    let second = OffsetDateTime::from_unix_timestamp(time.seconds).ok()?;
    let nanos = u32::try_from(time.nanos).ok()?;
    let time = second.replace_nanosecond(nanos).ok()?;
    (1..=9999).contains(&time.year()).then_some(time)
}
