//! The progress bar of a long command. It is on standard error, and only there if that is a terminal.

use std::{fmt::Display, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::Console;

/// How often the bar is drawn while nothing moves.
const TICK: Duration = Duration::from_millis(500);

/// A progress bar on a terminal; hidden if standard error is not a terminal. It disappears when it is dropped.
pub struct ProgressMeter {
    bar: ProgressBar,
    is_shown: bool,
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
        if let Ok(style) = ProgressStyle::with_template(&format!("{{msg}} [{{wide_bar}}] {count}, {{eta}} left")) {
            bar.set_style(style.progress_chars(chars));
        }
        bar.set_message(what.to_owned());
        Self { bar, is_shown: true }
    }

    /// Sets the number that is to be done, and shows the bar if it is not 0.
    pub fn total(&self, total: u64) {
        self.bar.set_length(total);
        if self.is_shown && total > 0 {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.tick();
            self.bar.enable_steady_tick(TICK);
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
