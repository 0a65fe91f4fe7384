//! Histories with one defect each: the checker finds it.

use std::collections::BTreeSet;

use serde_json::json;
use sharewarden_simulator::{ApiCall, CallEnding};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{super::history::*, UPDATE, check};

mod drift;
mod ends;
mod policies;
mod upgrade;

const ACCOUNT: &str = "111122223333";

fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::seconds(second)
}

fn permission() -> ImagePermission {
    ImagePermission {
        account: ACCOUNT.into(),
        region: "eu-central-1".into(),
        image: "wsi-basewin11".into(),
        shared_account: "000011112222".into(),
    }
}

fn entry(log_index: u64, second: i64, stage: &str, action: &str, change: &str) -> LedgerEntry {
    let generation = u64::from(change.as_bytes()[1] - b'0');
    serde_json::from_value(json!({
        "account_id": ACCOUNT, "kind": format!("change.{}", stage.to_lowercase()), "log_index": log_index,
        "recorded_at": at(second).format(&Rfc3339).unwrap(), "schema": 1, "server_version": "0.1.0",
        "body": {
            "action": action, "change_id": change, "request_id": format!("request of {change}"), "reason": "a trial",
            "region": "eu-central-1", "image_id": "wsi-basewin11", "shared_account_id": "000011112222",
            "generation": generation, "principal": "ann", "cause": "CALLER", "authentication": { "credentials": ["TOKEN"] },
            "decision": { "decided_at": at(10).format(&Rfc3339).unwrap(), "policies": ["anything"], "policy_set": "permits" },
        },
    }))
    .unwrap()
}

/// A call between two seconds. Its ticks are ten times the seconds.
fn call(number: u64, from: i64, to: i64, allow: bool) -> ApiCall {
    let permission = permission();
    ApiCall {
        number,
        operation: UPDATE.into(),
        account: Some(permission.account),
        region: Some(permission.region),
        image: Some(permission.image),
        shared_account: Some(permission.shared_account),
        allow: Some(allow),
        host: None,
        invocation_id: None,
        traceparent: None,
        request_id: number.to_string(),
        started: from.unsigned_abs() * 10,
        applied: Some(from.unsigned_abs() * 10 + 1),
        ended: Some(to.unsigned_abs() * 10),
        client_left: None,
        started_at: at(from),
        ended_at: Some(at(to)),
        fault: None,
        ending: Some(CallEnding::Answered),
        http_status: Some(200),
        error_code: None,
    }
}

fn request(change: &str, action: ShareAction) -> ShareRequest {
    ShareRequest {
        request_id: format!("request of {change}"),
        permission: permission(),
        action,
        reason: "a trial".into(),
        ticket: None,
        ttl: None,
    }
}

fn answer(change: &str, action: ShareAction, second: i64) -> RpcRecord {
    RpcRecord {
        request: request(change, action),
        replica: 0,
        asked_at: at(second - 1),
        answered_at: at(second),
        told: RpcOutcome::Ok {
            change_id: change.into(),
        },
    }
}

fn refused(change: &str, action: ShareAction, second: i64, reason: &str) -> RpcRecord {
    RpcRecord {
        told: RpcOutcome::Refused {
            code: "Aborted".into(),
            reason: reason.into(),
            change_id: Some(change.into()),
            is_recorded: true,
            message: "A sentence.".into(),
        },
        ..answer(change, action, second)
    }
}

/// A grant that the policy refused at its acceptance.
fn denied(change: &str, second: i64, recorded: bool) -> RpcRecord {
    let mut answer = refused(change, ShareAction::Grant, second, "POLICY_DENIED");
    if let RpcOutcome::Refused {
        is_recorded, change_id, ..
    } = &mut answer.told
    {
        (*is_recorded, *change_id) = (recorded, None);
    }
    answer
}

fn reading(second: i64, state: &str) -> ChangeRead {
    ChangeRead {
        account: ACCOUNT.into(),
        change_id: "c1".into(),
        asked_at: at(second),
        read_at: at(second),
        state: state.into(),
    }
}

