//! A calendar month in UTC.

use std::{fmt, str::FromStr};

use time::{Date, OffsetDateTime, UtcOffset};

use crate::domain::Timestamp;

/// A calendar month in UTC. As text: `2026-07`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(Date);

/// The error for a text that is not a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a month: four digits, a hyphen and two digits, such as 2026-07")]
pub struct InvalidMonth;

impl Month {
    /// The month that contains a time.
    pub fn of(time: Timestamp) -> Self {
        let date = time.to_offset_date_time().to_offset(UtcOffset::UTC).date();
        Self(date.replace_day(1).unwrap_or(date))
    }

    /// The first instant of the month.
    pub fn start(self) -> Timestamp {
        Timestamp::new(OffsetDateTime::new_utc(self.0, time::Time::MIDNIGHT))
    }
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let shape = text.len() == 7
            && text
                .bytes()
                .enumerate()
                .all(|(at, byte)| (at == 4) == (byte == b'-') && (at == 4 || byte.is_ascii_digit()));
        let first = shape.then(|| format!("{text}-01T00:00:00Z"));
        first
            .and_then(|first| Timestamp::parse(&first))
            .map(Self::of)
            .ok_or(InvalidMonth)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), u8::from(self.0.month()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_prints_as_it_parses_and_other_texts_are_refused() {
        for text in ["2026-07", "0001-01", "9999-12"] {
            assert_eq!(text.parse::<Month>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "2026",
            "2026-7",
            "2026-13",
            "2026-00",
            "2026/07",
            "2026-07-01",
            "+026-07",
            "２０26-07",
        ] {
            assert_eq!(text.parse::<Month>(), Err(InvalidMonth), "{text}");
        }
    }

    #[test]
    fn a_month_begins_at_midnight_utc() {
        let month = Month::of(Timestamp::parse("2026-08-01T01:30:00+02:00").unwrap());
        assert_eq!(month.to_string(), "2026-07");
        assert_eq!(month.start().to_string(), "2026-07-01T00:00:00.000000Z");
    }
}
