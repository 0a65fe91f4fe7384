//! Calls that land late, each as the shortest story. Odd changes grant, even ones revoke.

use std::time::Duration;

use sharewarden::domain::{
    Access, AwsOperation, ChangeState, Timestamp,
    transition::{AccountState, Command, CommandReply, WorkOutcome},
};

use crate::{
    fixtures::{change, key, start},
    regressions::{FIRST, WINDOW, at, epochs, lost_call, new_account, open, reloaded, renew, settle, settle_after},
};

const LATER: WorkOutcome = WorkOutcome::Retry {
    delay: Duration::ZERO,
    in_doubt: true,
    observed: None,
};

fn second(seconds: u64) -> Timestamp {
    start() + Duration::from_secs(seconds)
}

/// A grant whose call was lost in second 1, and is looked at again later.
fn after_a_lost_grant(outcome: WorkOutcome) -> AccountState {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    account.apply(settle_after(FIRST, 1, lost_call(), outcome), &at(1));
    reloaded(&account, &[1])
}

fn waits_until(account: &AccountState, seconds: u64) {
    let permission = account.permission(&key(0)).expect("it was opened");
    assert!(account.effects().work.is_empty(), "nobody calls");
    assert_eq!((permission.lease, permission.next), (None, None));
    assert_eq!(permission.next_attempt_at, Some(second(seconds)));
}

#[test]
fn a_revoke_waits_until_the_lost_grant_before_it_can_land_no_more() {
    let mut account = after_a_lost_grant(LATER);
    account.apply(open(2), &at(2));
    assert_eq!(
        account.change(change(1)).expect("it was opened").state,
        ChangeState::Superseded
    );
    waits_until(&account, 1 + WINDOW.as_secs());
    assert_eq!(account.apply(Command::Claim(key(0)), &at(7)), CommandReply::NotClaimed);
    assert_eq!(account.apply(Command::Claim(key(0)), &at(8)), CommandReply::Claimed);
    let [work] = &account.effects().work[..] else {
        panic!("it is its turn")
    };
    assert_eq!(
        (work.change.id(), work.unresolved_for),
        (change(2), Some(Duration::ZERO))
    );
}

#[test]
fn it_waits_also_when_the_lost_grant_was_seen_in_effect_or_done_once_more() {
    // What showed may be the second call's doing, and the first one's is to come.
    let mut account = after_a_lost_grant(WorkOutcome::Succeeded);
    account.apply(open(2), &at(2));
    waits_until(&account, 8);
}

#[test]
fn a_change_for_the_same_does_not_wait_and_does_not_join_one_in_doubt() {
    let mut account = after_a_lost_grant(LATER);
    account.apply(open(3), &at(2));
    let [work] = &account.effects().work[..] else {
        panic!("it is called at once")
    };
    assert_eq!(work.change.id(), change(3));
    assert_eq!(
        work.unresolved_for,
        Some(Duration::from_secs(6)),
        "it must not fail before"
    );
    // This one is being worked on, and so the next request joins it.
    let answer = account.apply(open(5), &at(2));
    assert!(
        matches!(&answer, CommandReply::Joined(snapshot) if snapshot.change.id() == change(3)),
        "{answer:?}"
    );
}

#[test]
fn who_waits_is_overtaken_by_a_change_for_what_may_land() {
    let mut account = after_a_lost_grant(LATER);
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
        "it must not fail before"
    );
}

#[test]
fn a_revoke_behind_the_call_that_is_lost_waits_when_that_is_told() {
    for outcome in [LATER, WorkOutcome::Succeeded] {
        let mut account = new_account();
        account.apply(open(1), &at(0));
        let mut account = reloaded(&account, &[1]);
        account.apply(open(2), &at(1));
        account.apply(settle_after(FIRST, 1, lost_call(), outcome), &at(2));
        waits_until(&account, 9);
    }
}

#[test]
fn what_a_lost_holder_may_have_sent_is_waited_for_from_the_end_of_its_lease() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    let mut account = reloaded(&account, &[1]);
    account.apply(open(2), &at(11));
    waits_until(&account, 10 + WINDOW.as_secs());

    let mut account = new_account();
    account.apply(open(1), &at(0));
    let mut account = reloaded(&account, &[1]);
    account.apply(open(2), &at(17));
    assert_eq!(account.effects().work.len(), 1, "too late to land");
}

#[test]
fn a_holder_that_renews_gives_way_to_a_change_that_has_to_wait() {
    let mut account = after_a_lost_grant(LATER);
    account.apply(Command::Claim(key(0)), &at(2));
    let epoch = account.effects().work[0].epoch;
    let mut account = reloaded(&account, &[1]);
    account.apply(open(2), &at(3));
    assert_eq!(account.apply(renew(epoch), &at(4)), CommandReply::GaveWay);
    waits_until(&account, 8);
}

/// A newer change waits for the window once, however often AWS is looked at in vain.
#[test]
fn only_a_lost_call_that_changes_something_makes_others_wait() {
    let mut read = lost_call();
    read[0].operation = AwsOperation::DescribeWorkspaceImagePermissions;
    let mut account = after_a_lost_grant(LATER);
    account.apply(Command::Claim(key(0)), &at(2));
    let epoch = account.effects().work[0].epoch;
    account.apply(settle_after(epoch, 1, read, LATER), &at(3));
    let landing = account
        .permission(&key(0))
        .expect("it was opened")
        .unresolved_call
        .expect("a call was lost");
    assert_eq!((landing.access, landing.until), (Access::Shared, second(8)));
}

#[test]
fn nobody_knows_what_aws_holds_while_a_call_may_land() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    account.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(1));
    account.apply(open(2), &at(2));
    let epoch = account.permission(&key(0)).expect("it was opened").lease_epoch;
    account.apply(settle_after(epoch, 2, lost_call(), LATER), &at(3));
    assert_eq!(account.permission(&key(0)).expect("it was opened").applied, None);
}

/// Found by thinking of a database that is away for longer than a batch is tried for.
#[test]
fn an_outcome_that_is_offered_again_does_not_hand_out_the_work_of_a_change_opened_meanwhile() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    let mut account = reloaded(&account, &[1]);
    // Committed; but the answer is lost, and the next tries fail.
    account.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(1));
    let mut account = reloaded(&account, &[1]);
    account.apply(open(2), &at(2));
    assert_eq!(account.effects().work.len(), 1, "change 2 is being called");

    let mut again = reloaded(&account, &[2]);
    let answer = again.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(3));
    assert_eq!(answer, CommandReply::LeaseLost);
    assert_eq!(epochs(&again.effects().work), Vec::<u64>::new());
}
