//! The end of a share: the options that give it, and what answers say about it.

use std::time::Duration;

use clap::Args;
use pbjson_types::Timestamp;
use time::{Date, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339, macros::format_description};

use super::{
    audit::time_arg::timestamp,
    cell::{Cell, TableRow},
    format::{rfc3339_seconds, utc},
    table::Cells,
    text::one_line,
    view::View,
};
use crate::{
    client::GrantEnd,
    domain::basis::MAX_TTL,
    proto::v1::{Basis, Change},
};

const UNTIL_FORMS: &str =
    "write a date, as in 2026-12-31, or a time with its zone, as in 2026-12-31T18:00:00+01:00 or 2026-12-31T17:00:00Z";

/// The options of `grant` and `adopt` that end the share.
#[derive(Debug, Clone, Default, Args)]
pub struct EndArgs {
    /// End the share after this time, with a unit, such as 12h, 30d or 1w: 1s to 100y. It counts from the acceptance of the
    /// grant. The service then revokes the share [default: the share has no end]
    #[arg(
        id = "for", long = "for", value_name = "SPAN", value_parser = TtlArg::parse,
        conflicts_with = "until"
    )]
    ttl: Option<TtlArg>,
    /// End the share at this time: a date, with whose end the share ends in the time zone of the service, or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = UntilArg::parse)]
    until: Option<UntilArg>,
}

impl EndArgs {
    /// The end that is given.
    pub(super) fn end(&self) -> Option<GrantEnd> {
        let ttl = self.ttl.as_ref().map(|ttl| GrantEnd::Ttl(ttl.ttl));
        ttl.or_else(|| self.until.as_ref().map(|until| until.end.clone()))
    }

    /// The given options with their values.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let ttl = self.ttl.iter().map(|ttl| ("--for", &*ttl.text));
        ttl.chain(self.until.iter().map(|until| ("--until", &*until.text)))
    }
}

/// The value of `--for`.
#[derive(Debug, Clone)]
struct TtlArg {
    text: String,
    ttl: Duration,
}

impl TtlArg {
    fn parse(text: &str) -> Result<Self, String> {
        let ttl = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as in 12h, 30d, 1w"))?;
        if ttl < Duration::from_secs(1) || ttl > MAX_TTL {
            return Err("it must be between 1s and 100 years".to_owned());
        }
        let text = text.to_owned();
        Ok(Self { text, ttl })
    }
}

/// The value of `--until`, and of the column `until` of a file.
#[derive(Debug, Clone)]
pub(super) struct UntilArg {
    text: String,
    pub(super) end: GrantEnd,
}

impl UntilArg {
    /// Parses a date or a time. The service refuses one that has passed: a repetition of an accepted grant is answered then, too.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let date = Date::parse(text, format_description!("[year]-[month]-[day]"));
        let time = OffsetDateTime::parse(text, &Rfc3339).ok();
        // A time in the last hours of the year 9999 with a negative offset has no representation in UTC.
        let time = time.and_then(|time| time.checked_to_offset(UtcOffset::UTC));
        let end = match (date, time) {
            (Ok(_), _) => GrantEnd::Date(text.to_owned()),
            (Err(_), Some(time)) => GrantEnd::Time(timestamp(time)),
            (Err(_), None) if is_time_without_zone(text) => return Err(format!("the zone is missing; {UNTIL_FORMS}")),
            (Err(_), None) => return Err(UNTIL_FORMS.to_owned()),
        };
        let text = text.to_owned();
        Ok(Self { text, end })
    }
}

fn is_time_without_zone(text: &str) -> bool {
    OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339).is_ok()
}

/// The end of a basis. None for a share without an end.
pub(super) fn end_of(basis: Option<&Basis>) -> Option<Timestamp> {
    basis?.expire_time
}

/// The grant of a basis, with its end, in words. Empty without a basis.
pub(super) fn basis_text(basis: Option<&Basis>) -> String {
    let Some(basis) = basis else { return String::new() };
    let id = one_line(&basis.change_id);
    match basis.expire_time {
        Some(_) => format!("{id}, until {}", rfc3339_seconds(basis.expire_time.as_ref())),
        None => format!("{id}, without an end"),
    }
}

