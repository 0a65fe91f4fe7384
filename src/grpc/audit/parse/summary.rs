//! Parses `SummarizeAuditEntries`.

use time::{Month, OffsetDateTime};
use tonic::Status;

use crate::{
    audit::SummaryQuery,
    domain::Timestamp,
    grpc::fields::FieldReader,
    proto::v1,
    store::audit::{CountQuery, Dimension, Interval, Ranking},
};

use super::MAX_VALUES;

const MAX_BUCKETS: i64 = 10_000;
const DEFAULT_TOP: u32 = 10;
const MAX_TOP: u32 = 100;

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;
/// 1970-01-01 was a Thursday; weeks begin on Monday.
const FROM_MONDAY: i64 = 3 * DAY;

pub(in crate::grpc::audit) fn summary(request: &v1::SummarizeAuditEntriesRequest) -> Result<SummaryQuery, Status> {
    let mut fields = FieldReader::default();
    let ranked = !request.rankings.is_empty();
    let from = fields.full("start_time", request.start_time.as_ref(), ranked);
    let to = fields.full("end_time", request.end_time.as_ref(), ranked);
    let interval = fields.interval(request.interval);
    fields.time_range(from, to, interval);
    let group_by = fields.group_by(&request.group_by);
    let accounts = fields.several("account_ids", &request.account_ids, MAX_VALUES);
    let regions = fields.several("regions", &request.regions, MAX_VALUES);
    let actions = fields.actions("actions", &request.actions);
    let kinds = fields.several("kinds", &request.kinds, MAX_VALUES);
    fields.counted_only("regions", ranked, request.regions.is_empty());
    fields.counted_only("actions", ranked, request.actions.is_empty());
    fields.counted_only("kinds", ranked, request.kinds.is_empty());
    let rankings = fields.rankings(&request.rankings);
    let top = fields.top(request.top);
    fields.finish(|| {
        let counts = CountQuery {
            from: Timestamp::new(from?),
            to: Timestamp::new(to?),
            interval,
            group_by,
            accounts,
            regions,
            actions,
            kinds,
        };
        Some(SummaryQuery { counts, rankings, top })
    })
}

impl FieldReader {
    /// A full hour, or midnight for rankings. The stored counts are by hour, and the stored rankings by day.
    fn full(&mut self, field: &str, time: Option<&pbjson_types::Timestamp>, midnight: bool) -> Option<OffsetDateTime> {
        let time = self.present(field, time)?;
        let (unit, rule) = if midnight {
            (DAY, "must be midnight, UTC, if there are rankings")
        } else {
            (HOUR, "must be a full hour, UTC")
        };
        if time.nanosecond() != 0 || time.unix_timestamp().rem_euclid(unit) != 0 {
            self.violate(field, rule);
            return None;
        }
        Some(time)
    }

    fn time_range(&mut self, from: Option<OffsetDateTime>, to: Option<OffsetDateTime>, interval: Interval) {
        let (Some(from), Some(to)) = (from, to) else { return };
        if to <= from {
            self.violate("end_time", "must be later than start_time");
            return;
        }
        let buckets = bucket(to - time::Duration::NANOSECOND, interval) - bucket(from, interval) + 1;
        if buckets > MAX_BUCKETS {
            self.violate(
                "interval",
                format!("must give at most {MAX_BUCKETS} intervals between start_time and end_time; got {buckets}"),
            );
        }
    }

    fn interval(&mut self, number: i32) -> Interval {
        match v1::SummaryInterval::try_from(number) {
            Ok(v1::SummaryInterval::Unspecified) => Interval::Whole,
            Ok(v1::SummaryInterval::Hour) => Interval::Hour,
            Ok(v1::SummaryInterval::Day) => Interval::Day,
            Ok(v1::SummaryInterval::Week) => Interval::Week,
            Ok(v1::SummaryInterval::Month) => Interval::Month,
            Err(_) => {
                self.violate_choice("interval", "SummaryInterval", number);
                Interval::Whole
            }
        }
    }

    fn group_by(&mut self, numbers: &[i32]) -> Vec<Dimension> {
        use v1::SummaryDimension as Wire;
        let read = |number| match Wire::try_from(number).ok()? {
            Wire::Unspecified => None,
            Wire::Account => Some(Dimension::Account),
            Wire::Region => Some(Dimension::Region),
            Wire::Action => Some(Dimension::Action),
            Wire::Kind => Some(Dimension::Kind),
        };
        let dimensions = self.choices("group_by", "SummaryDimension", numbers, read);
        self.no_duplicates("group_by", &dimensions);
        dimensions
    }

    fn rankings(&mut self, numbers: &[i32]) -> Vec<Ranking> {
        use v1::SummaryRanking as Wire;
        let read = |number| match Wire::try_from(number).ok()? {
            Wire::Unspecified => None,
            Wire::Principal => Some(Ranking::Principal),
            Wire::Image => Some(Ranking::Image),
            Wire::SharedAccount => Some(Ranking::SharedAccount),
        };
        let rankings = self.choices("rankings", "SummaryRanking", numbers, read);
        self.no_duplicates("rankings", &rankings);
        rankings
    }

    fn no_duplicates<T: PartialEq>(&mut self, field: &str, values: &[T]) {
        // The quadratic cost is small, because an enum has few values.
        if (1..values.len()).any(|at| values[..at].contains(&values[at])) {
            self.violate(field, "must have each value at most once");
        }
    }

    /// Refuses a filter that the stored rankings do not have.
    fn counted_only(&mut self, field: &str, ranked: bool, is_empty: bool) {
        if ranked && !is_empty {
            self.violate(field, "must be empty if there are rankings");
        }
    }

    fn top(&mut self, number: i32) -> u32 {
        match u32::try_from(number) {
            Ok(0) => DEFAULT_TOP,
            Ok(top) => top.min(MAX_TOP),
            Err(_) => {
                self.violate(
                    "top",
                    format!("must be 0 (for {DEFAULT_TOP}) to {MAX_TOP}; got {number}"),
                );
                DEFAULT_TOP
            }
        }
    }
}

/// The number of the interval that contains a time. Numbers are consecutive.
fn bucket(time: OffsetDateTime, interval: Interval) -> i64 {
    let second = time.unix_timestamp();
    match interval {
        Interval::Whole => 0,
        Interval::Hour => second.div_euclid(HOUR),
        Interval::Day => second.div_euclid(DAY),
        Interval::Week => (second + FROM_MONDAY).div_euclid(7 * DAY),
        Interval::Month => i64::from(time.year()) * 12 + i64::from(u8::from(time.month()) - u8::from(Month::January)),
    }
}
