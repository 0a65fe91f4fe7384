//! Whether one account in one Region is called at all: a circuit that opens when AWS does not answer, so that a dead endpoint
//! is not hammered. Pure.
//!
//! After so many calls in a row without an answer (not sent, timed out, reset, 5xx) it opens: no calls for a cool-down. Then
//! one change may try; if AWS answers, whatever it says, the circuit is closed; if not, the next cool-down is twice as long.

use std::time::Duration;

use crate::clock::MonotonicInstant;

/// When a circuit opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct CircuitSettings {
    /// After so many calls in a row without an answer. 1 or more.
    pub failures: u32,
    /// The first cool-down.
    pub cool_down: Duration,
    /// The longest.
    pub cool_down_cap: Duration,
}

/// What may be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Calls.
    All,
    /// The calls of one change, to see whether AWS answers.
    Probe,
    /// Nothing, for so long at least.
    Nothing(Duration),
}

/// The circuit.
#[derive(Debug)]
pub(super) struct Circuit {
    settings: CircuitSettings,
    state: CircuitState,
}

#[derive(Debug, Clone, Copy)]
enum CircuitState {
    Closed {
        failures: u32,
    },
    Open {
        until: MonotonicInstant,
        cool_down: Duration,
    },
    Probing {
        cool_down: Duration,
    },
}

impl Circuit {
    pub(super) fn new(settings: CircuitSettings) -> Self {
        let state = CircuitState::Closed { failures: 0 };
        Self { settings, state }
    }

    pub(super) fn allowed(&self, now: MonotonicInstant) -> Allowed {
        match self.state {
            CircuitState::Closed { .. } => Allowed::All,
            CircuitState::Open { until, .. } if until <= now => Allowed::Probe,
            CircuitState::Open { until, .. } => Allowed::Nothing(until.since(now)),
            // Nobody knows when the probe ends; should it fail, the next is not before this.
            CircuitState::Probing { cool_down } => Allowed::Nothing(cool_down),
        }
    }

    /// May a change that was begun make one more call?
    pub(super) fn lets_go_on(&self, is_probe: bool) -> bool {
        match self.state {
            CircuitState::Closed { .. } => true,
            CircuitState::Probing { .. } => is_probe,
            CircuitState::Open { .. } => false,
        }
    }

    /// True while it is not known whether AWS answers.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, CircuitState::Closed { .. })
    }

    /// The one change begins.
    pub(super) fn probe(&mut self) {
        if let CircuitState::Open { cool_down, .. } = self.state {
            self.state = CircuitState::Probing { cool_down };
        }
    }

    /// The one change is over. If AWS was not called, the next may try.
    pub(super) fn probed(&mut self, now: MonotonicInstant) {
        if let CircuitState::Probing { cool_down } = self.state {
            self.state = CircuitState::Open { until: now, cool_down };
        }
    }

    /// AWS answered. True when this closed the circuit.
    pub(super) fn answered(&mut self) -> bool {
        let was_open = self.is_open();
        self.state = CircuitState::Closed { failures: 0 };
        was_open
    }

    /// AWS did not answer a call, of the probe or of another change. Tells the cool-down if this opened the circuit.
    pub(super) fn unanswered(&mut self, is_probe: bool, now: MonotonicInstant) -> Option<Duration> {
        let CircuitSettings {
            failures: most,
            cool_down: first,
            cool_down_cap: longest,
        } = self.settings;
        let cool_down = match &mut self.state {
            CircuitState::Closed { failures } => {
                *failures += 1;
                (*failures >= most).then_some(first)
            }
            CircuitState::Probing { cool_down } if is_probe => Some((*cool_down * 2).min(longest)),
            // Begun before the circuit opened: nothing new.
            CircuitState::Probing { .. } | CircuitState::Open { .. } => None,
        }?;
        let until = now.plus(cool_down);
        self.state = CircuitState::Open { until, cool_down };
        Some(cool_down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, domain::Timestamp};

    fn at(seconds: u64) -> MonotonicInstant {
        let start = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap()).monotonic_now();
        start.plus(Duration::from_secs(seconds))
    }

    fn nothing(seconds: u64) -> Allowed {
        Allowed::Nothing(Duration::from_secs(seconds))
    }

    fn circuit() -> Circuit {
        Circuit::new(CircuitSettings {
            failures: 3,
            cool_down: Duration::from_secs(4),
            cool_down_cap: Duration::from_secs(10),
        })
    }

    fn open() -> Circuit {
        let mut circuit = circuit();
        (0..3).for_each(|_| {
            circuit.unanswered(false, at(0));
        });
        circuit
    }

    #[test]
    fn it_opens_after_calls_in_a_row_without_an_answer_and_one_answer_begins_the_row_anew() {
        let mut circuit = circuit();
        assert_eq!(circuit.unanswered(false, at(0)), None);
        assert_eq!(circuit.unanswered(false, at(0)), None);
        assert!(!circuit.answered());
        assert_eq!(circuit.unanswered(false, at(0)), None);
        assert_eq!(circuit.unanswered(false, at(0)), None);
        assert_eq!(circuit.allowed(at(0)), Allowed::All);
        assert_eq!(circuit.unanswered(false, at(1)), Some(Duration::from_secs(4)));
        assert_eq!(circuit.allowed(at(2)), nothing(3));
    }

    #[test]
    fn after_a_cool_down_one_change_tries_and_each_failure_doubles_the_next_one() {
        let mut circuit = open();
        let mut now = 4;
        for cool_down in [8, 10, 10] {
            assert_eq!(circuit.allowed(at(now)), Allowed::Probe);
            circuit.probe();
            assert!(matches!(circuit.allowed(at(now)), Allowed::Nothing(_)), "one at a time");
            assert_eq!(circuit.unanswered(true, at(now)), Some(Duration::from_secs(cool_down)));
            circuit.probed(at(now));
            assert_eq!(circuit.allowed(at(now)), nothing(cool_down), "the failure stands");
            now += cool_down;
        }
    }

    #[test]
    fn an_answer_closes_it_even_one_to_a_call_from_before() {
        let mut circuit = open();
        assert!(circuit.answered());
        assert_eq!(circuit.allowed(at(0)), Allowed::All);
    }

    #[test]
    fn calls_from_before_it_opened_do_not_lengthen_the_cool_down() {
        let mut circuit = open();
        assert_eq!(circuit.unanswered(false, at(3)), None);
        assert_eq!(circuit.allowed(at(3)), nothing(1));
        circuit.probe();
        assert_eq!(circuit.unanswered(false, at(5)), None);
        assert!(circuit.lets_go_on(true) && !circuit.lets_go_on(false));
    }

    #[test]
    fn a_probe_that_made_no_call_leaves_its_place_to_another() {
        let mut circuit = open();
        circuit.probe();
        circuit.probed(at(5));
        assert_eq!(circuit.allowed(at(5)), Allowed::Probe);
    }
}
