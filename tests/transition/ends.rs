//! The ends of shares, each rule as a short sequence of commands.

use std::{sync::Arc, time::Duration};

use sharewarden::domain::{
    Action::Grant,
    Basis, Cause, ChangeState, Intent, Permission, ShareEnd,
    transition::{AccountState, AdmittedBuilds, Command, CommandReply, TransitionContext, WorkOutcome},
};

use crate::{
    fixtures::{change, ending, intent, key, refused, start},
    regressions::{FIRST, at, epochs, new_account, open, reloaded, settle},
};

const FAILED: fn() -> WorkOutcome = || WorkOutcome::Failed {
    failure: refused(),
    observed: None,
};

const IN_DOUBT: WorkOutcome = WorkOutcome::Retry {
    delay: Duration::from_secs(60),
    in_doubt: true,
    observed: None,
};

/// A grant that ends at a second of the history.
fn grant_until(number: u64, second: u64) -> Command {
    grant(number, ShareEnd::At(start() + Duration::from_secs(second)))
}

fn grant(number: u64, end: ShareEnd) -> Command {
    let asked = intent(number, number, key(0), Grant, 0);
    Command::Open(Arc::new(Intent {
        end: Some(end),
        ..Arc::unwrap_or_clone(asked)
    }))
}

/// The end of the grant with this number, submitted as the change `number`.
fn end(number: u64, basis: u64) -> Command {
    ending(number, key(0), change(basis))
}

fn basis(number: u64, second: u64) -> Basis {
    Basis {
        change_id: change(number),
        expire_time: Some(start() + Duration::from_secs(second)),
    }
}

fn permission(account: &AccountState) -> &Permission {
    account.permission(&key(0)).expect("it was opened")
}

/// A share by the grant 1, which ends at second 100.
fn shared() -> AccountState {
    let mut account = new_account();
    account.apply(grant_until(1, 100), &at(0));
    account.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(1));
    reloaded(&account, &[1])
}

#[test]
fn a_share_is_revoked_at_its_end_and_not_before() {
    let mut account = shared();
    assert_eq!(permission(&account).basis, Some(basis(1, 100)));
    assert_eq!(account.apply(end(2, 1), &at(99)), CommandReply::NotDue);
    let CommandReply::Opened(opened) = account.apply(end(2, 1), &at(100)) else {
        panic!("the end is due")
    };
    assert_eq!(
        (opened.change.intent.cause, opened.change.previous_basis),
        (Cause::Expiry, Some(basis(1, 100)))
    );
    // It takes no lease: recovery claims it when the forwarder has room.
    assert!(account.effects().work.is_empty());
    assert_eq!(permission(&account).next_attempt_at, Some(at(100).now));
    assert_eq!(
        account.apply(end(3, 1), &at(101)),
        CommandReply::NotDue,
        "another replica submits it too"
    );
    assert_eq!(account.apply(Command::Claim(key(0)), &at(101)), CommandReply::Claimed);
    let [epoch] = epochs(&account.effects().work)[..] else {
        panic!("it was claimed")
    };
    account.apply(settle(epoch, 2, WorkOutcome::Succeeded), &at(102));
    let ended = permission(&account);
    assert_eq!((ended.basis, ended.end_due_at, ended.current), (None, None, None));
}

#[test]
fn a_share_without_an_end_is_not_ended() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    account.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(1));
    let mut account = reloaded(&account, &[1]);
    assert_eq!(permission(&account).basis.map(|basis| basis.change_id), Some(change(1)));
    assert_eq!(account.apply(end(2, 1), &at(1_000_000)), CommandReply::NotDue);
}

#[test]
fn a_renewal_postpones_the_end_from_its_acceptance_on() {
    let mut account = shared();
    let CommandReply::Opened(renewal) = account.apply(grant_until(3, 500), &at(99)) else {
        panic!("a grant with another end is a new change")
    };
    assert_eq!(
        renewal.change.previous_basis,
        Some(basis(1, 100)),
        "it says what it renews"
    );
    let lease = permission(&account).lease_epoch;
    assert_eq!(
        account.apply(end(4, 1), &at(105)),
        CommandReply::NotDue,
        "a newer grant is in progress"
    );
    account.apply(settle(lease, 3, WorkOutcome::Succeeded), &at(106));
    assert_eq!(
        account.apply(end(5, 1), &at(107)),
        CommandReply::NotDue,
        "it is no longer the basis"
    );
    assert_eq!(
        account.apply(end(6, 3), &at(107)),
        CommandReply::NotDue,
        "it is not due"
    );
    assert!(matches!(account.apply(end(7, 3), &at(500)), CommandReply::Opened(_)));
}

#[test]
fn a_failed_renewal_leaves_the_old_end_which_is_then_due_at_once() {
    for renewal in [grant_until(3, 500), open(3)] {
        let mut account = shared();
        account.apply(renewal, &at(99));
        let lease = permission(&account).lease_epoch;
        account.apply(settle(lease, 3, FAILED()), &at(110));
        assert_eq!(permission(&account).basis, Some(basis(1, 100)));
        assert!(matches!(account.apply(end(4, 1), &at(110)), CommandReply::Opened(_)));
    }
}

