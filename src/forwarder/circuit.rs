//! A circuit breaker for one account in one Region: it stops calls while AWS does not answer. Pure.
//!
//! The circuit opens after `forwarder.circuit_failures` calls in a row without an answer (not sent, timed out, reset, 5xx). While
//! it is open no call starts. After a cool-down one change probes the endpoint. Any answer closes the circuit, a refusal
//! too. If the probe gets no answer, the next cool-down is twice as long.

use std::time::Duration;

use crate::{clock::MonotonicInstant, config::ForwarderConfig};

/// Which calls may start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Calls for any change.
    All,
    /// Calls for one change, which probes whether AWS answers.
    Probe,
    /// No call, for at least this time.
    Nothing(Duration),
}

#[derive(Debug)]
pub(super) struct Circuit {
    settings: ForwarderConfig,
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
    pub(super) fn new(settings: ForwarderConfig) -> Self {
        let state = CircuitState::Closed { failures: 0 };
        Self { settings, state }
    }

    pub(super) fn allowed(&self, now: MonotonicInstant) -> Allowed {
        match self.state {
            CircuitState::Closed { .. } => Allowed::All,
            CircuitState::Open { until, .. } if until <= now => Allowed::Probe,
            CircuitState::Open { until, .. } => Allowed::Nothing(until.since(now)),
            // The end of the probe is unknown. If it fails, the next probe waits at least this long.
            CircuitState::Probing { cool_down } => Allowed::Nothing(cool_down),
        }
    }

    /// True if a change in progress may make one more call.
    pub(super) fn allows_call(&self, is_probe: bool) -> bool {
        match self.state {
            CircuitState::Closed { .. } => true,
            CircuitState::Probing { .. } => is_probe,
            CircuitState::Open { .. } => false,
        }
    }

    /// True until AWS answers again.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, CircuitState::Closed { .. })
    }

    pub(super) fn begin_probe(&mut self) {
        if let CircuitState::Open { cool_down, .. } = self.state {
            self.state = CircuitState::Probing { cool_down };
        }
    }

    /// Ends the probe. If it made no call, the next change may probe at once.
    pub(super) fn end_probe(&mut self, now: MonotonicInstant) {
        if let CircuitState::Probing { cool_down } = self.state {
            self.state = CircuitState::Open { until: now, cool_down };
        }
    }

    /// Records an answer of AWS. Returns true if it closed the circuit.
    pub(super) fn record_answer(&mut self) -> bool {
        let was_open = self.is_open();
        self.state = CircuitState::Closed { failures: 0 };
        was_open
    }

    /// Records a call without an answer. Returns the cool-down if it opened the circuit.
    pub(super) fn record_no_answer(&mut self, is_probe: bool, now: MonotonicInstant) -> Option<Duration> {
        let cool_down = match &mut self.state {
            CircuitState::Closed { failures } => {
                *failures += 1;
                (*failures >= self.settings.circuit_failures).then_some(self.settings.circuit_cool_down)
            }
            CircuitState::Probing { cool_down } if is_probe => {
                Some((*cool_down * 2).min(self.settings.circuit_cool_down_cap))
            }
            // The call began before the circuit opened, so it says nothing new.
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
        Circuit::new(ForwarderConfig {
            circuit_failures: 3,
            circuit_cool_down: Duration::from_secs(4),
            circuit_cool_down_cap: Duration::from_secs(10),
            ..ForwarderConfig::default()
        })
    }

    fn open() -> Circuit {
        let mut circuit = circuit();
        (0..3).for_each(|_| {
            circuit.record_no_answer(false, at(0));
        });
        circuit
    }

    #[test]
    fn it_opens_after_calls_in_a_row_without_an_answer_and_one_answer_resets_the_count() {
        let mut circuit = circuit();
        assert_eq!(circuit.record_no_answer(false, at(0)), None);
        assert_eq!(circuit.record_no_answer(false, at(0)), None);
        assert!(!circuit.record_answer());
        assert_eq!(circuit.record_no_answer(false, at(0)), None);
        assert_eq!(circuit.record_no_answer(false, at(0)), None);
        assert_eq!(circuit.allowed(at(0)), Allowed::All);
        assert_eq!(circuit.record_no_answer(false, at(1)), Some(Duration::from_secs(4)));
        assert_eq!(circuit.allowed(at(2)), nothing(3));
    }

    #[test]
    fn after_a_cool_down_one_change_probes_and_each_failed_probe_doubles_the_cool_down() {
        let mut circuit = open();
        let mut now = 4;
        for cool_down in [8, 10, 10] {
            assert_eq!(circuit.allowed(at(now)), Allowed::Probe);
            circuit.begin_probe();
            assert!(
                matches!(circuit.allowed(at(now)), Allowed::Nothing(_)),
                "one probe at a time"
            );
            assert_eq!(
                circuit.record_no_answer(true, at(now)),
                Some(Duration::from_secs(cool_down))
            );
            circuit.end_probe(at(now));
            assert_eq!(
                circuit.allowed(at(now)),
                nothing(cool_down),
                "the end of a failed probe changes nothing"
            );
            now += cool_down;
        }
    }

    #[test]
    fn an_answer_closes_it_even_to_a_call_that_began_before_it_opened() {
        let mut circuit = open();
        assert!(circuit.record_answer());
        assert_eq!(circuit.allowed(at(0)), Allowed::All);
    }

    #[test]
    fn calls_that_began_before_it_opened_do_not_lengthen_the_cool_down() {
        let mut circuit = open();
        assert_eq!(circuit.record_no_answer(false, at(3)), None);
        assert_eq!(circuit.allowed(at(3)), nothing(1));
        circuit.begin_probe();
        assert_eq!(circuit.record_no_answer(false, at(5)), None);
        assert!(circuit.allows_call(true) && !circuit.allows_call(false));
    }

    #[test]
    fn after_a_probe_that_made_no_call_another_change_may_probe() {
        let mut circuit = open();
        circuit.begin_probe();
        circuit.end_probe(at(5));
        assert_eq!(circuit.allowed(at(5)), Allowed::Probe);
    }
}
