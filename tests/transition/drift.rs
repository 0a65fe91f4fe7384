//! Observations of AWS, each rule as a short sequence of commands.

use std::sync::Arc;

use sharewarden::domain::{
    Access::{self, NotShared, Shared},
    Action, Cause,
    DriftDifference::{MissingShare, UnrecordedShare},
    DriftResolution::{Accepted, Adopted, Gone, Restored, Revoked},
    EntryBody, Intent, Observation, PermissionStamp,
    transition::{AccountState, AdmittedBuilds, Command, CommandReply, TransitionContext, WorkOutcome},
};

use crate::{
    fixtures::{change, ending, event, intent, key, revoke_of_unrecorded, scan, start},
    regressions::{FIRST, WINDOW, at, new_account, open, reloaded, settle, settle_after, unresolved_call},
};

/// What AWS shows at this second, when the permission is read as it is now.
fn seen(account: &AccountState, shown: Access, second: u64) -> Command {
    Command::Observe(Observation {
        key: key(0),
        shown,
        first_seen_at: start(),
        seen_at: at(second).now,
        scan_id: scan(1),
        permission: account.permission(&key(0)).map(PermissionStamp::of),
    })
}

fn observe(account: &mut AccountState, shown: Access, second: u64) -> CommandReply {
    let command = seen(account, shown, second);
    account.apply(command, &at(second))
}

/// A share by the grant 1, loaded for an observation or the settlement of another change.
fn shared() -> AccountState {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    account.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(1));
    reloaded(&account, &[1]).with_drift([], [key(0)])
}

/// The account after one more change, which succeeds.
fn after_change(mut account: AccountState, number: u64) -> AccountState {
    account.apply(open(number), &at(20));
    let epoch = account.permission(&key(0)).expect("it was opened").lease_epoch;
    account.apply(settle(epoch, number, WorkOutcome::Succeeded), &at(21));
    account
}

fn last_entry(account: &AccountState) -> &EntryBody {
    &account.effects().entries.last().expect("an entry was recorded").body
}

#[test]
fn a_share_that_no_change_made_is_found_once() {
    let mut account = new_account();
    assert_eq!(observe(&mut account, NotShared, 10), CommandReply::ObservedAsRecorded);
    assert_eq!(observe(&mut account, Shared, 11), CommandReply::DriftFound(0));
    let EntryBody::DriftFound(found) = last_entry(&account) else {
        panic!("{:?}", account.effects())
    };
    assert_eq!((found.difference, found.seen_at), (UnrecordedShare, at(11).now));
    assert_eq!(observe(&mut account, Shared, 12), CommandReply::ObservedAsRecorded);
    assert_eq!(account.effects().entries.len(), 1);
    assert!(account.permission(&key(0)).is_none(), "no permission is made of it");
}

#[test]
fn a_share_that_somebody_took_away_is_found_and_the_permission_stays_as_it_is() {
    let mut account = shared();
    let before = account.permission(&key(0)).cloned();
    assert_eq!(observe(&mut account, Shared, 10), CommandReply::ObservedAsRecorded);
    assert_eq!(observe(&mut account, NotShared, 11), CommandReply::DriftFound(100));
    let finding = account.finding(&key(0)).expect("it was found");
    assert_eq!((finding.difference, finding.resolved), (MissingShare, None));
    assert_eq!(account.permission(&key(0)).cloned(), before);
    assert!(account.effects().permissions.is_empty());
}

#[test]
fn a_difference_that_goes_away_by_itself_is_resolved_and_can_be_found_again() {
    let mut account = new_account();
    observe(&mut account, Shared, 10);
    assert_eq!(observe(&mut account, NotShared, 11), CommandReply::DriftResolved(1));
    let EntryBody::DriftResolved(resolved) = last_entry(&account) else {
        panic!("{:?}", account.effects())
    };
    assert_eq!(
        (resolved.resolution, resolved.found_index, resolved.change_id),
        (Gone, 0, None)
    );
    assert_eq!(resolved.seen, Some((scan(1), at(11).now)));
    assert_eq!(observe(&mut account, Shared, 12), CommandReply::DriftFound(2));
}

