//! Checks the ledgers alone.
//!
//! P2: a change has one request, then one end. Other requests join it in between. P4: generations increase in the
//! order of the ledger. P5: a request id belongs to one change, and AWS accepts a change once.

use std::collections::HashMap;

use super::{super::history::*, LedgerChanges, Violations};

pub(super) fn check(history: &History, changes: &LedgerChanges<'_>, violations: &mut Violations) {
    let mut stages: HashMap<(&str, &str), Vec<(Stage, u64)>> = HashMap::new();
    let mut requests: HashMap<(&str, &str), &str> = HashMap::new();
    let mut generations: HashMap<ImagePermission, u64> = HashMap::new();
    for entry in history.ledgers.iter().flat_map(|ledger| &ledger.entries) {
        let Some(id) = entry.change_id.as_deref() else {
            continue;
        };
        let stage = (entry.stage, entry.log_index);
        stages.entry((&entry.account_id, id)).or_default().push(stage);
        let accepted = entry.attempts.iter().filter(|attempt| is_accepted_update(attempt));
        if accepted.count() > 1 {
            let at = place(entry);
            violations.add("P5", format!("{at}: AWS accepted change {id} more than once"));
        }
        if !matches!(entry.stage, Stage::Requested | Stage::Joined) {
            continue;
        }
        let before = requests.insert((&entry.account_id, &entry.request_id), id);
        if before.is_some_and(|before| before != id) {
            let (at, before) = (place(entry), before.unwrap_or_default());
            violations.add(
                "P5",
                format!(
                    "{at}: request id {} belongs to two changes, {before} and {id}",
                    entry.request_id
                ),
            );
        }
        if entry.stage == Stage::Joined {
            continue;
        }
        let last = generations.entry(entry.permission()).or_default();
        match entry.generation {
            Some(generation) if generation > *last => *last = generation,
            _ => violations.add(
                "P4",
                format!("{}: generation {:?} after {last}", place(entry), entry.generation),
            ),
        }
    }
    for ((account, id), stages) in &stages {
        let begun = stages.first().is_some_and(|(stage, _)| *stage == Stage::Requested);
        let ended = stages.last().is_some_and(|(stage, _)| stage.is_terminal());
        let joined = stages.iter().filter(|(stage, _)| *stage == Stage::Joined).count();
        if !begun || !ended || stages.len() != 2 + joined {
            violations.add("P2", format!("change {id} of {account} has the entries {stages:?}"));
        }
    }
    for change in changes.all() {
        for joined in &change.joined {
            if joined.permission() != change.requested.permission() || joined.action != change.requested.action {
                violations.add(
                    "P5",
                    format!(
                        "{}: joins change {}, which is for another permission or action",
                        place(joined),
                        change.id
                    ),
                );
            }
        }
        if let Some(end) = change.terminal
            && (end.request_id != change.requested.request_id
                || end.permission() != change.requested.permission()
                || end.action != change.requested.action)
        {
            violations.add(
                "P2",
                format!(
                    "{}: ends change {}, which has another request, permission or action",
                    place(end),
                    change.id
                ),
            );
        }
    }
}

fn is_accepted_update(attempt: &RecordedAttempt) -> bool {
    attempt.operation == super::calls::UPDATE && attempt.classification == "ACCEPTED"
}

pub(super) fn place(entry: &LedgerEntry) -> String {
    format!("entry {} of {}", entry.log_index, entry.account_id)
}
