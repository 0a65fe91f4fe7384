//! The time buckets of the rollups, in UTC.

use time::OffsetDateTime;

use crate::domain::Timestamp;

/// The length of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum Bucket {
    Hour,
    Day,
    Month,
}

impl Bucket {
    /// The name of the bucket in the tables.
    pub(in crate::store) fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "HOUR",
            Self::Day => "DAY",
            Self::Month => "MONTH",
        }
    }

    /// The start of the bucket that contains a time.
    pub(in crate::store) fn start(self, time: Timestamp) -> OffsetDateTime {
        let time = time.to_offset_date_time();
        match self {
            Self::Hour => time.truncate_to_hour(),
            Self::Day => time.truncate_to_day(),
            Self::Month => time
                .truncate_to_day()
                .replace_day(1)
                .expect("every month has a first day"),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_bucket_starts_in_utc() {
        let time = Timestamp::new(datetime!(2026-03-31 23:59:59.999999 -02:30));
        assert_eq!(Bucket::Hour.start(time), datetime!(2026-04-01 02:00 UTC));
        assert_eq!(Bucket::Day.start(time), datetime!(2026-04-01 00:00 UTC));
        let time = Timestamp::new(datetime!(2024-02-29 00:00 UTC));
        assert_eq!(Bucket::Month.start(time), datetime!(2024-02-01 00:00 UTC));
    }
}
