//! Histories of an upgrade with one defect each.

use std::collections::BTreeSet;

use time::Duration;

use super::{super::super::history::*, answer, at, broken_by, refused};

/// The same, while the replica 0 is replaced by the replica 1.
fn good_upgrade() -> UpgradeHistory {
    let run = |second, old_was_ready, error: Option<&str>| OwnersRun {
        what: "finalize",
        ended_at: at(second),
        old_was_ready,
        error: error.map(str::to_owned),
    };
    UpgradeHistory {
        phases: vec![("all", at(0))],
        builds: vec![Build::Old, Build::New],
        owner: vec![run(10, true, Some("an old replica runs")), run(20, false, None)],
        readiness: PolledReadiness {
            last_ready: [(Build::Old, at(12)), (Build::New, at(30))].into(),
            ..PolledReadiness::default()
        },
        writes: [(0, writes(14)), (1, writes(24))].into(),
        longest_unresolved: Duration::seconds(5),
    }
}

fn writes(second: i64) -> Writes {
    Writes {
        rows: 2,
        last_at: at(second),
    }
}

/// The broken promises after a change to a good upgrade.
#[track_caller]
fn broken_upgrade(spoil: impl FnOnce(&mut UpgradeHistory)) -> BTreeSet<&'static str> {
    broken_by(|history| spoil(history.upgrade.insert(good_upgrade())))
}

#[test]
fn p15_an_upgrade_with_a_pause_or_with_an_old_replica_after_finalize() {
    assert_eq!(broken_upgrade(|_| {}), [].into());
    let gap = Gap {
        from: at(12),
        to: Some(at(13)),
    };
    assert_eq!(
        broken_upgrade(|upgrade| upgrade.readiness.gaps.push(gap)),
        ["P15"].into()
    );
    let ready = broken_upgrade(|upgrade| upgrade.readiness.last_ready.extend([(Build::Old, at(21))]));
    assert_eq!(ready, ["P15"].into());
    let wrote = broken_upgrade(|upgrade| upgrade.writes.extend([(0, writes(21))]));
    assert_eq!(wrote, ["P15"].into());
}

#[test]
fn p15_a_finalize_that_is_not_refused_while_an_old_replica_runs() {
    let accepted = broken_upgrade(|upgrade| upgrade.owner[0].error = None);
    assert!(accepted.contains("P15"), "{accepted:?}");
    let never = broken_upgrade(|upgrade| upgrade.owner.truncate(1));
    assert_eq!(never, ["P15"].into());
    let not_tried = broken_upgrade(|upgrade| drop(upgrade.owner.remove(0)));
    assert_eq!(not_tried, ["P0"].into());
}

#[test]
fn p15_a_request_that_is_resolved_too_late() {
    let pending = |second| refused("c1", ShareAction::Grant, second, "CHANGE_PENDING");
    let broken = broken_by(|history| {
        history.upgrade = Some(good_upgrade());
        history.answers[0] = answer("c1", ShareAction::Grant, 19);
        history.answers.push(pending(13));
    });
    assert_eq!(broken, ["P15"].into());
}
