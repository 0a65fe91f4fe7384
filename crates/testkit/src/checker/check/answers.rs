//! Checks the responses to clients against the ledgers.
//!
//! P3: a change has ended on record before a response says so. P5: a request id belongs to one change, and reuse for
//! other content is refused. P7: no call takes longer than its maximum. P8: a reported end never changes, on any
//! replica.

use std::collections::{BTreeSet, HashMap};

use time::OffsetDateTime;

use super::{super::history::*, LedgerChanges, Violations, changes::LedgerChange, ends};

pub(super) fn check(history: &History, changes: &LedgerChanges<'_>, violations: &mut Violations) {
    let mut of_request: HashMap<(&str, &str), &str> = HashMap::new();
    for answer in &history.answers {
        let (request, at) = (&answer.request, answer.answered_at);
        let account = request.permission.account.as_str();
        let took = at - answer.asked_at;
        if took > history.longest_answer {
            violations.add("P7", format!("the call took {took}: {answer:?}"));
        }
        let named = match &answer.told {
            RpcOutcome::Ok { change_id } => {
                says(answer, change_id, Some(Stage::Succeeded), changes, violations);
                change_id
            }
            RpcOutcome::Refused {
                reason,
                change_id,
                is_recorded,
                message,
                ..
            } => {
                has_no_internal_details(message, violations);
                match (meaning(reason), change_id) {
                    (Meaning::Ended(stage), Some(id)) => {
                        says(answer, id, Some(stage), changes, violations);
                        same_failure(answer, reason, id, stage, changes, violations);
                        id
                    }
                    (Meaning::Accepted, Some(id)) => {
                        says(answer, id, None, changes, violations);
                        id
                    }
                    (Meaning::Reused, Some(id)) => {
                        was_reused(answer, id, changes, violations);
                        continue;
                    }
                    // It was accepted, and refused before AWS was called.
                    (Meaning::Denied, Some(id)) => {
                        says(answer, id, Some(Stage::Failed), changes, violations);
                        same_failure(answer, reason, id, Stage::Failed, changes, violations);
                        id
                    }
                    (Meaning::Denied, None) => {
                        if *is_recorded {
                            was_denied(request, at, history, violations);
                        }
                        continue;
                    }
                    (Meaning::Open, _) => continue,
                    (Meaning::Never, _) => {
                        violations.add("P0", format!("unexpected error: {answer:?}"));
                        continue;
                    }
                    (_, None) => {
                        violations.add("P8", format!("error without a change id: {answer:?}"));
                        continue;
                    }
                }
            }
            RpcOutcome::Nothing { .. } => continue,
        };
        let before = of_request.insert((account, &request.request_id), named);
        if before.is_some_and(|before| before != named) {
            let (id, before) = (&request.request_id, before.unwrap_or_default());
            violations.add("P5", format!("request id {id} was answered as {before} and as {named}"));
        }
    }
    stays(history, changes, violations);
    denials_are_counted_once(history, violations);
}

/// What an error says about the change.
enum Meaning {
    Ended(Stage),
    /// The change is on record.
    Accepted,
    Reused,
    Denied,
    /// The change may be on record.
    Open,
    Never,
}

fn meaning(reason: &str) -> Meaning {
    match reason {
        "CHANGE_SUPERSEDED" => Meaning::Ended(Stage::Superseded),
        "IMAGE_NOT_FOUND"
        | "IMAGE_UNAVAILABLE"
        | "OPERATION_NOT_SUPPORTED"
        | "UPSTREAM_ACCESS_DENIED"
        | "UPSTREAM_INVALID_PARAMETER"
        | "UPSTREAM_REFUSED"
        | "UPSTREAM_THROTTLED"
        | "UPSTREAM_UNAVAILABLE" => Meaning::Ended(Stage::Failed),
        "CHANGE_PENDING" => Meaning::Accepted,
        "REQUEST_ID_REUSED" => Meaning::Reused,
        "POLICY_DENIED" => Meaning::Denied,
        "CHANGE_UNCONFIRMED" | "AUDIT_STORE_UNAVAILABLE" | "OVERLOADED" | "CALL_TIMED_OUT" | "SERVER_STOPPING" => {
            Meaning::Open
        }
        "DEADLINE_EXCEEDED" | "CANCELLED" | "UNAVAILABLE" => Meaning::Open,
        _ => Meaning::Never,
    }
}

/// True if the answer is the last one that the request can get: a repetition cannot change it.
pub fn resolves(told: &RpcOutcome) -> bool {
    match told {
        RpcOutcome::Ok { .. } => true,
        RpcOutcome::Refused { reason, .. } => {
            matches!(meaning(reason), Meaning::Ended(_) | Meaning::Reused | Meaning::Denied)
        }
        RpcOutcome::Nothing { .. } => false,
    }
}

