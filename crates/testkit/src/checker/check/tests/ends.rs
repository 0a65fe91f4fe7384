//! Histories of shares that end with one defect each.

use std::collections::BTreeSet;

use time::Duration;

use super::{super::super::history::*, at, broken_by, call, entries, entry, permission};

/// The share of the good history ends in second 20, and without faults.
fn with_end(history: &mut History) {
    history.healed = Some(HealedTime {
        from: at(10),
        to: at(40),
    });
    history.answers.pop();
    history.answers[0].request.ttl = Some(Duration::seconds(9));
    let entries = entries(history);
    entries[0].expire_time = Some(at(20));
    for end in &mut entries[2..] {
        end.cause = Some("EXPIRY".into());
        end.principal = Some("sharewarden".into());
        end.decision = None;
        end.previous_basis = Some(EntryBasis {
            change_id: "c1".into(),
            expire_time: Some(at(20)),
        });
    }
}

/// The broken promises after a change to a good history with an end.
#[track_caller]
fn broken_ends(spoil: impl FnOnce(&mut History)) -> BTreeSet<&'static str> {
    broken_by(|history| {
        with_end(history);
        spoil(history);
    })
}

/// Another grant, between the grant that ends and its end.
fn with_newer_grant(history: &mut History, stage: &str) {
    let entries = entries(history);
    entries.insert(2, entry(2, 15, "REQUESTED", "GRANT", "c2"));
    entries.insert(3, entry(3, 18, stage, "GRANT", "c2"));
    for (index, end) in entries.iter_mut().enumerate().skip(4) {
        (end.log_index, end.generation) = (index as u64, Some(3));
        end.change_id = Some("c3".into());
        end.request_id = "request of c3".into();
    }
    history.calls.insert(1, call(3, 16, 17, true));
}

#[test]
fn p12_a_share_after_its_end() {
    assert_eq!(broken_ends(|_| {}), [].into());
    let stays = |history: &mut History| {
        entries(history).truncate(2);
        history.calls.truncate(1);
        history.shared.insert(permission());
    };
    assert_eq!(broken_ends(stays), ["P12"].into());
    let before_its_end = broken_ends(|history| {
        stays(history);
        entries(history)[0].expire_time = Some(at(50));
        history.answers[0].request.ttl = Some(Duration::seconds(39));
    });
    assert_eq!(before_its_end, [].into());
}

#[test]
fn p12_an_end_that_is_too_late() {
    let ended_at = |second| {
        broken_ends(|history| {
            entries(history)[2].recorded_at = at(second);
            entries(history)[3].recorded_at = at(second + 2);
            history.calls[1] = call(2, second + 1, second + 2, false);
        })
    };
    assert_eq!(ended_at(25), [].into());
    assert_eq!(ended_at(26), ["P12"].into());
    let during_faults = broken_ends(|history| {
        entries(history)[2].recorded_at = at(26);
        entries(history)[3].recorded_at = at(28);
        history.calls[1] = call(2, 27, 28, false);
        history.healed = Some(HealedTime {
            from: at(21),
            to: at(40),
        });
    });
    assert_eq!(during_faults, [].into());
}

#[test]
fn p12_an_end_before_its_time_or_of_another_grant() {
    let early = broken_ends(|history| {
        entries(history)[0].expire_time = Some(at(22));
        history.answers[0].request.ttl = Some(Duration::seconds(11));
    });
    assert_eq!(early, ["P12"].into());
    let no_grant = broken_ends(|history| entries(history)[2].previous_basis = None);
    assert_eq!(no_grant, ["P12"].into());
    let unknown = broken_ends(|history| {
        if let Some(basis) = &mut entries(history)[2].previous_basis {
            basis.change_id = "c9".into();
        }
    });
    assert_eq!(unknown, ["P12"].into());
}

#[test]
fn p12_a_renewal_that_an_older_end_undoes() {
    assert_eq!(
        broken_ends(|history| with_newer_grant(history, "SUCCEEDED")),
        ["P12"].into()
    );
    let failed = broken_ends(|history| {
        with_newer_grant(history, "FAILED");
        history.calls.remove(1);
    });
    assert_eq!(failed, [].into());
}

#[test]
fn p12_an_end_of_a_share_that_was_revoked() {
    let revoked = broken_ends(|history| {
        with_newer_grant(history, "SUCCEEDED");
        for revoke in &mut entries(history)[2..4] {
            revoke.action = ShareAction::Revoke;
        }
        history.calls[1] = call(3, 16, 17, false);
    });
    assert_eq!(revoked, ["P12"].into());
}

#[test]
fn p5_a_grant_with_another_end_than_it_asked_for() {
    let other = broken_ends(|history| history.answers[0].request.ttl = Some(Duration::seconds(8)));
    assert_eq!(other, ["P5"].into());
}

#[test]
fn p14_a_grant_by_automation() {
    let granted = broken_ends(|history| {
        entries(history).truncate(2);
        history.calls.truncate(1);
        for entry in entries(history) {
            (entry.cause, entry.principal) = (Some("EXPIRY".into()), Some("sharewarden".into()));
        }
        history.shared.insert(permission());
        history.healed = None;
    });
    assert!(granted.contains("P14"), "{granted:?}");
    let by_a_person = broken_ends(|history| entries(history)[2].principal = Some("ann".into()));
    assert_eq!(by_a_person, ["P14"].into());
}