/// A grant and then a revoke. Both succeed.
fn good() -> History {
    History {
        calls: vec![call(1, 12, 13, true), call(2, 22, 23, false)],
        shared: BTreeSet::new(),
        outside: BTreeSet::new(),
        ledgers: vec![ExportedLedger {
            account: ACCOUNT.into(),
            entries: vec![
                entry(0, 11, "REQUESTED", "GRANT", "c1"),
                entry(1, 14, "SUCCEEDED", "GRANT", "c1"),
                entry(2, 21, "REQUESTED", "REVOKE", "c2"),
                entry(3, 24, "SUCCEEDED", "REVOKE", "c2"),
            ],
            denials: Vec::new(),
            drift: Vec::new(),
            wrong: Vec::new(),
        }],
        answers: vec![
            answer("c1", ShareAction::Grant, 15),
            answer("c2", ShareAction::Revoke, 25),
        ],
        readings: vec![reading(13, "PENDING"), reading(16, "SUCCEEDED")],
        attempt_timeout: Duration::seconds(5),
        longest_answer: Duration::seconds(10),
        healed: None,
        complaints: Vec::new(),
        upgrade: None,
        policies: None,
    }
}

/// The broken promises after a change to a good history.
#[track_caller]
fn broken_by(spoil: impl FnOnce(&mut History)) -> BTreeSet<&'static str> {
    let mut history = good();
    spoil(&mut history);
    let promises: BTreeSet<_> = check(&history)
        .into_iter()
        .map(|violations| violations.promise)
        .collect();
    promises
}

fn entries(history: &mut History) -> &mut Vec<LedgerEntry> {
    &mut history.ledgers[0].entries
}

#[test]
fn a_good_history_keeps_every_promise() {
    assert_eq!(check(&good()), []);
}

#[test]
fn p1_a_call_without_a_requested_change() {
    let broken = broken_by(|history| history.calls.insert(0, call(9, 5, 6, false)));
    assert_eq!(broken, ["P1"].into());
    let broken = broken_by(|history| history.calls[0].started_at = at(10));
    assert_eq!(broken, ["P1"].into(), "before its REQUESTED");
    let broken = broken_by(|history| history.calls.push(call(9, 30, 31, false)));
    assert_eq!(broken, ["P1"].into(), "after its end");
    let broken = broken_by(|history| {
        let elsewhere = ImagePermission {
            image: "wsi-devtool01".into(),
            ..permission()
        };
        history.shared.insert(elsewhere);
    });
    assert_eq!(broken, ["P1"].into(), "shared by nobody");
}

#[test]
fn p2_a_change_without_one_end() {
    let lost = broken_by(|history| {
        entries(history).remove(1);
        history.answers.remove(0);
        history.readings.clear();
    });
    assert_eq!(lost, ["P2"].into());
    let twice = broken_by(|history| entries(history).push(entry(4, 30, "SUPERSEDED", "GRANT", "c1")));
    assert_eq!(twice, ["P2"].into());
    let never_begun = broken_by(|history| entries(history).push(entry(4, 30, "SUCCEEDED", "GRANT", "c7")));
    assert_eq!(never_begun, ["P2"].into());
    let another = broken_by(|history| entries(history)[1].request_id = "another".into());
    assert_eq!(another, ["P2"].into());
}

#[test]
fn p3_a_success_that_was_never_in_effect() {
    let broken = broken_by(|history| history.calls[0].applied = None);
    assert_eq!(broken, ["P3"].into());
    let broken = broken_by(|history| {
        history.calls.pop();
        history.shared.insert(permission());
    });
    assert!(broken.contains("P3"), "{broken:?}");
}

