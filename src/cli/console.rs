//! The outputs of a command: answers on standard output, notes on standard error.

use std::{
    fmt::Display,
    io::{BufRead, Write},
};

use serde::Serialize;
use terminal_size::{Width, terminal_size_of};

use super::{
    audit::time_arg::now,
    cell::TableRow,
    connection::Silence,
    failure::{Exit, Failure, Stop},
    json,
    live_line::{SilenceNote, WaitingLine},
    options::ClientOptions,
    pager,
    table::{self, Fit},
    view::{DisplayArgs, View},
};

/// The outputs of a command. Answers and notes are separate, so that answers can be piped.
pub struct Console<'a> {
    out: &'a mut (dyn Write + Send),
    notes: &'a mut (dyn Write + Send),
    view: View,
    pager: Option<String>,
    progress: bool,
    answers: Option<Box<dyn BufRead + Send>>,
    waiting: Option<WaitingLine>,
    silence: SilenceNote,
}

impl<'a> Console<'a> {
    /// Answers go to `out` (standard output), notes to `notes` (standard error). The output is not a terminal.
    pub fn new(out: &'a mut (dyn Write + Send), notes: &'a mut (dyn Write + Send)) -> Self {
        Self {
            out,
            notes,
            view: View::plain(),
            pager: None,
            progress: false,
            answers: None,
            waiting: None,
            silence: SilenceNote::default(),
        }
    }

    /// The output is a terminal with this number of columns, which tables fit; `None`: it is not a terminal.
    pub fn with_width(mut self, width: Option<u16>) -> Self {
        self.view.width = width;
        self
    }

    /// Allows characters beyond ASCII in bars, and as the sign of a cut text.
    pub fn with_unicode(mut self, unicode: bool) -> Self {
        self.view.unicode = unicode;
        self
    }

    /// Colours states, unless --color says otherwise.
    pub fn with_color(mut self, color: bool) -> Self {
        self.view.color = color;
        self
    }

    /// The command line of the pager that shows lists on a terminal, unless --no-pager is given.
    pub fn with_pager(mut self, pager: Option<String>) -> Self {
        self.pager = pager;
        self
    }

    /// Shows a progress bar of long commands on standard error.
    pub fn with_progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    /// Applies the display options of the command line.
    pub fn with_display(mut self, options: &ClientOptions) -> Self {
        self.set_display(&options.display);
        self
    }

    /// Applies the options of the command line.
    pub(super) fn set_display(&mut self, display: &DisplayArgs) {
        self.view = self.view.with(display);
        self.pager = self.pager.take().filter(|_| display.uses_pager());
    }

    /// Allows questions, which are answered on `answers` (standard input).
    pub fn with_answers(mut self, answers: Option<Box<dyn BufRead + Send>>) -> Self {
        self.answers = answers;
        self
    }

    /// True if somebody can answer a question.
    pub(super) fn can_ask(&self) -> bool {
        self.answers.is_some()
    }

    /// Says what the command waits for, if nothing is printed for a second.
    pub(super) fn wait_for(&mut self, what: String) {
        self.waiting = self.progress.then(|| WaitingLine::begin(what));
    }

    /// Ends the line of [`wait_for`](Self::wait_for). Another line or a bar takes its place.
    pub(super) fn end_waiting(&self) {
        self.waiting.iter().for_each(WaitingLine::end);
    }

    /// From now on, live lines and bars say when the calls of a client get no answer.
    pub(super) fn watch_silence(&mut self, silence: Silence) {
        self.silence = SilenceNote::new(silence);
    }

    /// What live lines and bars say about calls without an answer.
    pub(super) fn silence(&self) -> SilenceNote {
        self.silence.clone()
    }

    /// What the command waits for. Empty if that was not said.
    pub(super) fn waiting_text(&self) -> String {
        self.waiting.as_ref().map(WaitingLine::text).unwrap_or_default()
    }

    /// Asks a question on standard error. True for `y` and `yes`.
    pub(super) fn ask(&mut self, question: impl Display) -> Result<bool, Stop> {
        let Some(answers) = &mut self.answers else {
            return Ok(false);
        };
        // A closed standard error is not an error: without a question there is no answer.
        let _ = write!(self.notes, "{question}").and_then(|()| self.notes.flush());
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
    }

    pub(super) fn has_unicode(&self) -> bool {
        self.view.unicode
    }

    pub(super) fn has_progress(&self) -> bool {
        self.progress
    }

    /// Counts how long ago times are from now on: the command has waited.
    pub(super) fn has_waited(&mut self) {
        self.view.now = now();
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn print(&mut self, text: impl Display) -> Result<(), Stop> {
        self.end_waiting();
        write!(self.out, "{text}").map_err(Stop::from)
    }

    pub(super) fn print_line(&mut self, text: impl Display) -> Result<(), Stop> {
        self.end_waiting();
        writeln!(self.out, "{text}").map_err(Stop::from)
    }

    /// Prints a list: through the pager, if there is one.
    pub(super) fn print_list(&mut self, text: &str) -> Result<(), Stop> {
        self.end_waiting();
        let pager = self.pager.as_deref().filter(|_| !text.is_empty());
        if pager.is_some_and(|pager| pager::show(pager, text).unwrap_or(false)) {
            return Ok(());
        }
        self.print(text)
    }

    pub(super) fn print_json(&mut self, message: &impl Serialize) -> Result<(), Stop> {
        let json = json::value(message).map_err(|error| unprintable(&error))?;
        self.print_line(format_args!("{json:#}"))
    }

    /// A list as it fits the terminal. A narrow one does without these columns, the first one first.
    pub fn list_text(&self, rows: &[TableRow], dispensable: &[&'static str]) -> String {
        table::list(rows, Fit::Columns(dispensable), &self.view).text
    }

    /// Prints a note. A closed standard error is not an error.
    pub(super) fn note(&mut self, text: impl Display) {
        self.end_waiting();
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
    let (Width(width), _) = terminal_size_of(std::io::stdout())?;
    // Some terminals do not tell their size.
    Some(if width == 0 { 80 } else { width })
}

/// True if states may be coloured on standard output: it is a terminal that can, and NO_COLOR is not set.
pub fn colors_stdout() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
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