#[test]
fn a_permission_that_has_changed_since_before_aws_was_asked_is_not_compared() {
    let account = shared();
    let early = seen(&account, NotShared, 10);
    let mut account = after_change(account, 2);
    assert_eq!(account.apply(early, &at(30)), CommandReply::ObservationOutdated);
    // Without a permission before, any permission is a change.
    let of_none = seen(&new_account(), Shared, 10);
    assert_eq!(account.apply(of_none, &at(30)), CommandReply::ObservationOutdated);
    assert_eq!(observe(&mut account, NotShared, 30), CommandReply::ObservedAsRecorded);
}

#[test]
fn while_a_change_is_in_progress_nothing_is_found() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    for shown in [Shared, NotShared] {
        assert_eq!(observe(&mut account, shown, 1), CommandReply::ObservationOutdated);
    }
    let in_doubt = WorkOutcome::Retry {
        delay: WINDOW,
        in_doubt: true,
        observed: None,
    };
    account.apply(settle(FIRST, 1, in_doubt), &at(2));
    assert_eq!(observe(&mut account, Shared, 100), CommandReply::ObservationOutdated);
}

#[test]
fn aws_must_be_asked_after_the_last_moment_at_which_a_call_can_take_effect() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    account.apply(
        settle_after(FIRST, 1, unresolved_call(), WorkOutcome::Succeeded),
        &at(1),
    );
    let mut account = reloaded(&account, &[1]).with_drift([], [key(0)]);
    let until = 1 + WINDOW.as_secs();
    assert!(
        account
            .permission(&key(0))
            .is_some_and(|it| it.unresolved_call.is_some())
    );
    assert_eq!(
        observe(&mut account, NotShared, until - 1),
        CommandReply::ObservationOutdated
    );
    assert_eq!(observe(&mut account, NotShared, until), CommandReply::DriftFound(100));
}

#[test]
fn a_batch_that_settles_and_observes_a_share_takes_one_after_the_other() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    let observed = seen(&account, Shared, 1);
    account.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(2));
    assert_eq!(account.apply(observed, &at(2)), CommandReply::ObservationOutdated);
    assert_eq!(observe(&mut account, Shared, 3), CommandReply::ObservedAsRecorded);
    assert_eq!(observe(&mut account, NotShared, 4), CommandReply::DriftFound(2));
}

#[test]
fn a_change_that_succeeds_resolves_the_finding_of_its_share() {
    let unrecorded = || {
        let mut account = new_account();
        observe(&mut account, Shared, 10);
        account
    };
    let missing = || {
        let mut account = shared();
        observe(&mut account, NotShared, 10);
        account
    };
    for (account, number, expected) in [
        (unrecorded(), 3, Adopted),
        (unrecorded(), 4, Revoked),
        (missing(), 3, Restored),
        (missing(), 4, Accepted),
    ] {
        let account = after_change(account, number);
        let EntryBody::DriftResolved(resolved) = last_entry(&account) else {
            panic!("{:?}", account.effects())
        };
        assert_eq!(
            (resolved.resolution, resolved.change_id, resolved.seen),
            (expected, Some(change(number)), None)
        );
        let resolved = account.finding(&key(0)).and_then(|finding| finding.resolved);
        assert_eq!(resolved.map(|end| end.resolution), Some(expected));
    }
}

#[test]
fn a_missing_share_that_reaches_its_end_was_accepted_by_nobody() {
    let mut account = shared();
    let mut ending_at = account.permission(&key(0)).cloned().expect("it was opened");
    ending_at.end_due_at = Some(at(50).now);
    account = AccountState::new(account.id(), 100, start(), [ending_at], [], []).with_drift([], [key(0)]);
    observe(&mut account, NotShared, 10);
    account.apply(ending(2, key(0), change(1)), &at(50));
    account.apply(Command::Claim(key(0)), &at(50));
    let epoch = account.permission(&key(0)).expect("it was opened").lease_epoch;
    account.apply(settle(epoch, 2, WorkOutcome::Succeeded), &at(51));
    let EntryBody::DriftResolved(resolved) = last_entry(&account) else {
        panic!("{:?}", account.effects())
    };
    assert_eq!((resolved.resolution, resolved.change_id), (Gone, Some(change(2))));
}

