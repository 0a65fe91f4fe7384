//! Checks an upgrade (P15): a replica is ready at each moment, `finalize` is refused while an old replica runs, and after
//! it no old replica is ready or writes.

use super::{
    super::history::{Build, UpgradeHistory},
    Violations,
};

const PROMISE: &str = "P15";

pub(super) fn check(history: &UpgradeHistory, violations: &mut Violations) {
    for gap in &history.readiness.gaps {
        let what = match gap.to {
            Some(to) => format!("no replica was ready for {} from {} on", to - gap.from, gap.from),
            None => format!("no replica was ready from {} on", gap.from),
        };
        violations.add(PROMISE, what);
    }
    let tried_too_early = || {
        history
            .owner
            .iter()
            .filter(|run| run.what == "finalize" && run.old_was_ready)
    };
    if tried_too_early().any(|run| run.error.is_none()) {
        violations.add(PROMISE, "finalize was accepted while an old replica was ready".into());
    }
    if tried_too_early().next().is_none() {
        violations.add("P0", "finalize was never tried while an old replica was ready".into());
    }
    let Some(finalized_at) = history.finalized_at() else {
        return violations.add(PROMISE, "finalize was never accepted".into());
    };
    let last_ready = history.readiness.last_ready.get(&Build::Old);
    if let Some(at) = last_ready.filter(|at| **at > finalized_at) {
        violations.add(
            PROMISE,
            format!("an old replica was ready at {at}, after finalize at {finalized_at}"),
        );
    }
    for (number, writes) in &history.writes {
        if history.builds[*number] == Build::Old && writes.last_at > finalized_at {
            let at = writes.last_at;
            violations.add(
                PROMISE,
                format!("the old replica {number} wrote at {at}, after finalize at {finalized_at}"),
            );
        }
    }
}
