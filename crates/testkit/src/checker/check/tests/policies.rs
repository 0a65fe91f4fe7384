//! Histories with policy sets with one defect each.

use std::collections::BTreeSet;

use serde_json::json;

use super::{super::super::history::*, ACCOUNT, UPDATE, at, broken_by, denied, entries, permission};

/// The text of a policy set with one policy.
fn policy_set(id: &str, policy: &str) -> String {
    json!({
        "accounts": [ACCOUNT], "groups": {}, "policies": { (id): policy }, "schema": sharewarden::policy::SCHEMA, "zone": "UTC",
    })
    .to_string()
}

/// One replica, with one set in force.
fn good_policies() -> PolicyHistory {
    let permits = policy_set("anything", "permit (principal, action, resource);");
    let refuses = policy_set("nothing", "forbid (principal, action, resource);");
    let ids = |id: &str| BTreeSet::from([id.to_owned()]);
    PolicyHistory {
        texts: [("permits".into(), permits), ("refuses".into(), refuses)].into(),
        valid: [ids("anything"), ids("nothing")].into(),
        replicas: vec![PolicyReplica {
            host: "replica 0".into(),
            events: vec![set_event(1, PolicyEventKind::Started("permits".into()))],
        }],
    }
}

fn set_event(second: i64, kind: PolicyEventKind) -> PolicyEvent {
    PolicyEvent { at: at(second), kind }
}

/// The broken promises after a change to a good history with policies. The replica makes all calls.
#[track_caller]
fn broken_policies(spoil: impl FnOnce(&mut History, &mut PolicyHistory)) -> BTreeSet<&'static str> {
    broken_by(|history| {
        let mut policies = good_policies();
        for call in &mut history.calls {
            call.host = Some("replica 0".into());
        }
        spoil(history, &mut policies);
        history.policies = Some(policies);
    })
}

fn decision(entry: &mut LedgerEntry) -> &mut EntryDecision {
    entry.decision.as_mut().unwrap()
}

#[test]
fn p11_a_decision_that_cannot_be_made_again() {
    assert_eq!(broken_policies(|_, _| {}), [].into());
    let other_policy =
        broken_policies(|history, _| decision(&mut entries(history)[2]).policies = ["another".to_owned()].into());
    assert_eq!(other_policy, ["P11"].into());
    let no_text = broken_policies(|history, _| decision(&mut entries(history)[2]).policy_set = "lost".into());
    assert_eq!(no_text, ["P11"].into());
    let no_decision = broken_policies(|history, _| entries(history)[2].decision = None);
    assert_eq!(no_decision, ["P11"].into());
}

#[test]
fn p10_a_change_that_its_set_refuses() {
    let accepted = broken_policies(|history, _| decision(&mut entries(history)[2]).policy_set = "refuses".into());
    assert_eq!(accepted, ["P10"].into());
}

#[test]
fn p10_a_set_in_force_that_nobody_wrote() {
    let unknown = broken_policies(|_, policies| drop(policies.valid.pop_first()));
    assert_eq!(unknown, ["P10"].into());
    let without_text = broken_policies(|_, policies| {
        let event = set_event(40, PolicyEventKind::Replaced("lost".into()));
        policies.replicas[0].events.push(event);
    });
    assert_eq!(without_text, ["P10"].into());
}

/// The call is made in second 12.
#[test]
fn p10_a_call_that_the_set_in_force_in_its_replica_refuses() {
    let replaced_at = |second| {
        broken_policies(|_, policies| {
            let refuses = set_event(second, PolicyEventKind::Replaced("refuses".into()));
            policies.replicas[0].events.push(refuses);
        })
    };
    assert_eq!(replaced_at(9), ["P10"].into());
    assert_eq!(replaced_at(11), [].into(), "the set before may have decided");
    let started_at = |second| {
        broken_policies(|_, policies| {
            let events = &mut policies.replicas[0].events;
            events.push(set_event(8, PolicyEventKind::Ended));
            events.push(set_event(second, PolicyEventKind::Started("refuses".into())));
        })
    };
    assert_eq!(started_at(11), ["P10"].into(), "the process before is gone");
    assert_eq!(
        started_at(20),
        [].into(),
        "the log may lack the last set of the process before"
    );
    let of_another = broken_policies(|history, policies| {
        policies.replicas[0].events[0] = set_event(1, PolicyEventKind::Started("refuses".into()));
        history.calls[0].host = Some("replica 1".into());
    });
    assert_eq!(of_another, [].into());
}

/// The grant was accepted in second 11, and AWS accepted its call.
fn with_attempt(history: &mut History, started: i64) {
    entries(history)[1].attempts = vec![RecordedAttempt {
        operation: UPDATE.into(),
        classification: "ACCEPTED".into(),
        started_at: at(started),
        aws_request_id: Some("1".into()),
    }];
}

#[test]
fn p10_a_call_under_a_decision_that_is_too_old() {
    let accepted_at = |second| {
        broken_policies(|history, _| {
            with_attempt(history, 12);
            entries(history)[0].recorded_at = at(second);
        })
    };
    assert_eq!(accepted_at(9), [].into());
    assert_eq!(accepted_at(8), ["P10"].into(), "the decision of the acceptance");
    let decided_at = |second| {
        broken_policies(|history, _| {
            with_attempt(history, 112);
            decision(&mut entries(history)[1]).decided_at = at(second);
        })
    };
    assert_eq!(decided_at(112), [].into(), "on the replica's clock");
    assert_eq!(decided_at(110), ["P10"].into());
    assert_eq!(decided_at(113), ["P10"].into());
    let behind = broken_policies(|history, _| {
        with_attempt(history, 9);
        decision(&mut entries(history)[1]).decided_at = at(11);
    });
    assert_eq!(
        behind,
        [].into(),
        "the acceptance was in second 11 on the database's clock"
    );
}

#[test]
fn p10_a_call_under_a_set_that_its_replica_did_not_have() {
    let broken = broken_policies(|history, policies| {
        with_attempt(history, 12);
        let also_permits = policies.texts["permits"].clone();
        policies.texts.insert("elsewhere".into(), also_permits);
        decision(&mut entries(history)[1]).policy_set = "elsewhere".into();
        decision(&mut entries(history)[1]).decided_at = at(12);
    });
    assert_eq!(broken, ["P10"].into());
}

#[test]
fn p10_a_revoke_that_is_asked_again_after_its_acceptance() {
    let broken = broken_policies(|history, _| {
        let denied = &mut entries(history)[3];
        denied.stage = Stage::Failed;
        denied.error_reason = Some("POLICY_DENIED".into());
        *decision(denied) = EntryDecision {
            decided_at: at(22),
            policies: ["nothing".to_owned()].into(),
            policy_set: "refuses".into(),
        };
        history.calls.pop();
        history.answers.pop();
        history.shared.insert(permission());
    });
    assert_eq!(broken, ["P10"].into());
}

/// Another set may permit later what one refused.
#[test]
fn p5_a_request_that_is_denied_after_it_was_accepted() {
    let denied_at = |second| broken_policies(|history, _| history.answers.push(denied("c1", second, false)));
    assert_eq!(denied_at(13), [].into());
    assert_eq!(denied_at(26), ["P5"].into());
}
