//! The outputs of a command: answers on standard output, notes on standard error.

use std::{fmt::Display, io::Write};

use comfy_table::Table;
use serde::Serialize;

use super::{
    failure::{Exit, Failure, Stop},
    json,
};

/// The outputs of a command. Answers and notes are separate, so that answers can be piped.
pub struct Console<'a> {
    out: &'a mut (dyn Write + Send),
    notes: &'a mut (dyn Write + Send),
    width: Option<u16>,
    unicode: bool,
    progress: bool,
}

impl<'a> Console<'a> {
    /// Answers go to `out` (standard output), notes to `notes` (standard error). Tables do not wrap.
    pub fn new(out: &'a mut (dyn Write + Send), notes: &'a mut (dyn Write + Send)) -> Self {
        Self {
            out,
            notes,
            width: None,
            unicode: false,
            progress: false,
        }
    }

    /// Wraps tables to this number of columns; `None` does not wrap.
    pub fn with_width(mut self, width: Option<u16>) -> Self {
        self.width = width;
        self
    }

    /// Allows characters beyond ASCII in bars.
    pub fn with_unicode(mut self, unicode: bool) -> Self {
        self.unicode = unicode;
        self
    }

    /// Shows a progress bar of long commands on standard error.
    pub fn with_progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    pub(super) fn has_unicode(&self) -> bool {
        self.unicode
    }

    pub(super) fn has_progress(&self) -> bool {
        self.progress
    }

    pub(super) fn width(&self) -> Option<u16> {
        self.width
    }

    pub(super) fn print(&mut self, text: impl Display) -> Result<(), Stop> {
        write!(self.out, "{text}").map_err(Stop::from)
    }

    pub(super) fn print_line(&mut self, text: impl Display) -> Result<(), Stop> {
        writeln!(self.out, "{text}").map_err(Stop::from)
    }

    pub(super) fn print_json(&mut self, message: &impl Serialize) -> Result<(), Stop> {
        let json = json::value(message).map_err(|error| unprintable(&error))?;
        self.print_line(format_args!("{json:#}"))
    }

    /// Prints a note. A closed standard error is not an error.
    pub(super) fn note(&mut self, text: impl Display) {
        let _ = writeln!(self.notes, "{text}");
    }

    pub(super) fn flush(&mut self) -> Result<(), Stop> {
        self.out.flush().map_err(Stop::from)
    }
}

/// The failure for an answer with a value that this client does not know, such as a new state.
pub(super) fn unprintable(error: &serde_json::Error) -> Failure {
    Failure::new(
        Exit::General,
        format!("the answer cannot be written as JSON: {error}"),
        "use a client as new as the service",
    )
}

/// The width of the terminal of standard output, in columns; `None` if standard output is not a terminal.
pub fn terminal_width() -> Option<u16> {
    Table::new().width()
}

/// True if the locale's encoding is UTF-8.
#[expect(
    clippy::disallowed_methods,
    reason = "the locale is a property of the terminal, like its width; it is not configuration"
)]
pub fn locale_is_utf8() -> bool {
    // POSIX: the first variable that is not empty is the one to use.
    let locales = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| std::env::var(name).unwrap_or_default());
    let locale = locales
        .into_iter()
        .find(|locale| !locale.is_empty())
        .unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.ends_with("utf-8") || locale.ends_with("utf8")
}