/// The rows of a permission or of a share: the grant on which it stands, and its end.
pub(super) fn basis_rows(bases: &[Basis]) -> TableRow {
    let basis = bases.first();
    vec![
        (
            "Basis",
            basis
                .map_or_else(String::new, |basis| one_line(&basis.change_id))
                .into(),
        ),
        ("Ends", Cell::Time(end_of(basis))),
    ]
}

/// The column of a list of permissions or shares. The grant has none: it would fit no terminal of 80 columns.
pub(super) fn column(bases: &[Basis]) -> (&'static str, Cell) {
    ("ENDS", Cell::Time(end_of(bases.first())))
}

/// The end and the grant as fields of CSV.
pub(super) fn basis_record(bases: &[Basis]) -> Cells {
    let basis = bases.first();
    vec![
        (
            "basis_change_id",
            basis.map_or_else(String::new, |basis| basis.change_id.clone()),
        ),
        ("expire_time", super::format::rfc3339(end_of(basis).as_ref())),
    ]
}

/// What a grant says about the end of its share, and about the grant that it replaced. Times are those of this machine.
pub(super) fn notes(asked: Option<&GrantEnd>, change: &Change, view: &View) -> Vec<String> {
    let mut notes = Vec::new();
    match (&change.expire_time, asked) {
        (Some(end), _) => notes.push(format!("note: the share ends {}", local(end, view))),
        (None, Some(_)) => notes.push(
            "warning: the share has no end: this service is too old to know ends, and ignored it; revoke the share"
                .to_owned(),
        ),
        (None, None) => {}
    }
    // A grant that changes no end needs no note.
    let replaced = change.previous_basis.as_ref();
    let replaced = replaced.filter(|replaced| change.expire_time.is_some() || replaced.expire_time.is_some());
    notes.extend(replaced.map(|replaced| {
        let id = one_line(&replaced.change_id);
        match &replaced.expire_time {
            Some(end) => format!(
                "note: this renewed the share of grant {id}, which would have ended {}",
                local(end, view)
            ),
            None => format!("note: this replaced the grant {id}, which had no end"),
        }
    }));
    notes
}

/// A time in the zone of this machine, and how far away it is.
pub(super) fn local(time: &Timestamp, view: &View) -> String {
    let exact = view.of_this_machine(time);
    match utc(time).map(|at| view.ago(at)) {
        Some(away) if !exact.starts_with(&away) => format!("{exact} ({away})"),
        _ => exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_and_a_time_with_a_zone_are_ends() {
        let end = |text: &str| UntilArg::parse(text).unwrap().end;
        assert_eq!(end("2026-12-31"), GrantEnd::Date("2026-12-31".into()));
        let time = Timestamp {
            seconds: 1_798_736_400,
            nanos: 0,
        };
        for text in [
            "2026-12-31T18:00:00+01:00",
            "2026-12-31T17:00:00Z",
            "2026-12-31t17:00:00z",
        ] {
            assert_eq!(end(text), GrantEnd::Time(time), "{text}");
        }
    }

    #[test]
    fn another_end_is_refused_with_its_rule() {
        for text in ["2026-12-31T18:00:00", "2026-12-31T18:00:00.5"] {
            let rule = UntilArg::parse(text).unwrap_err();
            assert!(rule.starts_with("the zone is missing; write a date"), "{rule}");
        }
        for text in ["", "30d", "2026-02-30", "31.12.2026", "2026-12-31T25:00:00Z"] {
            assert!(UntilArg::parse(text).unwrap_err().starts_with("write a date"), "{text}");
        }
        for text in ["", "30", "soon", "0s", "999ms", "101y"] {
            let rule = TtlArg::parse(text).unwrap_err();
            assert!(rule.contains("30d") || rule.contains("100 years"), "{text}: {rule}");
        }
        for (text, seconds) in [("90s", 90), ("12h", 43_200), ("30d", 2_592_000), ("1w", 604_800)] {
            assert_eq!(TtlArg::parse(text).unwrap().ttl, Duration::from_secs(seconds), "{text}");
        }
    }
}