#[test]
fn p3_an_answer_before_the_end_of_the_change_was_recorded() {
    let too_early = broken_by(|history| history.answers[0].answered_at = at(13));
    assert_eq!(too_early, ["P3"].into());
    let of_nothing = broken_by(|history| {
        let told = RpcOutcome::Ok { change_id: "c9".into() };
        history.answers[0].told = told;
    });
    assert_eq!(of_nothing, ["P3"].into());
    let other_end = broken_by(|history| {
        history.answers[0] = refused("c1", ShareAction::Grant, 15, "CHANGE_SUPERSEDED");
    });
    assert_eq!(other_end, ["P3"].into());
    let pending_again = broken_by(|history| history.readings.push(reading(17, "PENDING")));
    assert_eq!(pending_again, ["P3"].into());
    let not_on_record = broken_by(|history| {
        history
            .answers
            .push(refused("c5", ShareAction::Grant, 15, "CHANGE_PENDING"));
        history.answers.push(denied("c6", 15, true));
    });
    assert_eq!(not_on_record, ["P3", "P8"].into());
}

/// A `change.denials` line of the account.
fn counted(count: u64, second: i64) -> CountedDenials {
    let time = at(second).format(&Rfc3339).unwrap();
    let line = json!({
        "account_id": ACCOUNT, "kind": "change.denials", "log_index": 4, "recorded_at": time, "schema": 1, "server_version": "0.1.0",
        "body": { "count": count, "denied_by": "a rule", "first_at": time, "last_at": time, "principal": "trial@example.com" },
    });
    match ExportedLine::parse(&line.to_string()) {
        ExportedLine::Denials(denials) => denials,
        other => panic!("{other:?}"),
    }
}

#[test]
fn p4_denials_that_are_counted_twice() {
    let unrecorded = |change: &str| denied(change, 15, false);
    let with_counts = |counts: &[CountedDenials]| {
        broken_by(|history| {
            history.answers.extend(["c5", "c6", "c7"].map(unrecorded));
            history.ledgers[0].denials.extend_from_slice(counts);
        })
    };
    assert!(with_counts(&[]).is_empty(), "a crash loses counts");
    assert!(with_counts(&[counted(2, 15), counted(1, 16)]).is_empty());
    assert!(
        with_counts(&[counted(2, 15), counted(2, 15)]).is_empty(),
        "one count, recorded twice"
    );
    assert_eq!(with_counts(&[counted(2, 15), counted(2, 16)]), ["P4"].into());
}

#[test]
fn p3_a_failure_that_took_effect() {
    let broken = broken_by(|history| {
        history.answers.truncate(1);
        entries(history)[3] = entry(3, 24, "FAILED", "REVOKE", "c2");
    });
    assert_eq!(broken, ["P3", "P6"].into());
}

#[test]
fn p4_verifier_errors_and_generations_out_of_order() {
    let broken = broken_by(|history| history.ledgers[0].wrong.push("rewritten".into()));
    assert_eq!(broken, ["P4"].into());
    let broken = broken_by(|history| entries(history)[2].generation = Some(1));
    assert_eq!(broken, ["P4"].into());
}

#[test]
fn p5_a_request_id_of_two_changes() {
    let broken = broken_by(|history| {
        for entry in &mut entries(history)[2..] {
            entry.request_id = "request of c1".into();
        }
        history.answers.pop();
    });
    assert_eq!(broken, ["P5"].into());
    let two_answers = broken_by(|history| {
        history.answers.push(RpcRecord {
            request: request("c1", ShareAction::Grant),
            ..answer("c2", ShareAction::Revoke, 25)
        });
    });
    assert_eq!(two_answers, ["P5"].into());
    let accepted_twice = broken_by(|history| {
        let accepted = || RecordedAttempt {
            operation: UPDATE.into(),
            classification: "ACCEPTED".into(),
            started_at: at(12),
            aws_request_id: None,
        };
        entries(history)[1].attempts = vec![accepted(), accepted()];
    });
    assert_eq!(accepted_twice, ["P5"].into());
    let other_content = broken_by(|history| history.answers[0].request.action = ShareAction::Revoke);
    assert_eq!(other_content, ["P5"].into());
    let no_reuse = broken_by(|history| {
        history
            .answers
            .push(refused("c1", ShareAction::Grant, 26, "REQUEST_ID_REUSED"));
    });
    assert_eq!(no_reuse, ["P5"].into());
}

#[test]
fn p6_overlapping_calls() {
    let broken = broken_by(|history| history.calls.insert(1, call(9, 12, 13, true)));
    assert_eq!(broken, ["P6"].into());
}

