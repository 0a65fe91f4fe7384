//! How answers are shown to people: the options, and the view that tables are drawn for.

use anstyle::{AnsiColor, Style};
use clap::{Args, ColorChoice};
use pbjson_types::Timestamp;
use time::{
    OffsetDateTime, UtcOffset,
    format_description::{StaticFormatDescription, well_known::Rfc3339},
    macros::format_description,
};

use super::{
    audit::time_arg::now,
    format::{rfc3339, rfc3339_seconds, utc},
};

/// The heading of these options in the help.
pub(super) const HEADING: &str = "Display options";

const DAY: StaticFormatDescription = format_description!("[year]-[month]-[day]");
const SECOND: StaticFormatDescription = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");

/// Options of the display. They change tables only: JSON and CSV are the same everywhere.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = HEADING)]
pub struct DisplayArgs {
    /// Colour the states in tables. `auto` colours on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
    /// Show the times of tables in this machine's time zone [default: UTC, and how long ago on a terminal]
    #[arg(long, global = true)]
    local: bool,
    /// Use no pager. On a terminal, lists go to the pager of SHAREWARDEN_PAGER or PAGER, or else to `less`
    #[arg(long, global = true)]
    no_pager: bool,
}

impl DisplayArgs {
    pub(super) fn uses_pager(&self) -> bool {
        !self.no_pager
    }
}

/// What tables are drawn for.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// The width of the terminal, in columns. `None` if the output is not a terminal: tables have all columns and full values.
    pub(super) width: Option<u16>,
    /// True if characters beyond ASCII can be shown.
    pub(super) unicode: bool,
    pub(super) color: bool,
    /// True for times in the time zone of this machine.
    pub(super) local: bool,
    /// True if times say how long ago they are. Not in output that stays on the screen while time passes.
    pub(super) relative: bool,
    pub(super) now: OffsetDateTime,
}

impl View {
    /// The view of an output that is not a terminal.
    pub(super) fn plain() -> Self {
        Self {
            width: None,
            unicode: false,
            color: false,
            local: false,
            relative: true,
            now: now(),
        }
    }

    /// This view with the options.
    pub(super) fn with(self, display: &DisplayArgs) -> Self {
        let color = match display.color {
            ColorChoice::Auto => self.color,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        let local = display.local;
        Self { color, local, ..self }
    }

    /// This view without a limit of the width.
    pub(super) fn wide(self) -> Self {
        Self { width: None, ..self }
    }

    pub(super) fn ellipsis(&self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// A time in full: RFC 3339, in UTC or with the local offset.
    pub(super) fn exact(&self, time: Option<&Timestamp>) -> String {
        match self.local_time(time) {
            Some(local) => local.format(&Rfc3339).unwrap_or_default(),
            None => rfc3339(time),
        }
    }

    /// A time in full, truncated to seconds.
    pub(super) fn seconds(&self, time: Option<&Timestamp>) -> String {
        match self.local_time(time).and_then(|time| time.replace_nanosecond(0).ok()) {
            Some(local) => local.format(&Rfc3339).unwrap_or_default(),
            None => rfc3339_seconds(time),
        }
    }

    /// A time in a narrow column.
    pub(super) fn short(&self, time: Option<&Timestamp>) -> String {
        match (self.local_time(time), time.and_then(utc)) {
            (Some(local), _) => local.format(SECOND).unwrap_or_default(),
            (None, Some(at)) if self.relative => self.ago(at),
            _ => rfc3339_seconds(time),
        }
    }

    /// How long ago a time is; the date, for a time more than 30 days away.
    pub(super) fn ago(&self, at: OffsetDateTime) -> String {
        let away = (self.now - at).whole_seconds();
        let amount = match away.unsigned_abs() {
            seconds @ 0..60 => format!("{seconds} s"),
            seconds @ 60..3600 => format!("{} min", seconds / 60),
            seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
            seconds @ 172_800..2_592_000 => format!("{} days", seconds / 86_400),
            _ => return at.format(DAY).unwrap_or_default(),
        };
        if away < 0 {
            format!("in {amount}")
        } else {
            format!("{amount} ago")
        }
    }

    /// A time in the time zone of this machine, with its offset; in UTC, if the OS does not know the zone.
    pub(super) fn of_this_machine(&self, time: &Timestamp) -> String {
        Self { local: true, ..*self }.seconds(Some(time))
    }

    /// The time in the time zone of this machine; `None` without --local, or if the OS does not know the zone.
    fn local_time(&self, time: Option<&Timestamp>) -> Option<OffsetDateTime> {
        let time = time.filter(|_| self.local).and_then(utc)?;
        time.checked_to_offset(UtcOffset::local_offset_at(time).ok()?)
    }

    /// The text in the colour of the state that it names.
    pub(super) fn colored(&self, state: &str) -> String {
        match style(state) {
            Some(style) if self.color => format!("{style}{state}{style:#}"),
            _ => state.to_owned(),
        }
    }
}

/// The colour of a state of a permission, change, call, image or entry.
fn style(state: &str) -> Option<Style> {
    let color = match state {
        "SHARED" | "SUCCEEDED" | "ACCEPTED" | "AVAILABLE" | "change.succeeded" => AnsiColor::Green,
        "PENDING" | "change.requested" => AnsiColor::Yellow,
        "UNKNOWN" | "FAILED" | "REJECTED" | "ERROR" | "change.failed" | "change.denied" => AnsiColor::Red,
        "NOT_SHARED" | "SUPERSEDED" | "change.superseded" => AnsiColor::BrightBlack,
        _ => return None,
    };
    Some(color.on_default())
}

#[cfg(test)]
mod tests {
    use time::{Duration, macros::datetime};

    use super::View;

    #[test]
    fn a_time_says_how_long_ago_it_is_and_a_distant_one_is_a_date() {
        let now = datetime!(2026-11-22 19:00:00 UTC);
        let view = View { now, ..View::plain() };
        for (away, text) in [
            (0, "0 s ago"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (3599, "59 min ago"),
            (3600, "1 h ago"),
            (172_799, "47 h ago"),
            (172_800, "2 days ago"),
            (2_591_999, "29 days ago"),
            (2_592_000, "2026-10-23"),
            (-4, "in 4 s"),
            (-3600, "in 1 h"),
        ] {
            assert_eq!(view.ago(now - Duration::seconds(away)), text);
        }
    }
}
