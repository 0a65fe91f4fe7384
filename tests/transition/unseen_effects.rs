//! Unresolved calls whose effect was not read, each as the shortest sequence that the histories found. Odd changes grant, even
//! changes revoke.

use std::time::Duration;

use sharewarden::domain::{
    Access, ChangeFailure, ChangeState,
    transition::{AccountState, Command, CommandReply, WorkOutcome},
};

use crate::{
    fixtures::{change, key, refused},
    regressions::{THROTTLED, at, new_account, open, settle, settle_after, unresolved_call},
};

/// Settles a change whose call at this second had no answer. The next attempt starts with a read back.
fn settle_unresolved(account: &mut AccountState, number: u64, second: u64) {
    let epoch = newest_epoch(account);
    let later = WorkOutcome::Retry {
        delay: Duration::ZERO,
        in_doubt: true,
        observed: None,
    };
    account.apply(settle_after(epoch, number, unresolved_call(), later), &at(second));
}

fn newest_epoch(account: &AccountState) -> u64 {
    account.permission(&key(0)).expect("it was opened").lease_epoch
}

fn failed(observed: Option<Access>) -> WorkOutcome {
    let failure: ChangeFailure = refused();
    WorkOutcome::Failed { failure, observed }
}

/// Checks that the refusal of a repeated call does not fail the change: the effect of the earlier call must be read first.
fn assert_fails_only_after_a_read_back(account: &mut AccountState, number: u64, second: u64) {
    let epoch = newest_epoch(account);
    account.apply(settle(epoch, number, failed(None)), &at(second));
    let permission = account.permission(&key(0)).expect("it was opened");
    assert!(permission.in_doubt, "AWS may hold the requested access");
    assert_eq!(permission.next_attempt_at, Some(at(second).now), "there is no delay");
    assert_eq!(
        account.apply(Command::Claim(key(0)), &at(second)),
        CommandReply::Claimed
    );
    let epoch = newest_epoch(account);
    account.apply(settle(epoch, number, failed(Some(Access::NotShared))), &at(second));
    let state = account.change(change(number)).expect("it was opened").state;
    assert_eq!(state, ChangeState::Failed, "it was read back");
}

/// The call takes effect after the first read. The second call is throttled, and the third is refused.
#[test]
fn later_calls_do_not_fail_a_change_whose_unresolved_call_took_effect_unread() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    settle_unresolved(&mut account, 1, 1);
    account.apply(Command::Claim(key(0)), &at(2));
    let epoch = newest_epoch(&account);
    account.apply(settle(epoch, 1, THROTTLED), &at(3));
    account.apply(Command::Claim(key(0)), &at(9));
    assert_fails_only_after_a_read_back(&mut account, 1, 10);
}

#[test]
fn a_change_for_the_same_access_does_not_fail_before_the_unresolved_call_is_read_back() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    settle_unresolved(&mut account, 1, 1);
    account.apply(open(3), &at(20));
    assert_fails_only_after_a_read_back(&mut account, 3, 20);
}

/// AWS was not read since the first grant, and the effect of the revoke between the grants is unknown too.
#[test]
fn a_grant_does_not_fail_unread_after_an_unresolved_grant_and_revoke() {
    for is_revoke_unresolved in [false, true] {
        let mut account = new_account();
        account.apply(open(1), &at(0));
        settle_unresolved(&mut account, 1, 1);
        account.apply(open(2), &at(20));
        if is_revoke_unresolved {
            settle_unresolved(&mut account, 2, 21);
        } else {
            let epoch = newest_epoch(&account);
            account.apply(settle(epoch, 2, THROTTLED), &at(21));
        }
        account.apply(open(3), &at(22));
        account.apply(Command::Claim(key(0)), &at(30));
        assert_fails_only_after_a_read_back(&mut account, 3, 31);
    }
}

/// The newer change arrives and the window ends while the older change is being called.
#[test]
fn a_change_that_waits_behind_a_call_does_not_drop_the_unresolved_call() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    settle_unresolved(&mut account, 1, 1);
    account.apply(Command::Claim(key(0)), &at(2));
    account.apply(open(2), &at(9));
    account.apply(open(3), &at(9));
    let epoch = newest_epoch(&account);
    account.apply(settle(epoch, 1, failed(None)), &at(10));
    let state = account.change(change(1)).expect("it was opened").state;
    assert_eq!(state, ChangeState::Superseded, "it is unknown whether it failed");
    assert_fails_only_after_a_read_back(&mut account, 3, 11);
}

/// A read at a time when no call could take effect is not repeated.
#[test]
fn a_change_that_was_read_back_and_throttled_fails_without_another_read() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    settle_unresolved(&mut account, 1, 1);
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