#[test]
fn a_change_that_fails_leaves_the_finding_open() {
    let mut account = new_account();
    observe(&mut account, Shared, 10);
    account.apply(open(1), &at(20));
    let failed = WorkOutcome::Failed {
        failure: crate::fixtures::refused(),
        observed: None,
    };
    account.apply(settle(FIRST, 1, failed), &at(21));
    assert!(
        account
            .finding(&key(0))
            .is_some_and(|finding| finding.resolved.is_none())
    );
}

/// The request to adopt the share of `key(0)`.
fn adoption(number: u64) -> Intent {
    Intent {
        cause: Cause::Adoption,
        ..(*intent(number, number, key(0), Action::Grant, 0)).clone()
    }
}

fn adopt(number: u64) -> Command {
    Command::Open(Arc::new(adoption(number)))
}

#[test]
fn an_adoption_is_accepted_only_while_an_unrecorded_share_is_open() {
    let mut account = new_account();
    assert_eq!(account.apply(adopt(1), &at(1)), CommandReply::NothingToAdopt);
    assert!(account.effects().is_nothing());
    observe(&mut account, Shared, 10);
    let CommandReply::Opened(opened) = account.apply(adopt(1), &at(20)) else {
        panic!("{:?}", account.effects())
    };
    assert_eq!(opened.change.intent.cause, Cause::Adoption);
    account.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(21));
    let resolved = account.finding(&key(0)).and_then(|finding| finding.resolved).unwrap();
    assert_eq!((resolved.resolution, resolved.change_id), (Adopted, Some(change(1))));
    assert_eq!(
        account.apply(adopt(3), &at(30)),
        CommandReply::NothingToAdopt,
        "it is adopted"
    );
    let CommandReply::Replayed(_) = account.apply(again(1), &at(31)) else {
        panic!("a repeated request gets its first answer")
    };

    let mut missing = shared();
    observe(&mut missing, NotShared, 10);
    let reply = missing.apply(adopt(3), &at(20));
    assert_eq!(
        reply,
        CommandReply::NothingToAdopt,
        "the ledger has it, and AWS does not"
    );
}

/// The request of `adopt`, sent again: it would be another change.
fn again(number: u64) -> Command {
    let first = adoption(number);
    Command::Open(Arc::new(Intent {
        change_id: change(100 + number),
        ..first
    }))
}

/// The policy decides about an adoption in another way than about a grant, also before the call.
#[test]
fn an_adoption_and_a_grant_do_not_join_each_other() {
    for [first, second] in [[open(1), adopt(3)], [adopt(1), open(3)]] {
        let mut account = new_account();
        observe(&mut account, Shared, 10);
        account.apply(first, &at(20));
        let CommandReply::Opened(opened) = account.apply(second, &at(21)) else {
            panic!("{:?}", account.effects())
        };
        assert_eq!(opened.change.id(), change(3));
    }
    let mut account = new_account();
    observe(&mut account, Shared, 10);
    account.apply(adopt(1), &at(20));
    assert!(matches!(account.apply(adopt(3), &at(21)), CommandReply::Joined(_)));
}

/// P15.
#[test]
fn while_older_builds_may_run_no_adoption_is_accepted_and_no_refusal_of_one_recorded() {
    let older = TransitionContext {
        admitted: AdmittedBuilds {
            know_adoptions: false,
            ..AdmittedBuilds::NEWEST
        },
        ..at(20)
    };
    let mut account = new_account();
    observe(&mut account, Shared, 10);
    let size = account.effects().entries.len();
    assert_eq!(account.apply(adopt(1), &older), CommandReply::AdoptionsNotAdmitted);
    let deny = Command::Deny(Arc::new(adoption(1)), "no".into());
    assert_eq!(account.apply(deny.clone(), &older), CommandReply::AdoptionsNotAdmitted);
    assert_eq!(account.effects().entries.len(), size);
    assert!(matches!(account.apply(deny, &at(21)), CommandReply::Denied(..)));
}

