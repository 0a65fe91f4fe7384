//! The progress bar of a long command. It is on standard error, and only there if that is a terminal.

use std::{
    fmt::{self, Display},
    sync::{
        OnceLock,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::console::Console;

/// How long a command works without a bar: a bar for less would only flash.
const DELAY: Duration = Duration::from_millis(400);
/// How often the bar is drawn while nothing moves.
const TICK: Duration = Duration::from_millis(500);

/// A progress bar on a terminal; hidden if standard error is not a terminal. It disappears when it is dropped.
pub struct ProgressMeter {
    bar: ProgressBar,
    is_shown: bool,
    /// Its end ends the wait for [`DELAY`].
    begun: OnceLock<Sender<()>>,
}

impl ProgressMeter {
    /// A bar that counts `unit` (a plural noun).
    pub fn of(console: &Console<'_>, what: &str, unit: &str) -> Self {
        Self::new(console, what, &format!("{{human_pos}}/{{human_len}} {unit}"))
    }

    /// A bar that counts steps, and shows them as a percentage.
    pub fn of_steps(console: &Console<'_>, what: &str) -> Self {
        Self::new(console, what, "{percent}%")
    }

    pub(super) fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            is_shown: false,
            begun: OnceLock::new(),
        }
    }

    fn new(console: &Console<'_>, what: &str, count: &str) -> Self {
        if !console.has_progress() {
            return Self::hidden();
        }
        console.end_waiting();
        // Without a total a bar would be full, so it is drawn from `total` on.
        let bar = ProgressBar::hidden();
        let chars = if console.has_unicode() {
            "█▉▊▋▌▍▎▏ "
        } else {
            "#> "
        };
        let silence = console.silence();
        let rest = move |state: &ProgressState, out: &mut dyn fmt::Write| {
            // Before the first step the time is not known.
            if state.pos() > 0 {
                let _ = write!(out, ", {:#} left", HumanDuration(state.eta()));
            }
            let _ = out.write_str(&silence.text());
        };
        if let Ok(style) = ProgressStyle::with_template(&format!("{{msg}} [{{wide_bar}}] {count}{{rest}}")) {
            bar.set_style(style.progress_chars(chars).with_key("rest", rest));
        }
        bar.set_message(what.to_owned());
        Self {
            bar,
            is_shown: true,
            begun: OnceLock::new(),
        }
    }

    /// Sets the number that is to be done. If it is not 0, the bar appears after [`DELAY`].
    pub fn total(&self, total: u64) {
        self.bar.set_length(total);
        if self.is_shown && total > 0 {
            self.begun.get_or_init(|| show_after_delay(self.bar.clone()));
        }
    }

    /// Sets the number that is done. May be called often: the bar limits its drawing.
    pub fn done(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Prints a note above the bar.
    pub(super) fn note(&self, console: &mut Console<'_>, text: impl Display) {
        self.bar.suspend(|| console.note(text));
    }
}

impl Drop for ProgressMeter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Shows the bar after [`DELAY`], unless the sender is dropped. A thread waits, because some commands work on those of the
/// runtime.
fn show_after_delay(bar: ProgressBar) -> Sender<()> {
    let (begun, end) = channel();
    thread::spawn(move || {
        if end.recv_timeout(DELAY) == Err(RecvTimeoutError::Timeout) && !bar.is_finished() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.tick();
            bar.enable_steady_tick(TICK);
        }
    });
    begun
}
