//! Spans of time, in the order in which a page is looked for in them: a month first, wider ones after it. What is looked for is
//! often found in the first; and what Postgres expects of a whole history, of which not every month is like the others, does
//! not make it read all of it.

use time::{Date, Month, OffsetDateTime};

use crate::domain::Timestamp;

use super::Order;

/// How many months each span has. After them comes one without an end.
pub(super) const WIDER_AND_WIDER: &[i32] = &[1, 12];

/// For what is met now and then, and found by an index of its own: a year.
pub(super) const WIDE: &[i32] = &[12];

/// Month by month, for three years: for what Postgres guesses badly.
pub(super) const MONTHLY: &[i32] = &[1; 36];

/// From a time on, and before a time, where there is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

/// Divides a span into parts of so many `months`, beginning with the month that `start` is in and going on in the order. What
/// lies on the other side of that month belongs to the first part.
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
    /// The part of it between two edges.
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

    /// Where it ends, in the order.
    pub(super) fn far_edge(self, order: Order) -> Option<Timestamp> {
        match order {
            Order::NewestFirst => self.from,
            Order::OldestFirst => self.to,
        }
    }

    /// True when no time can be in it.
    pub(super) fn is_empty(self) -> bool {
        self.from.zip(self.to).is_some_and(|(from, to)| from >= to)
    }
}

/// When the month (UTC) of a time began.
pub(super) fn month_of(time: Timestamp) -> Option<Timestamp> {
    months_from(time, 0)
}

/// When the month (UTC) of a time ends.
pub(super) fn month_after(time: Timestamp) -> Option<Timestamp> {
    months_from(time, 1)
}

/// The beginning of the month (UTC) that is so many months after that of `time`.
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
