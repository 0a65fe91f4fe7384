//! The independent checker: are the promises P1 to P8 kept in a history? Pure, and written without a look at how the service
//! keeps them.
//!
//! Wall clocks are compared only among the simulator, Postgres and the callers, which are on one machine. What the call log
//! orders by its ticks is compared by ticks. Where an instant is known only as lying between two others, the checker gives
//! the benefit of the doubt, so that a violation is one.
//!
//! [`Changes`] joins the ledgers' entries to changes; `calls`, `endings`, `answers` and `world` hold the rules.

mod answers;
mod calls;
mod changes;
mod endings;
#[cfg(test)]
mod tests;
mod world;

use super::history::History;
pub use calls::UPDATE;
use changes::Changes;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise's number: P1 to P8, or P0 for what must hold of any server.
    pub promise: &'static str,
    /// What is wrong, with the numbers of the entries and calls.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// Everything that is wrong with a history.
pub fn check(history: &History) -> Vec<Violation> {
    let changes = Changes::of(history);
    let mut found = Found::default();
    for complaint in &history.complaints {
        found.add("P0", complaint.clone());
    }
    for ledger in &history.ledgers {
        for wrong in &ledger.wrong {
            found.add("P4", format!("ledger {}: {wrong}", ledger.account));
        }
    }
    endings::check(history, &changes, &mut found);
    calls::check(history, &changes, &mut found);
    world::check(history, &changes, &mut found);
    answers::check(history, &changes, &mut found);
    found.0
}

/// Where the rules put what they find.
#[derive(Debug, Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, promise: &'static str, what: String) {
        self.0.push(Violation { promise, what });
    }
}
