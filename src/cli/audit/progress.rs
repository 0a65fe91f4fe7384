//! The progress bar of a long command.

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::console::Console;

/// A progress bar on a terminal; hidden if standard error is not a terminal.
pub(super) struct ProgressMeter {
    bar: ProgressBar,
    done: u64,
}

/// The bar moves once for this number of entries, because a command can process a million of them in a second.
const STEP: u64 = 4096;

impl ProgressMeter {
    pub(super) fn new(console: &Console<'_>, what: &str) -> Self {
        let bar = if console.has_progress() {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        let chars = if console.has_unicode() {
            "█▉▊▋▌▍▎▏ "
        } else {
            "#> "
        };
        let template = "{msg} [{bar:30}] {human_pos}/{human_len} entries, {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars(chars));
        }
        bar.set_message(what.to_owned());
        Self { bar, done: 0 }
    }

    pub(super) fn total(&self, total: u64) {
        self.bar.set_length(total);
    }

    pub(super) fn done(&mut self, done: u64) {
        if done >= self.done + STEP || done < self.done {
            self.done = done;
            self.bar.set_position(done);
        }
    }
}

impl Drop for ProgressMeter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
