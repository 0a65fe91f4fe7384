//! The independent checker: does a history keep the promises P1 to P8, P10 to P15? It has no I/O, and was written without
//! using the service's own logic.
//!
//! Wall clocks are compared only among the simulator, Postgres and the clients, which run on one machine. Events of
//! the call log are compared by their ticks. If only a range is known for an instant, the checker assumes the
//! favourable one, so that each reported violation is real.
//!
//! [`LedgerChanges`] groups entries by change. `calls`, `ledgers`, `answers`, `requests`, `aws_state`, `policies`, `ends`,
//! `drift` and `upgrade` have the rules. `evaluation` decides as a policy set does.

mod answers;
mod aws_state;
mod calls;
mod changes;
mod drift;
mod ends;
mod evaluation;
mod ledgers;
mod policies;
mod requests;
#[cfg(test)]
mod tests;
mod upgrade;

use changes::LedgerChanges;

use super::history::History;
pub use answers::resolves;
pub use calls::UPDATE;
pub use policies::judged;
pub use requests::{RequestStory, stories};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// P1 to P15, or P0 for what must hold for any server.
    pub promise: &'static str,
    /// What is wrong, with the numbers of entries and calls.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// All violations in a history.
pub fn check(history: &History) -> Vec<Violation> {
    let changes = LedgerChanges::of(history);
    let mut violations = Violations::default();
    for complaint in &history.complaints {
        violations.add("P0", complaint.clone());
    }
    for ledger in &history.ledgers {
        for wrong in &ledger.wrong {
            violations.add("P4", format!("ledger {}: {wrong}", ledger.account));
        }
    }
    ledgers::check(history, &changes, &mut violations);
    calls::check(history, &changes, &mut violations);
    aws_state::check(history, &changes, &mut violations);
    answers::check(history, &changes, &mut violations);
    requests::check(history, &mut violations);
    policies::check(history, &changes, &mut violations);
    ends::check(history, &changes, &mut violations);
    drift::check(history, &changes, &mut violations);
    if let Some(upgrade) = &history.upgrade {
        upgrade::check(upgrade, &mut violations);
    }
    violations.0
}

#[derive(Debug, Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, promise: &'static str, what: String) {
        self.0.push(Violation { promise, what });
    }
}