#[test]
fn while_older_builds_may_run_nothing_is_found() {
    let older = TransitionContext {
        admitted: AdmittedBuilds {
            know_drift: false,
            ..AdmittedBuilds::NEWEST
        },
        ..at(10)
    };
    let mut account = new_account();
    let command = seen(&account, Shared, 10);
    assert_eq!(account.apply(command, &older), CommandReply::DriftNotAdmitted);
    assert!(account.effects().is_nothing());
}

#[test]
fn an_unrecorded_share_is_revoked_without_a_caller_while_its_finding_is_open_and_nothing_is_in_progress() {
    let mut account = new_account();
    assert_eq!(observe(&mut account, Shared, 10), CommandReply::DriftFound(0));
    let revoke = |id, found_index| revoke_of_unrecorded(id, key(0), found_index);
    assert_eq!(
        account.apply(revoke(7, 1), &at(20)),
        CommandReply::NotDue,
        "another finding"
    );
    let CommandReply::Opened(opened) = account.apply(revoke(7, 0), &at(20)) else {
        panic!("it is accepted")
    };
    let intent = &opened.change.intent;
    assert_eq!(
        (intent.cause, &*intent.principal.to_string()),
        (Cause::Drift, "sharewarden")
    );
    assert_eq!(opened.permission.lease, None, "recovery claims it");
    assert_eq!(
        account.apply(revoke(8, 0), &at(21)),
        CommandReply::NotDue,
        "it is under way"
    );
}

#[test]
fn an_unrecorded_share_that_somebody_grants_is_not_revoked() {
    let mut account = new_account();
    observe(&mut account, Shared, 10);
    account.apply(open(1), &at(11));
    let revoke = revoke_of_unrecorded(7, key(0), 0);
    assert_eq!(account.apply(revoke.clone(), &at(12)), CommandReply::NotDue);
    account.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(13));
    assert_eq!(account.apply(revoke, &at(14)), CommandReply::NotDue, "it was adopted");
}

#[test]
fn while_older_builds_are_admitted_nothing_is_revoked_without_a_caller() {
    let mut account = new_account();
    observe(&mut account, Shared, 10);
    let older = TransitionContext {
        admitted: AdmittedBuilds {
            know_drift_revokes: false,
            ..AdmittedBuilds::NEWEST
        },
        ..at(20)
    };
    let reply = account.apply(revoke_of_unrecorded(7, key(0), 0), &older);
    assert_eq!(reply, CommandReply::DriftNotAdmitted);
}

#[test]
fn an_event_of_cloudtrail_is_recorded_once_in_a_batch_and_after_a_reload() {
    let mut account = new_account();
    let command = || Command::RecordEvent(event(1, key(0), Shared));
    assert_eq!(account.apply(command(), &at(10)), CommandReply::EventRecorded(0));
    assert_eq!(account.apply(command(), &at(10)), CommandReply::EventOnRecord);
    let other = Command::RecordEvent(event(2, key(0), NotShared));
    assert_eq!(account.apply(other, &at(11)), CommandReply::EventRecorded(1));
    assert_eq!(account.effects().events.len(), 2);
    let recorded = event(1, key(0), Shared);
    let mut account = new_account().with_events([(recorded.key.region.clone(), recorded.id)]);
    assert_eq!(account.apply(command(), &at(20)), CommandReply::EventOnRecord);
    assert!(account.effects().is_nothing());
}

#[test]
fn while_builds_may_run_that_know_no_events_none_is_recorded() {
    let older = TransitionContext {
        admitted: AdmittedBuilds {
            know_trail: false,
            ..AdmittedBuilds::NEWEST
        },
        ..at(10)
    };
    let mut account = new_account();
    let command = Command::RecordEvent(event(1, key(0), Shared));
    assert_eq!(account.apply(command, &older), CommandReply::DriftNotAdmitted);
    assert!(account.effects().is_nothing());
}
