//! Histories of calls past the service with one defect each.

use std::collections::BTreeSet;

use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::{super::super::history::*, ACCOUNT, at, broken_by, call, entries, permission};

/// An entry about the difference of the permission.
fn drift(log_index: u64, second: i64, kind: &str, difference: &str) -> DriftEntry {
    let time = at(second).format(&Rfc3339).unwrap();
    let permission = permission();
    let line = json!({
        "account_id": ACCOUNT, "kind": kind, "log_index": log_index, "recorded_at": time, "schema": 1, "server_version": "0.1.0",
        "body": {
            "difference": difference, "first_seen_at": time, "found_index": 10, "region": permission.region,
            "image_id": permission.image, "shared_account_id": permission.shared_account,
        },
    });
    match ExportedLine::parse(&line.to_string()) {
        ExportedLine::Drift(entry) => entry,
        other => panic!("{other:?}"),
    }
}

/// After the good history, somebody shares past the service; it is found, and revoked without a caller.
fn revoked(history: &mut History) {
    history.outside.insert(permission());
    history.healed = Some(HealedTime {
        from: at(5),
        to: at(60),
    });
    history.calls.extend([call(3, 30, 31, true), call(4, 42, 43, false)]);
    history.ledgers[0].drift = vec![
        drift(10, 35, "drift.found", "UNRECORDED_SHARE"),
        drift(13, 44, "drift.resolved", "UNRECORDED_SHARE"),
    ];
    let entries = entries(history);
    for (index, second, stage) in [(11, 40, "REQUESTED"), (12, 44, "SUCCEEDED")] {
        let mut of_service = super::entry(index, second, stage, "REVOKE", "c3");
        of_service.cause = Some("DRIFT".into());
        of_service.principal = Some("sharewarden".into());
        (of_service.decision, of_service.generation) = (None, Some(3));
        entries.push(of_service);
    }
    for (index, entry) in entries.iter_mut().enumerate() {
        entry.log_index = if index < 4 { index as u64 } else { entry.log_index };
    }
}

#[track_caller]
fn broken_drift(spoil: impl FnOnce(&mut History)) -> BTreeSet<&'static str> {
    let mut broken = broken_by(|history| {
        revoked(history);
        spoil(history);
    });
    // The indexes of this history have gaps.
    broken.remove("P4");
    broken
}

#[test]
fn p13_drift_where_nobody_made_any() {
    assert_eq!(broken_drift(|_| {}), [].into());
    assert!(broken_drift(|history| history.outside.clear()).contains("P13"));
    let never_shared = broken_drift(|history| drop(history.calls.remove(2)));
    assert_eq!(never_shared, ["P13"].into());
}

#[test]
fn p13_a_difference_that_is_not_on_record_at_the_end() {
    let again = broken_drift(|history| {
        history.calls.push(call(5, 50, 51, true));
        history.shared.insert(permission());
    });
    assert_eq!(again, ["P13"].into());
    let unknown = broken_drift(|history| {
        let resolved = &mut history.ledgers[0].drift[1];
        resolved.body.found_index = Some(9);
    });
    assert_eq!(unknown, ["P13"].into());
}

#[test]
fn p14_a_revoke_without_a_caller_that_contradicts_a_change() {
    let without_finding = broken_drift(|history| history.ledgers[0].drift.clear());
    assert_eq!(without_finding, ["P14"].into());
    let resolved_before = broken_drift(|history| history.ledgers[0].drift[1].log_index = 11);
    assert_eq!(resolved_before, ["P14"].into());
    let granted = broken_drift(|history| {
        let entries = entries(history);
        entries.truncate(2);
        let revoke: Vec<_> = {
            let mut good = super::good();
            revoked(&mut good);
            super::entries(&mut good).split_off(4)
        };
        entries.extend(revoke);
        history.answers.pop();
    });
    assert_eq!(granted, ["P14"].into());
    let grants = broken_drift(|history| entries(history)[4].action = ShareAction::Grant);
    assert!(grants.contains("P14"), "{grants:?}");
}
