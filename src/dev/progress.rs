//! What `dev` does while it starts: one line on standard error for each step, with the time since the start.

use std::{fmt::Display, io};

use crate::clock::{Clock, MonotonicInstant};

/// Prints the steps of a start.
pub(super) struct StartProgress<'a> {
    notes: &'a mut (dyn io::Write + Send),
    clock: Clock,
    began: MonotonicInstant,
}

impl<'a> StartProgress<'a> {
    pub(super) fn new(notes: &'a mut (dyn io::Write + Send)) -> Self {
        let clock = Clock::system();
        let began = clock.monotonic_now();
        Self { notes, clock, began }
    }

    /// Says what begins now.
    pub(super) fn say(&mut self, step: impl Display) {
        let seconds = self.clock.monotonic_now().since(self.began).as_secs_f64();
        // A closed standard error is no reason to stop.
        let _ = writeln!(self.notes, "[{seconds:5.1} s] {step}").and_then(|()| self.notes.flush());
    }
}