#[test]
fn p6_a_call_that_does_not_wait_for_one_that_was_abandoned() {
    let abandoned = |waits: i64| {
        move |history: &mut History| {
            let mut first = call(9, 12, 40, true);
            first.client_left = Some(125);
            first.applied = None;
            let mut next = call(1, 12 + waits, 13 + waits, true);
            next.applied = Some(129);
            history.calls[0] = next;
            history.calls.insert(0, first);
            for entry in &mut entries(history)[1..] {
                entry.recorded_at += Duration::seconds(10);
            }
            history.calls[2] = call(2, 32, 33, false);
            history.answers = Vec::new();
            history.readings = Vec::new();
        }
    };
    assert_eq!(broken_by(abandoned(5)), [].into());
    assert_eq!(broken_by(abandoned(2)), ["P6"].into());
}

#[test]
fn p6_a_call_that_takes_effect_after_a_newer_one() {
    let broken = broken_by(|history| {
        history.calls[0].client_left = Some(125);
        history.calls[0].applied = Some(222);
        history.calls[0].ended = Some(223);
        history.calls[0].ended_at = Some(at(23));
    });
    assert_eq!(broken, ["P6"].into());
}

#[test]
fn p6_a_final_state_that_differs_from_the_newest_change() {
    let broken = broken_by(|history| history.shared.extend([permission()]));
    assert_eq!(broken, ["P6"].into());
    let newest_superseded = broken_by(|history| {
        history.answers.truncate(1);
        entries(history)[3] = entry(3, 24, "SUPERSEDED", "REVOKE", "c2");
    });
    assert_eq!(newest_superseded, ["P6"].into());
}

#[test]
fn p7_an_answer_that_took_too_long() {
    let broken = broken_by(|history| history.answers[1].asked_at = at(14));
    assert_eq!(broken, ["P7"].into());
}

#[test]
fn p8_a_read_that_differs_from_the_ledger() {
    let broken = broken_by(|history| history.readings.push(reading(16, "FAILED")));
    assert_eq!(broken, ["P8"].into());
    let too_early = broken_by(|history| history.readings.push(reading(13, "SUCCEEDED")));
    assert_eq!(too_early, ["P8"].into());
}

#[test]
fn p9_an_answer_with_internal_details() {
    let broken = broken_by(|history| {
        let mut answer = refused("c9", ShareAction::Grant, 15, "AUDIT_STORE_UNAVAILABLE");
        if let RpcOutcome::Refused { message, .. } = &mut answer.told {
            *message = "sqlx: connection refused".into();
        }
        history.answers.push(answer);
    });
    assert_eq!(broken, ["P8", "P9"].into());
}

#[test]
fn p0_harness_failures_and_unexpected_errors() {
    let broken = broken_by(|history| history.complaints.push("a replica panicked".into()));
    assert_eq!(broken, ["P0"].into());
    let broken = broken_by(|history| history.answers.push(refused("c1", ShareAction::Grant, 15, "INTERNAL")));
    assert_eq!(broken, ["P0"].into());
}

#[test]
fn p8_an_error_that_no_repetition_resolves() {
    let pending = || refused("c1", ShareAction::Grant, 13, "CHANGE_PENDING");
    let resolved = broken_by(|history| history.answers.push(pending()));
    assert!(resolved.is_empty(), "{resolved:?}");
    let never = broken_by(|history| history.answers[0] = pending());
    assert_eq!(never, ["P8"].into());
}

#[test]
fn p5_a_request_that_is_denied_and_accepted() {
    let broken = broken_by(|history| {
        history.answers.push(denied("c1", 13, false));
    });
    assert_eq!(broken, ["P5"].into());
}

/// It was accepted, and has a change.
#[test]
fn p3_a_refusal_before_the_call_that_is_not_on_record() {
    let broken = broken_by(|history| {
        history
            .answers
            .push(refused("c1", ShareAction::Grant, 26, "POLICY_DENIED"));
    });
    assert!(broken.contains("P3"), "{broken:?}");
}
