//! Calls that take effect late, each as a short sequence of commands. Odd changes grant, even changes revoke.

use std::time::Duration;

use sharewarden::domain::{
    Access, AwsOperation, ChangeState, Timestamp,
    transition::{AccountState, Command, CommandReply, WorkOutcome},
};

use crate::{
    fixtures::{change, key, start},
    regressions::{
        FIRST, WINDOW, at, epochs, new_account, open, reloaded, renew, settle, settle_after, unresolved_call,
    },
};

const LATER: WorkOutcome = WorkOutcome::Retry {
    delay: Duration::ZERO,
    in_doubt: true,
    observed: None,
};

fn second(seconds: u64) -> Timestamp {
    start() + Duration::from_secs(seconds)
}

/// An account whose grant has an unresolved call from second 1.
fn after_an_unresolved_grant(outcome: WorkOutcome) -> AccountState {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    account.apply(settle_after(FIRST, 1, unresolved_call(), outcome), &at(1));
    reloaded(&account, &[1])
}

fn waits_until(account: &AccountState, seconds: u64) {
    let permission = account.permission(&key(0)).expect("it was opened");
    assert!(account.effects().work.is_empty(), "no work is handed out");
    assert_eq!((permission.lease, permission.next), (None, None));
    assert_eq!(permission.next_attempt_at, Some(second(seconds)));
}

#[test]
fn a_revoke_waits_until_the_unresolved_grant_before_it_can_take_effect_no_more() {
    let mut account = after_an_unresolved_grant(LATER);
    account.apply(open(2), &at(2));
    assert_eq!(
        account.change(change(1)).expect("it was opened").state,
        ChangeState::Superseded
    );
    waits_until(&account, 1 + WINDOW.as_secs());
    assert_eq!(account.apply(Command::Claim(key(0)), &at(7)), CommandReply::NotClaimed);
    assert_eq!(account.apply(Command::Claim(key(0)), &at(8)), CommandReply::Claimed);
    let [work] = &account.effects().work[..] else {
        panic!("one change has a lease")
    };
    assert_eq!(
        (work.change.id(), work.unresolved_for),
        (change(2), Some(Duration::ZERO))
    );
}

#[test]
fn it_also_waits_if_the_unresolved_grant_was_read_in_effect_or_called_again() {
    // The second call may have caused what was read, and the first may still take effect.
    let mut account = after_an_unresolved_grant(WorkOutcome::Succeeded);
    account.apply(open(2), &at(2));
    waits_until(&account, 8);
}

#[test]
fn a_change_for_the_same_access_does_not_wait_and_does_not_join_a_change_in_doubt() {
    let mut account = after_an_unresolved_grant(LATER);
    account.apply(open(3), &at(2));
    let [work] = &account.effects().work[..] else {
        panic!("it has a lease at once")
    };
    assert_eq!(work.change.id(), change(3));
    assert_eq!(
        work.unresolved_for,
        Some(Duration::from_secs(6)),
        "it must not fail earlier"
    );
    // Change 3 has a lease, so the next request joins it.
    let reply = account.apply(open(5), &at(2));
    assert!(
        matches!(&reply, CommandReply::Joined(snapshot) if snapshot.change.id() == change(3)),
        "{reply:?}"
    );
}

#[test]
fn a_waiting_change_is_superseded_by_a_change_for_the_access_of_the_unresolved_call() {
    let mut account = after_an_unresolved_grant(LATER);
    account.apply(open(2), &at(2));
    account.apply(open(3), &at(3));
    assert_eq!(
        account.change(change(2)).expect("it was opened").state,
        ChangeState::Superseded
    );
    let work = &account.effects().work[0];
    assert_eq!(work.change.id(), change(3));
    assert_eq!(
        work.unresolved_for,
        Some(Duration::from_secs(5)),
        "it must not fail earlier"
    );
}

#[test]
fn a_revoke_behind_a_call_waits_when_the_call_is_settled_as_unresolved() {
    for outcome in [LATER, WorkOutcome::Succeeded] {
        let mut account = new_account();
        account.apply(open(1), &at(0));
        let mut account = reloaded(&account, &[1]);
        account.apply(open(2), &at(1));
        account.apply(settle_after(FIRST, 1, unresolved_call(), outcome), &at(2));
        waits_until(&account, 9);
    }
}

#[test]
fn after_a_holder_disappeared_the_window_counts_from_the_end_of_its_lease() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    let mut account = reloaded(&account, &[1]);
    account.apply(open(2), &at(11));
    waits_until(&account, 10 + WINDOW.as_secs());

    let mut account = new_account();
    account.apply(open(1), &at(0));
    let mut account = reloaded(&account, &[1]);
    account.apply(open(2), &at(17));
    assert_eq!(account.effects().work.len(), 1, "the window has passed");
}

#[test]
fn a_renewal_ends_the_lease_for_a_newer_change_that_has_to_wait() {
    let mut account = after_an_unresolved_grant(LATER);
    account.apply(Command::Claim(key(0)), &at(2));
    let epoch = account.effects().work[0].epoch;
    let mut account = reloaded(&account, &[1]);
    account.apply(open(2), &at(3));
    assert_eq!(account.apply(renew(epoch), &at(4)), CommandReply::GaveWay);
    waits_until(&account, 8);
}

/// A newer change waits for one window only, however often AWS is read without success.
#[test]
fn only_an_unresolved_mutating_call_makes_others_wait() {
    let mut read = unresolved_call();
    read[0].operation = AwsOperation::DescribeWorkspaceImagePermissions;
    let mut account = after_an_unresolved_grant(LATER);
    account.apply(Command::Claim(key(0)), &at(2));
    let epoch = account.effects().work[0].epoch;
    account.apply(settle_after(epoch, 1, read, LATER), &at(3));
    let call = account
        .permission(&key(0))
        .expect("it was opened")
        .unresolved_call
        .expect("a call is unresolved");
    assert_eq!((call.access, call.until), (Access::Shared, second(8)));
}

#[test]
fn it_is_unknown_what_aws_holds_while_a_call_may_take_effect() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    account.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(1));
    account.apply(open(2), &at(2));
    let epoch = account.permission(&key(0)).expect("it was opened").lease_epoch;
    account.apply(settle_after(epoch, 2, unresolved_call(), LATER), &at(3));
    assert_eq!(account.permission(&key(0)).expect("it was opened").applied, None);
}

/// The database was unavailable for longer than a batch is retried.
#[test]
fn an_outcome_that_is_offered_again_hands_out_no_work_of_a_change_opened_meanwhile() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    let mut account = reloaded(&account, &[1]);
    // The commit succeeds, its reply is lost, and the next tries fail.
    account.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(1));
    let mut account = reloaded(&account, &[1]);
    account.apply(open(2), &at(2));
    assert_eq!(account.effects().work.len(), 1, "change 2 has a lease");

    let mut again = reloaded(&account, &[2]);
    let reply = again.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(3));
    assert_eq!(reply, CommandReply::LeaseLost);
    assert_eq!(epochs(&again.effects().work), Vec::<u64>::new());
}