#[test]
fn a_shorter_end_replaces_a_later_one() {
    let mut account = shared();
    account.apply(grant_until(3, 50), &at(10));
    let lease = permission(&account).lease_epoch;
    account.apply(settle(lease, 3, WorkOutcome::Succeeded), &at(11));
    assert!(matches!(account.apply(end(4, 3), &at(50)), CommandReply::Opened(_)));
}

#[test]
fn an_end_is_due_also_while_its_grant_is_in_doubt_and_waits_for_the_call_that_may_still_take_effect() {
    let mut account = new_account();
    account.apply(grant_until(1, 100), &at(0));
    account.apply(settle(FIRST, 1, IN_DOUBT), &at(1));
    let mut account = reloaded(&account, &[1]);
    assert!(matches!(account.apply(end(2, 1), &at(100)), CommandReply::Opened(_)));
    assert_eq!(
        account.change(change(1)).map(|grant| grant.state),
        Some(ChangeState::Superseded)
    );
    assert_eq!(permission(&account).current, Some(change(2)));
}

#[test]
fn an_end_waits_behind_the_call_of_its_own_grant() {
    let mut account = new_account();
    account.apply(grant_until(1, 5), &at(0));
    let mut account = reloaded(&account, &[1]);
    assert!(matches!(account.apply(end(2, 1), &at(6)), CommandReply::Opened(_)));
    assert_eq!(permission(&account).next, Some(change(2)));
    account.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(7));
    assert_eq!(permission(&account).current, Some(change(2)), "then it is carried out");
    assert_eq!(account.effects().work.len(), 1);
}

#[test]
fn a_revoke_that_failed_at_an_end_is_repeated_later_and_later() {
    let mut account = shared();
    let (mut now, mut delays) = (100, Vec::new());
    for number in (2..12).step_by(2) {
        let opened = account.apply(end(number, 1), &at(now));
        assert!(matches!(opened, CommandReply::Opened(_)), "{number}: {opened:?}");
        account.apply(Command::Claim(key(0)), &at(now));
        let epoch = permission(&account).lease_epoch;
        account.apply(settle(epoch, number, FAILED()), &at(now));
        let due = permission(&account).end_due_at.expect("the share still ends");
        let delay = due.since(at(now).now).as_secs();
        assert_eq!(
            account.apply(end(number + 1, 1), &at(now + delay - 1)),
            CommandReply::NotDue
        );
        delays.push(delay);
        now += delay;
        account = reloaded(&account, &[1]);
    }
    assert_eq!(delays, [60, 60, 120, 240, 480]);
}

#[test]
fn a_ttl_counts_from_the_commit_that_accepts_the_grant() {
    let ttl = ShareEnd::After(Duration::from_secs(30));
    let mut account = new_account();
    account.apply(grant(1, ttl), &at(5));
    let accepted = account.change(change(1)).expect("it was accepted");
    assert_eq!(accepted.expire_time(), Some(at(35).now));
    let body = account.effects().entries[0]
        .body
        .change()
        .expect("it is about a change");
    assert_eq!(body.expire_time(), Some(at(35).now), "the entry has the absolute end");
    // A replay long after the end still gets its answer.
    let Command::Open(again) = grant(1, ttl) else {
        unreachable!()
    };
    let again = Intent {
        change_id: change(7),
        ..Arc::unwrap_or_clone(again)
    };
    assert!(matches!(
        account.apply(Command::Open(Arc::new(again)), &at(99)),
        CommandReply::Replayed(_)
    ));
}

#[test]
fn requests_with_the_same_ttl_that_come_together_join_one_grant() {
    let ttl = ShareEnd::After(Duration::from_secs(3600));
    let mut account = new_account();
    account.apply(grant(1, ttl), &at(0));
    assert!(
        matches!(account.apply(grant(3, ttl), &at(36)), CommandReply::Joined(_)),
        "1 % of the TTL"
    );
    assert!(matches!(account.apply(grant(5, ttl), &at(37)), CommandReply::Opened(_)));
}

#[test]
fn an_end_that_has_passed_is_refused_and_writes_nothing() {
    let mut account = new_account();
    assert_eq!(account.apply(grant_until(1, 10), &at(10)), CommandReply::EndPassed);
    assert!(account.effects().is_nothing());
}

#[test]
fn while_older_builds_may_run_no_end_is_accepted_and_no_basis_recorded() {
    let older = |second| TransitionContext {
        admitted: AdmittedBuilds {
            know_ends: false,
            ..AdmittedBuilds::NEWEST
        },
        ..at(second)
    };
    let mut account = new_account();
    assert_eq!(
        account.apply(grant_until(1, 10), &older(0)),
        CommandReply::EndsNotAdmitted
    );
    account.apply(open(1), &older(0));
    account.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &older(1));
    assert_eq!(permission(&account).basis, None);
}

#[test]
fn an_end_whose_reply_was_lost_is_answered_again_and_hands_out_no_work() {
    let mut account = shared();
    account.apply(end(2, 1), &at(100));
    account.apply(Command::Claim(key(0)), &at(100));
    let mut again = reloaded(&account, &[1, 2]);
    assert!(matches!(again.apply(end(2, 1), &at(101)), CommandReply::Opened(_)));
    assert!(again.effects().is_nothing() && again.effects().work.is_empty());
}
