//! Covers a time span with the fewest rollups: hours at its edges, then days, and months in the middle.

use time::{Duration, OffsetDateTime};

use crate::{domain::Timestamp, store::rows::buckets::Bucket};

fn smaller(bucket: Bucket) -> Option<Bucket> {
    match bucket {
        Bucket::Hour => None,
        Bucket::Day => Some(Bucket::Hour),
        Bucket::Month => Some(Bucket::Day),
    }
}

/// The start of the first bucket at or after `time`.
fn next_start(bucket: Bucket, time: OffsetDateTime) -> Option<OffsetDateTime> {
    let start = bucket.start(Timestamp::new(time));
    if start == time {
        return Some(time);
    }
    // 31 days after the first of a month is always in the next month.
    let within_next = start.checked_add(match bucket {
        Bucket::Hour => Duration::HOUR,
        Bucket::Day => Duration::DAY,
        Bucket::Month => 31 * Duration::DAY,
    })?;
    Some(bucket.start(Timestamp::new(within_next)))
}

/// Rollups of one bucket size, from `from` to before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rollups {
    pub(super) bucket: Bucket,
    pub(super) from: OffsetDateTime,
    pub(super) to: OffsetDateTime,
}

/// Covers the time from `from` to before `to` with rollups of at most the size `largest`.
pub(super) fn cover(from: Timestamp, to: Timestamp, largest: Bucket) -> Vec<Rollups> {
    let mut rollups = Vec::new();
    push(
        &mut rollups,
        from.to_offset_date_time(),
        to.to_offset_date_time(),
        largest,
    );
    rollups
}

fn push(rollups: &mut Vec<Rollups>, from: OffsetDateTime, to: OffsetDateTime, bucket: Bucket) {
    if from >= to {
        return;
    }
    let Some(smaller) = smaller(bucket) else {
        return rollups.push(Rollups { bucket, from, to });
    };
    let (start, end) = (next_start(bucket, from), bucket.start(Timestamp::new(to)));
    match start {
        Some(start) if start < end => {
            push(rollups, from, start, smaller);
            rollups.push(Rollups {
                bucket,
                from: start,
                to: end,
            });
            push(rollups, end, to, smaller);
        }
        _ => push(rollups, from, to, smaller),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(from: &str, to: &str, largest: Bucket) -> Vec<String> {
        let at = |text: &str| Timestamp::parse(&format!("{text}:00:00Z")).unwrap();
        cover(at(from), at(to), largest)
            .iter()
            .map(|rollups| {
                let time = |time| Timestamp::new(time).to_string()[..13].to_owned();
                format!(
                    "{} {} {}",
                    rollups.bucket.as_str(),
                    time(rollups.from),
                    time(rollups.to)
                )
            })
            .collect()
    }

    #[test]
    fn the_middle_is_covered_by_months_and_the_edges_by_days_and_hours() {
        assert_eq!(
            covered("2025-10-30T22", "2026-02-02T03", Bucket::Month),
            [
                "HOUR 2025-10-30T22 2025-10-31T00",
                "DAY 2025-10-31T00 2025-11-01T00",
                "MONTH 2025-11-01T00 2026-02-01T00",
                "DAY 2026-02-01T00 2026-02-02T00",
                "HOUR 2026-02-02T00 2026-02-02T03",
            ]
        );
    }

    #[test]
    fn a_span_within_a_bucket_is_covered_by_smaller_ones() {
        assert_eq!(
            covered("2025-10-30T22", "2025-10-31T01", Bucket::Month),
            ["HOUR 2025-10-30T22 2025-10-31T01"]
        );
        assert_eq!(
            covered("2025-10-02T00", "2025-10-31T00", Bucket::Month),
            ["DAY 2025-10-02T00 2025-10-31T00"]
        );
    }

    #[test]
    fn no_rollup_is_larger_than_wanted() {
        assert_eq!(
            covered("2025-01-01T00", "2026-01-01T00", Bucket::Day),
            ["DAY 2025-01-01T00 2026-01-01T00"]
        );
        assert_eq!(covered("2025-01-01T00", "2025-01-01T00", Bucket::Month), [""; 0]);
    }
}
