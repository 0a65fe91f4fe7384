//! What callers were told, compared with what the ledgers say. P3: an answer names an end that was durable by then. P5: one
//! request id has one change; other content under it is refused. P7: nobody waits without bound. P8: an end that was told
//! stays, on every replica.

use std::collections::HashMap;

use time::OffsetDateTime;

use super::super::history::*;
use super::{Changes, Found, changes::Change};

pub(super) fn check(history: &History, changes: &Changes<'_>, found: &mut Found) {
    let mut of_request: HashMap<(&str, &str), &str> = HashMap::new();
    for answer in &history.answers {
        let (request, at) = (&answer.request, answer.answered_at);
        let account = request.permission.account.as_str();
        let took = at - answer.asked_at;
        if took > history.longest_answer {
            found.add("P7", format!("an answer took {took}: {answer:?}"));
        }
        let named = match &answer.told {
            Told::Ok { change_id } => {
                says(answer, change_id, Some(Stage::Succeeded), changes, found);
                change_id
            }
            Told::Refused {
                reason,
                change_id,
                message,
                ..
            } => {
                told_no_secrets(message, found);
                match (meaning(reason), change_id) {
                    (Meaning::Ended(stage), Some(id)) => {
                        says(answer, id, Some(stage), changes, found);
                        same_failure(answer, reason, id, stage, changes, found);
                        id
                    }
                    (Meaning::Accepted, Some(id)) => {
                        says(answer, id, None, changes, found);
                        id
                    }
                    (Meaning::Reused, Some(id)) => {
                        was_reused(answer, id, changes, found);
                        continue;
                    }
                    (Meaning::Denied, _) => {
                        was_denied(request, at, history, found);
                        continue;
                    }
                    (Meaning::Open, _) => continue,
                    (Meaning::Never, _) => {
                        found.add("P0", format!("an answer that nobody should get: {answer:?}"));
                        continue;
                    }
                    (_, None) => {
                        found.add("P8", format!("an answer without a change id: {answer:?}"));
                        continue;
                    }
                }
            }
            Told::Nothing { .. } => continue,
        };
        let before = of_request.insert((account, &request.request_id), named);
        if before.is_some_and(|before| before != named) {
            let (id, before) = (&request.request_id, before.unwrap_or_default());
            found.add("P5", format!("request id {id} was answered as {before} and as {named}"));
        }
    }
    stays(history, changes, found);
}

/// What an error says about the change.
enum Meaning {
    Ended(Stage),
    /// It is on record.
    Accepted,
    Reused,
    Denied,
    /// It may be on record or not.
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

/// The answer names a change that this very request opened or joined, and an end of it that was recorded before.
fn says(answer: &Answer, id: &str, end: Option<Stage>, changes: &Changes<'_>, found: &mut Found) {
    let request = &answer.request;
    let Some(change) = changes.get(&request.permission.account, id) else {
        return found.add(
            "P3",
            format!("answered {:?}, and change {id} is in no ledger", answer.told),
        );
    };
    if !is_of(change, request) {
        let on_record = change.requested;
        found.add(
            "P5",
            format!("{request:?} was answered with change {id}: {on_record:?}"),
        );
    }
    let on_record = change.request(&request.request_id).unwrap_or(change.requested);
    if on_record.recorded_at > answer.answered_at {
        found.add(
            "P3",
            format!("answered {:?} before REQUESTED or JOINED was on record", answer.told),
        );
    }
    let Some(stage) = end else { return };
    match change.terminal {
        Some(terminal) if terminal.stage == stage && terminal.recorded_at <= answer.answered_at => {}
        other => {
            let other = other.map(|entry| (entry.stage, entry.log_index, entry.recorded_at));
            found.add(
                "P3",
                format!(
                    "answered {:?} at {}; the ledger has {other:?}",
                    answer.told, answer.answered_at
                ),
            );
        }
    }
}

fn is_of(change: &Change<'_>, request: &Request) -> bool {
    change.request(&request.request_id).is_some_and(|entry| {
        entry.permission() == request.permission && entry.action == request.action && entry.reason == request.reason
    })
}

fn same_failure(answer: &Answer, reason: &str, id: &str, stage: Stage, changes: &Changes<'_>, found: &mut Found) {
    let change = changes.get(&answer.request.permission.account, id);
    let recorded = change.and_then(|change| change.terminal?.error_reason.as_deref());
    if stage == Stage::Failed && recorded.is_some_and(|recorded| recorded != reason) {
        found.add(
            "P3",
            format!("change {id} was answered as {reason}; the ledger has {recorded:?}"),
        );
    }
}

fn was_reused(answer: &Answer, id: &str, changes: &Changes<'_>, found: &mut Found) {
    let change = changes.get(&answer.request.permission.account, id);
    if change
        .is_none_or(|change| change.request(&answer.request.request_id).is_none() || is_of(change, &answer.request))
    {
        found.add(
            "P5",
            format!("{:?} was refused as a reuse, and is none", answer.request),
        );
    }
}

fn was_denied(request: &Request, at: OffsetDateTime, history: &History, found: &mut Found) {
    let mut entries = history.ledgers.iter().flat_map(|ledger| &ledger.entries);
    let is_on_record = entries
        .any(|entry| entry.stage == Stage::Denied && entry.request_id == request.request_id && entry.recorded_at <= at);
    if !is_on_record {
        found.add("P3", format!("{request:?} was denied, and that is not on record"));
    }
}

fn told_no_secrets(message: &str, found: &mut Found) {
    let words = ["sqlx", "hyper", "os error", "postgres://", "arn:aws", "panicked"];
    if let Some(word) = words.iter().find(|word| message.contains(*word)) {
        found.add("P9", format!("an answer says {word:?}: {message}"));
    }
}

/// What GetChange tells is what the ledger says, and never goes back behind what was told before.
fn stays(history: &History, changes: &Changes<'_>, found: &mut Found) {
    let mut told_at: HashMap<(&str, &str), OffsetDateTime> = HashMap::new();
    for answer in &history.answers {
        if let Told::Ok { change_id } = &answer.told {
            let at = told_at
                .entry((&answer.request.permission.account, change_id))
                .or_insert(answer.answered_at);
            *at = answer.answered_at.min(*at);
        }
    }
    for reading in &history.readings {
        let Some(change) = changes.get(&reading.account, &reading.change_id) else {
            found.add("P8", format!("{reading:?} is of a change in no ledger"));
            continue;
        };
        if reading.state == "PENDING" {
            let told = told_at.get(&(reading.account.as_str(), reading.change_id.as_str()));
            if told.is_some_and(|told| *told < reading.asked_at) {
                found.add("P3", format!("{reading:?}, after OK was answered at {told:?}"));
            }
            continue;
        }
        let recorded = change.terminal;
        if recorded.is_none_or(|end| end.stage.name() != reading.state || end.recorded_at > reading.read_at) {
            let recorded = recorded.map(|end| (end.stage, end.recorded_at));
            found.add("P8", format!("{reading:?}; the ledger has {recorded:?}"));
        }
    }
}