/// The named change was opened or joined by this request, and its end, if named, was on record before the response.
fn says(answer: &RpcRecord, id: &str, end: Option<Stage>, changes: &LedgerChanges<'_>, violations: &mut Violations) {
    let request = &answer.request;
    let Some(change) = changes.get(&request.permission.account, id) else {
        return violations.add(
            "P3",
            format!("answered {:?}, and change {id} is in no ledger", answer.told),
        );
    };
    if !is_of(change, request) {
        let on_record = change.requested;
        violations.add(
            "P5",
            format!("{request:?} was answered with change {id}: {on_record:?}"),
        );
    }
    let on_record = change.request(&request.request_id).unwrap_or(change.requested);
    if on_record.recorded_at > answer.answered_at {
        violations.add(
            "P3",
            format!("answered {:?} before REQUESTED or JOINED was on record", answer.told),
        );
    }
    let Some(stage) = end else { return };
    match change.terminal {
        Some(terminal) if terminal.stage == stage && terminal.recorded_at <= answer.answered_at => {}
        other => {
            let other = other.map(|entry| (entry.stage, entry.log_index, entry.recorded_at));
            violations.add(
                "P3",
                format!(
                    "answered {:?} at {}; the ledger has {other:?}",
                    answer.told, answer.answered_at
                ),
            );
        }
    }
}

fn is_of(change: &LedgerChange<'_>, request: &ShareRequest) -> bool {
    change.request(&request.request_id).is_some_and(|entry| {
        entry.permission() == request.permission
            && entry.action == request.action
            && (&entry.reason, &entry.ticket) == (&request.reason, &request.ticket)
            && ends::is_after(entry, request.ttl)
    })
}

fn same_failure(
    answer: &RpcRecord,
    reason: &str,
    id: &str,
    stage: Stage,
    changes: &LedgerChanges<'_>,
    violations: &mut Violations,
) {
    let change = changes.get(&answer.request.permission.account, id);
    let recorded = change.and_then(|change| change.terminal?.error_reason.as_deref());
    if stage == Stage::Failed && recorded.is_some_and(|recorded| recorded != reason) {
        violations.add(
            "P3",
            format!("change {id} was answered as {reason}; the ledger has {recorded:?}"),
        );
    }
}

fn was_reused(answer: &RpcRecord, id: &str, changes: &LedgerChanges<'_>, violations: &mut Violations) {
    let change = changes.get(&answer.request.permission.account, id);
    if change
        .is_none_or(|change| change.request(&answer.request.request_id).is_none() || is_of(change, &answer.request))
    {
        violations.add(
            "P5",
            format!("{:?} was refused as a reused request id, but is not", answer.request),
        );
    }
}

fn was_denied(request: &ShareRequest, at: OffsetDateTime, history: &History, violations: &mut Violations) {
    let mut entries = history.ledgers.iter().flat_map(|ledger| &ledger.entries);
    let is_on_record = entries
        .any(|entry| entry.stage == Stage::Denied && entry.request_id == request.request_id && entry.recorded_at <= at);
    if !is_on_record {
        violations.add("P3", format!("{request:?} was denied without a record"));
    }
}

/// A refusal without an entry is counted at most once. A crash loses counts. Equal counts are one, recorded twice.
fn denials_are_counted_once(history: &History, violations: &mut Violations) {
    for ledger in &history.ledgers {
        let counts: BTreeSet<_> = ledger.denials.iter().collect();
        let counted: u64 = counts.iter().map(|denials| denials.count).sum();
        let of_account = |answer: &&RpcRecord| answer.request.permission.account == ledger.account;
        // A call whose end the client did not see may have been refused.
        let refused = history
            .answers
            .iter()
            .filter(of_account)
            .filter(|answer| match &answer.told {
                RpcOutcome::Refused {
                    reason, is_recorded, ..
                } => !is_recorded && matches!(meaning(reason), Meaning::Denied | Meaning::Open),
                RpcOutcome::Nothing { .. } => true,
                RpcOutcome::Ok { .. } => false,
            });
        let refused = refused.count() as u64;
        if counted > refused {
            let account = &ledger.account;
            violations.add(
                "P4",
                format!("{account}: {counted} denials are counted, of {refused} calls at most"),
            );
        }
    }
}

fn has_no_internal_details(message: &str, violations: &mut Violations) {
    let words = ["sqlx", "hyper", "os error", "postgres://", "arn:aws", "panicked"];
    if let Some(word) = words.iter().find(|word| message.contains(*word)) {
        violations.add("P9", format!("the error message has {word:?}: {message}"));
    }
}

/// GetChange agrees with the ledger, and never returns to an earlier state.
fn stays(history: &History, changes: &LedgerChanges<'_>, violations: &mut Violations) {
    let mut told_at: HashMap<(&str, &str), OffsetDateTime> = HashMap::new();
    for answer in &history.answers {
        if let RpcOutcome::Ok { change_id } = &answer.told {
            let at = told_at
                .entry((&answer.request.permission.account, change_id))
                .or_insert(answer.answered_at);
            *at = answer.answered_at.min(*at);
        }
    }
    for reading in &history.readings {
        let Some(change) = changes.get(&reading.account, &reading.change_id) else {
            violations.add("P8", format!("{reading:?} is of a change in no ledger"));
            continue;
        };
        if reading.state == "PENDING" {
            let told = told_at.get(&(reading.account.as_str(), reading.change_id.as_str()));
            if told.is_some_and(|told| *told < reading.asked_at) {
                violations.add("P3", format!("{reading:?}, after OK was answered at {told:?}"));
            }
            continue;
        }
        let recorded = change.terminal;
        if recorded.is_none_or(|end| end.stage.name() != reading.state || end.recorded_at > reading.read_at) {
            let recorded = recorded.map(|end| (end.stage, end.recorded_at));
            violations.add("P8", format!("{reading:?}; the ledger has {recorded:?}"));
        }
    }
}
