//! Times. The ledger knows whole microseconds, and a message can be finer than that.

use time::{Duration, OffsetDateTime};

use crate::{domain::Timestamp, grpc::fields::FieldReader};

const NANOS_IN_A_MICRO: i64 = 1000;

impl FieldReader {
    /// One end of a time range, that may be absent. What was recorded at a bound or later was recorded at the next whole
    /// microsecond or later.
    pub(in crate::grpc) fn bound(&mut self, field: &str, time: Option<&pbjson_types::Timestamp>) -> Option<Timestamp> {
        let time = self.exact(field, time?)?;
        let beyond = i64::from(time.nanosecond()) % NANOS_IN_A_MICRO;
        let up = Duration::nanoseconds((NANOS_IN_A_MICRO - beyond) % NANOS_IN_A_MICRO);
        // Past the end of time there is nothing to find either way.
        Some(Timestamp::new(time.saturating_add(up)))
    }

    /// A moment. What was so at a whole microsecond was so until the next.
    pub(super) fn moment(&mut self, field: &str, time: Option<&pbjson_types::Timestamp>) -> Option<Timestamp> {
        self.present(field, time).map(Timestamp::new)
    }

    /// A time that must be there, exactly.
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

/// As `google/protobuf/timestamp.proto` has it.
fn read(time: &pbjson_types::Timestamp) -> Option<OffsetDateTime> {
    let second = OffsetDateTime::from_unix_timestamp(time.seconds).ok()?;
    let nanos = u32::try_from(time.nanos).ok()?;
    let time = second.replace_nanosecond(nanos).ok()?;
    (1..=9999).contains(&time.year()).then_some(time)
}
