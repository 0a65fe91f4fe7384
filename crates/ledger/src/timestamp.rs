//! UTC timestamps.

use std::{fmt, ops::Range, time::Duration};

use time::{Date, Month, OffsetDateTime, Time, format_description::well_known::Rfc3339, macros::format_description};

/// A UTC timestamp with microsecond precision, as in Postgres.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

impl Timestamp {
    /// Truncates to microseconds and converts to UTC.
    pub fn new(time: OffsetDateTime) -> Self {
        let time = time.to_offset(time::UtcOffset::UTC);
        Self(time.replace_microsecond(time.microsecond()).unwrap_or(time))
    }

    /// The same time as the `time` crate's type.
    pub fn to_offset_date_time(self) -> OffsetDateTime {
        self.0
    }

    /// The duration since `earlier`. Zero if this is not later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        (self.0 - earlier.0).try_into().unwrap_or_default()
    }

    /// Parses RFC 3339 with any offset. None if the time in UTC is out of range.
    pub fn parse(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        time.checked_to_offset(time::UtcOffset::UTC).map(Self::new)
    }

    /// Parses exactly the format of `Display`. By hand, for speed: a page of the history has hundreds of times.
    pub fn parse_displayed(text: &str) -> Option<Self> {
        const MARKS: [(usize, u8); 7] = [
            (4, b'-'),
            (7, b'-'),
            (10, b'T'),
            (13, b':'),
            (16, b':'),
            (19, b'.'),
            (26, b'Z'),
        ];
        let text: &[u8; 27] = text.as_bytes().try_into().ok()?;
        if MARKS.iter().any(|(at, mark)| text[*at] != *mark) {
            return None;
        }
        let number = |digits: Range<usize>| {
            let mut digits = text[digits].iter();
            digits.try_fold(0_u32, |number, digit| {
                digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
            })
        };
        let two = |at: usize| u8::try_from(number(at..at + 2)?).ok();
        let year = i32::try_from(number(0..4)?).ok()?;
        let date = Date::from_calendar_date(year, Month::try_from(two(5)?).ok()?, two(8)?).ok()?;
        let time = Time::from_hms_micro(two(11)?, two(14)?, two(17)?, number(20..26)?).ok()?;
        Some(Self(OffsetDateTime::new_utc(date, time)))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Timestamp;

    /// Saturates at the last representable time.
    fn add(self, duration: Duration) -> Timestamp {
        let duration = time::Duration::try_from(duration).unwrap_or(time::Duration::MAX);
        Self::new(self.0.saturating_add(duration))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Timestamp;

    /// Saturates at the first representable time.
    fn sub(self, duration: Duration) -> Timestamp {
        let duration = time::Duration::try_from(duration).unwrap_or(time::Duration::MAX);
        Self::new(self.0.saturating_sub(duration))
    }
}

/// RFC 3339 with six fraction digits and `Z`, so that equal times are equal texts.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
        f.write_str(&self.0.format(format).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_out_of_range_in_utc_is_refused() {
        assert_eq!(Timestamp::parse("9999-12-31T23:59:59-00:01"), None);
        assert!(Timestamp::parse("9999-12-31T23:59:59Z").is_some());
        // Negative years are in range.
        assert!(Timestamp::parse("0000-01-01T00:00:00+23:59").is_some());
    }

    #[test]
    fn a_timestamp_has_six_fraction_digits_and_parses_back() {
        let time = Timestamp::new(time::macros::datetime!(2026-11-22 08:05:00.1234567 +01:00));
        assert_eq!(time.to_string(), "2026-11-22T07:05:00.123456Z");
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
    }

    #[test]
    fn parse_displayed_accepts_only_the_display_format() {
        for text in [
            "0000-01-01T00:00:00.000000Z",
            "2024-02-29T23:59:59.999999Z",
            "2026-11-22T07:05:00.123456Z",
            "9999-12-31T23:59:59.999999Z",
        ] {
            let time = Timestamp::parse_displayed(text).unwrap();
            assert_eq!(Some(time), Timestamp::parse(text));
            assert_eq!(time.to_string(), text);
        }
        for text in [
            "",
            "2026-11-22T07:05:00.123456",
            "2026-11-22t07:05:00.123456Z",
            "2026-11-22T07:05:00.123456z",
            "2026-11-22 07:05:00.123456Z",
            "2026-11-22T07:05:00.1234567Z",
            "2026-11-22T07:05:00.12345+Z",
            "2026-02-29T07:05:00.123456Z",
            "2026-13-22T07:05:00.123456Z",
            "2026-00-22T07:05:00.123456Z",
            "2026-11-00T07:05:00.123456Z",
            "2026-11-22T24:05:00.123456Z",
            "2026-11-22T07:60:00.123456Z",
            "2026-11-22T23:59:60.123456Z",
            "+026-11-22T07:05:00.123456Z",
            "-001-11-22T07:05:00.123456Z",
            "2026-11-22T07:05:00.12345é",
        ] {
            assert_eq!(Timestamp::parse_displayed(text), None, "{text}");
        }
    }
}
