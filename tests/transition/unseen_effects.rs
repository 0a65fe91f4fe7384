//! Lost calls that landed when nobody looked, each as the shortest story that the histories found. Odd changes grant, even ones
//! revoke.

use std::time::Duration;

use sharewarden::domain::{
    Access, ChangeFailure, ChangeState,
    transition::{AccountState, Command, CommandReply, WorkOutcome},
};

use crate::{
    fixtures::{change, key, refused},
    regressions::{THROTTLED, at, lost_call, new_account, open, settle, settle_after},
};

/// A change was called and the call was lost at this second; it is told to begin with reading back.
fn loses_its_call(account: &mut AccountState, number: u64, second: u64) {
    let epoch = newest_epoch(account);
    let later = WorkOutcome::Retry {
        delay: Duration::ZERO,
        in_doubt: true,
        observed: None,
    };
    account.apply(settle_after(epoch, number, lost_call(), later), &at(second));
}

fn newest_epoch(account: &AccountState) -> u64 {
    account.permission(&key(0)).expect("it was opened").lease_epoch
}

fn failed(observed: Option<Access>) -> WorkOutcome {
    let failure: ChangeFailure = refused();
    WorkOutcome::Failed { failure, observed }
}

/// A refusal of a call that was made again says nothing of the one before it: that is read back, and then the change may fail.
fn fails_only_when_it_was_read_back(account: &mut AccountState, number: u64, second: u64) {
    let epoch = newest_epoch(account);
    account.apply(settle(epoch, number, failed(None)), &at(second));
    let permission = account.permission(&key(0)).expect("it was opened");
    assert!(permission.in_doubt, "AWS may hold what it asks for");
    assert_eq!(
        permission.next_attempt_at,
        Some(at(second).now),
        "nothing is waited for"
    );
    assert_eq!(
        account.apply(Command::Claim(key(0)), &at(second)),
        CommandReply::Claimed
    );
    let epoch = newest_epoch(account);
    account.apply(settle(epoch, number, failed(Some(Access::NotShared))), &at(second));
    let state = account.change(change(number)).expect("it was opened").state;
    assert_eq!(state, ChangeState::Failed, "it was read back");
}

/// The call lands after the first look at AWS; the next is throttled, and the one after it refused.
#[test]
fn a_change_whose_lost_call_landed_unseen_is_not_failed_by_what_became_of_its_later_calls() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    loses_its_call(&mut account, 1, 1);
    account.apply(Command::Claim(key(0)), &at(2));
    let epoch = newest_epoch(&account);
    account.apply(settle(epoch, 1, THROTTLED), &at(3));
    account.apply(Command::Claim(key(0)), &at(9));
    fails_only_when_it_was_read_back(&mut account, 1, 10);
}

#[test]
fn a_change_for_the_same_is_not_failed_unread_after_one_whose_call_was_lost() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    loses_its_call(&mut account, 1, 1);
    account.apply(open(3), &at(20));
    fails_only_when_it_was_read_back(&mut account, 3, 20);
}

/// Nobody has looked since the first grant was lost, and what the revoke between them did is not known either.
#[test]
fn a_grant_is_not_failed_unread_after_a_lost_grant_and_a_lost_revoke() {
    for revoke_is_lost in [false, true] {
        let mut account = new_account();
        account.apply(open(1), &at(0));
        loses_its_call(&mut account, 1, 1);
        account.apply(open(2), &at(20));
        if revoke_is_lost {
            loses_its_call(&mut account, 2, 21);
        } else {
            let epoch = newest_epoch(&account);
            account.apply(settle(epoch, 2, THROTTLED), &at(21));
        }
        account.apply(open(3), &at(22));
        account.apply(Command::Claim(key(0)), &at(30));
        fails_only_when_it_was_read_back(&mut account, 3, 31);
    }
}

/// The newer change is noted, and the window ends, while the older one is being called.
#[test]
fn a_change_that_waits_behind_a_call_does_not_make_a_lost_one_forgotten() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    loses_its_call(&mut account, 1, 1);
    account.apply(Command::Claim(key(0)), &at(2));
    account.apply(open(2), &at(9));
    account.apply(open(3), &at(9));
    let epoch = newest_epoch(&account);
    account.apply(settle(epoch, 1, failed(None)), &at(10));
    let state = account.change(change(1)).expect("it was opened").state;
    assert_eq!(state, ChangeState::Superseded, "nobody knows that it failed");
    fails_only_when_it_was_read_back(&mut account, 3, 11);
}

/// What was read when nothing could land any more is not read again.
#[test]
fn a_change_that_was_read_back_and_throttled_fails_without_another_look() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    loses_its_call(&mut account, 1, 1);
    account.apply(Command::Claim(key(0)), &at(9));
    let throttled = WorkOutcome::Retry {
        delay: Duration::ZERO,
        in_doubt: false,
        observed: Some(Access::NotShared),
    };
    let epoch = newest_epoch(&account);
    account.apply(settle(epoch, 1, throttled), &at(9));
    account.apply(Command::Claim(key(0)), &at(10));
    let epoch = newest_epoch(&account);
    account.apply(settle(epoch, 1, failed(None)), &at(10));
    let state = account.change(change(1)).expect("it was opened").state;
    assert_eq!(state, ChangeState::Failed);
}
