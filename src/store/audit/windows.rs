//! The time spans that are searched for a page, in order: a month first, then wider ones. The first span often fills
//! the page. And Postgres does not read the whole history because its statistics misjudge one month.

use time::{Date, Month, OffsetDateTime};

use crate::domain::Timestamp;

use super::Order;

/// The months of each span. The last span has no end.
pub(super) const WIDER_AND_WIDER: &[i32] = &[1, 12];

/// For rare values with an index of their own: a year.
pub(super) const WIDE: &[i32] = &[12];

/// Month by month for three years, for conditions that Postgres estimates badly.
pub(super) const MONTHLY: &[i32] = &[1; 36];

/// From `from` to before `to`. An absent edge is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

/// Divides a span into parts with the given numbers of `months`, in the order, from the month of `start` on. Time on
/// the other side of that month belongs to the first part.
pub(super) fn divide(span: Span, start: Timestamp, order: Order, months: &[i32]) -> Vec<Span> {
    let Some(mut edge) = months_from(start, i32::from(order == Order::NewestFirst)) else {
        return vec![span];
    };
    let mut parts: Vec<Span> = Vec::new();
    for next in months.iter().map(|months| match order {
        Order::NewestFirst => -months,
        Order::OldestFirst => *months,
    }) {
        let Some(far) = months_from(edge, next) else { break };
        let near = (!parts.is_empty()).then_some(edge);
        parts.push(span.within(order, near, Some(far)));
        edge = far;
    }
    parts.push(span.within(order, Some(edge), None));
    parts.retain(|part| !part.is_empty());
    parts
}

impl Span {
    /// Its part between two edges.
    fn within(self, order: Order, near: Option<Timestamp>, far: Option<Timestamp>) -> Self {
        let (from, to) = match order {
            Order::NewestFirst => (far, near),
            Order::OldestFirst => (near, far),
        };
        Self {
            from: self.from.max(from),
            to: self.to.into_iter().chain(to).min(),
        }
    }

    /// Its last edge in the order.
    pub(super) fn far_edge(self, order: Order) -> Option<Timestamp> {
        match order {
            Order::NewestFirst => self.from,
            Order::OldestFirst => self.to,
        }
    }

    /// True when it contains no time.
    pub(super) fn is_empty(self) -> bool {
        self.from.zip(self.to).is_some_and(|(from, to)| from >= to)
    }
}

/// The start of the month (UTC) of a time.
pub(super) fn month_of(time: Timestamp) -> Option<Timestamp> {
    months_from(time, 0)
}

/// The end of the month (UTC) of a time.
pub(super) fn month_after(time: Timestamp) -> Option<Timestamp> {
    months_from(time, 1)
}

/// The start of the month (UTC) that is `months` after the month of `time`.
fn months_from(time: Timestamp, months: i32) -> Option<Timestamp> {
    let date = time.to_offset_date_time().date();
    let month = date.year() * 12 + i32::from(u8::from(date.month())) - 1 + months;
    let number = u8::try_from(month.rem_euclid(12) + 1).ok()?;
    let first = Date::from_calendar_date(month.div_euclid(12), Month::try_from(number).ok()?, 1).ok()?;
    Some(Timestamp::new(OffsetDateTime::new_utc(first, time::Time::MIDNIGHT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(&format!("{text}T00:00:00Z")).unwrap()
    }

    fn span(from: &str, to: &str) -> Span {
        let end = |text: &str| (!text.is_empty()).then(|| at(text));
        Span {
            from: end(from),
            to: end(to),
        }
    }

    #[test]
    fn the_newest_month_comes_first_and_nothing_older_is_left_out() {
        let parts = divide(Span::default(), at("2026-02-17"), Order::NewestFirst, WIDER_AND_WIDER);
        assert_eq!(
            parts,
            [
                span("2026-02-01", ""),
                span("2025-02-01", "2026-02-01"),
                span("", "2025-02-01"),
            ]
        );
    }

    #[test]
    fn the_oldest_month_comes_first_and_nothing_newer_is_left_out() {
        let parts = divide(Span::default(), at("2025-12-01"), Order::OldestFirst, WIDER_AND_WIDER);
        assert_eq!(
            parts,
            [
                span("", "2026-01-01"),
                span("2026-01-01", "2027-01-01"),
                span("2027-01-01", ""),
            ]
        );
    }

    #[test]
    fn parts_stay_within_the_span() {
        let parts = divide(
            span("2026-01-15", "2026-02-20"),
            at("2026-02-17"),
            Order::NewestFirst,
            WIDER_AND_WIDER,
        );
        assert_eq!(
            parts,
            [span("2026-02-01", "2026-02-20"), span("2026-01-15", "2026-02-01")]
        );
        assert_eq!(
            divide(
                span("2026-01-15", "2026-01-15"),
                at("2026-01-15"),
                Order::OldestFirst,
                WIDER_AND_WIDER
            ),
            []
        );
    }
}
