//! Bugs that the histories found, each as the shortest sequence of commands that shows it.

use std::time::Duration;

use sharewarden::domain::{
    Action::{Grant, Revoke},
    Attempt, AwsOperation, Classification, Decision, EntryBody, PolicyId, Request, example,
    transition::{
        AccountState, AdmittedBuilds, Command, CommandReply, Effects, Settlement, TransitionContext, Work, WorkOutcome,
    },
};

use crate::fixtures::{account, change, denials, intent, key, replica, start};

/// How long an unresolved call may still take effect.
pub(crate) const WINDOW: Duration = Duration::from_secs(7);

/// The epoch of a permission's first lease: every lease that is not given by a settlement skips one epoch.
pub(crate) const FIRST: u64 = 2;

pub(crate) fn at(seconds: u64) -> TransitionContext {
    TransitionContext {
        admitted: AdmittedBuilds::NEWEST,
        now: start() + Duration::from_secs(seconds),
        replica: replica(1),
        lease_for: Duration::from_secs(10),
        late_effect_window: WINDOW,
    }
}

pub(crate) fn new_account() -> AccountState {
    AccountState::new(account(), 0, start(), [], [], [])
}

/// The account as it is loaded after a commit, with these changes.
pub(crate) fn reloaded(account: &AccountState, changes: &[u64]) -> AccountState {
    let changes: Vec<_> = changes
        .iter()
        .filter_map(|number| account.change(change(*number)).cloned())
        .collect();
    let requests: Vec<_> = changes.iter().map(|change| Request::of(&change.intent)).collect();
    let permission = account.permission(&key(0)).cloned();
    AccountState::new(account.id(), 100, start(), permission, requests, changes)
}

pub(crate) fn open(number: u64) -> Command {
    let action = if number.is_multiple_of(2) { Revoke } else { Grant };
    Command::Open(intent(number, number, key(0), action, 0))
}

pub(crate) fn settle(epoch: u64, number: u64, outcome: WorkOutcome) -> Command {
    settle_after(epoch, number, Vec::new(), outcome)
}

/// A settlement of a lease with attempts.
pub(crate) fn settle_after(epoch: u64, number: u64, attempts: Vec<Attempt>, outcome: WorkOutcome) -> Command {
    Command::Settle(Settlement {
        key: key(0),
        epoch,
        change_id: change(number),
        attempts,
        decision: None,
        outcome,
    })
}

pub(crate) fn renew(epoch: u64) -> Command {
    Command::Renew {
        key: key(0),
        epoch,
        attempts: Vec::new(),
    }
}

pub(crate) fn epochs(work: &[Work]) -> Vec<u64> {
    work.iter().map(|work| work.epoch).collect()
}

#[test]
fn counted_denials_are_one_entry_and_change_nothing_else() {
    let mut account = new_account();
    let reply = account.apply(Command::RecordDenials(account.id(), denials()), &at(1));
    assert_eq!(reply, CommandReply::DenialsRecorded);
    let Effects {
        entries,
        permissions,
        requests,
        opened,
        updated,
        work,
        ..
    } = account.effects();
    assert!(
        permissions.is_empty() && requests.is_empty() && opened.is_empty() && updated.is_empty() && work.is_empty()
    );
    let bodies: Vec<_> = entries.iter().map(|entry| &entry.body).collect();
    assert_eq!(bodies, [&EntryBody::ChangeDenials((*denials()).clone())]);
}

#[test]
fn a_settlement_of_the_maximum_epoch_does_not_panic() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    let answer = account.apply(settle(u64::MAX, 1, WorkOutcome::Succeeded), &at(1));
    assert_eq!(answer, CommandReply::LeaseLost);
}

#[test]
fn a_change_that_opens_and_ends_in_one_batch_is_saved_as_new() {
    let mut account = new_account();
    for number in 1..=3 {
        account.apply(open(number), &at(0));
    }
    assert_eq!(account.effects().ended, [change(2)]);
    assert_eq!(account.effects().opened.len(), 3);
    assert!(account.effects().updated.is_empty());
}

#[test]
fn a_lost_reply_to_a_waiting_change_does_not_hand_out_the_work_of_the_change_before_it() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    let mut account = reloaded(&account, &[1]);
    account.apply(open(2), &at(1));

    let mut again = reloaded(&account, &[1, 2]);
    again.apply(open(2), &at(2));
    assert!(
        again.effects().work.is_empty(),
        "change 1 has been called since second 0"
    );
}

#[test]
fn a_lost_batch_hands_out_its_work_once_although_two_commands_refer_to_it() {
    let retry = WorkOutcome::Retry {
        delay: Duration::ZERO,
        in_doubt: false,
        observed: None,
    };
    let mut account = new_account();
    account.apply(open(1), &at(0));
    let mut account = reloaded(&account, &[1]);
    let batch = [settle(FIRST, 1, retry), open(2)];
    for command in batch.clone() {
        account.apply(command, &at(1));
    }

    let mut again = reloaded(&account, &[2]);
    for command in batch {
        again.apply(command, &at(2));
    }
    assert_eq!(epochs(&again.effects().work), [FIRST + 2]);
}

#[test]
fn a_lost_reply_does_not_hand_out_work_under_an_expired_lease() {
    let mut account = new_account();
    account.apply(open(1), &at(0));

    let mut again = reloaded(&account, &[1]);
    again.apply(open(1), &at(11));
    assert!(again.effects().work.is_empty(), "another replica may claim it now");
    assert_eq!(again.apply(Command::Claim(key(0)), &at(11)), CommandReply::Claimed);
}

#[test]
fn a_late_settlement_does_not_hand_out_the_work_of_the_lease_that_replaced_its_own() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    let mut account = reloaded(&account, &[1]);
    account.apply(open(2), &at(17));
    assert_eq!(
        account.effects().work.len(),
        1,
        "change 2 took over from the holder that disappeared"
    );

    let mut late = reloaded(&account, &[2]);
    assert_eq!(
        late.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(18)),
        CommandReply::LeaseLost
    );
    assert!(
        late.effects().work.is_empty(),
        "change 2 has been called since second 17"
    );
}

#[test]
fn a_settlement_whose_reply_was_lost_hands_out_the_work_that_it_gave() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    account.apply(open(2), &at(1));
    let mut account = reloaded(&account, &[1, 2]);
    account.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(2));

    let mut again = reloaded(&account, &[2]);
    assert_eq!(
        again.apply(settle(FIRST, 1, WorkOutcome::Succeeded), &at(3)),
        CommandReply::LeaseLost
    );
    assert_eq!(epochs(&again.effects().work), [FIRST + 1]);
}

pub(crate) const THROTTLED: WorkOutcome = WorkOutcome::Retry {
    delay: Duration::ZERO,
    in_doubt: false,
    observed: None,
};

pub(crate) fn unresolved_call() -> Vec<Attempt> {
    vec![Attempt {
        operation: AwsOperation::UpdateWorkspaceImagePermission,
        started_at: start(),
        duration: Duration::ZERO,
        classification: Classification::Unknown,
        aws_request_id: None,
        error_code: Some("Timeout".into()),
    }]
}

#[test]
fn a_renewal_whose_answer_was_lost_is_answered_again() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    let mut account = reloaded(&account, &[1]);
    let renewed = account.apply(renew(FIRST), &at(8));

    let mut again = reloaded(&account, &[1]);
    let answer = again.apply(renew(FIRST), &at(9));
    let (CommandReply::Renewed(first), CommandReply::Renewed(second)) = (renewed, answer) else {
        panic!("this replica holds the lease")
    };
    assert_eq!((first.epoch, second.epoch), (FIRST + 1, FIRST + 1));
    assert_eq!((first.lease_for.as_secs(), second.lease_for.as_secs()), (10, 9));
    let mut late = reloaded(&account, &[1]);
    assert_eq!(
        late.apply(renew(FIRST), &at(18)),
        CommandReply::LeaseLost,
        "the lease expired"
    );
    let mut other = reloaded(&account, &[1]);
    let elsewhere = TransitionContext {
        replica: replica(2),
        ..at(9)
    };
    assert_eq!(other.apply(renew(FIRST), &elsewhere), CommandReply::LeaseLost);
}

#[test]
fn a_claim_whose_reply_was_lost_hands_out_its_work_again() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    account.apply(settle(FIRST, 1, THROTTLED), &at(1));
    let mut account = reloaded(&account, &[1]);
    account.apply(Command::Claim(key(0)), &at(2));
    let [epoch] = epochs(&account.effects().work)[..] else {
        panic!("it was claimed")
    };

    let mut again = reloaded(&account, &[1]);
    assert_eq!(again.apply(Command::Claim(key(0)), &at(3)), CommandReply::NotClaimed);
    again.hand_out_again(&key(0), epoch, &at(3));
    again.hand_out_again(&key(0), epoch, &at(3));
    assert_eq!(epochs(&again.effects().work), [epoch]);
    let mut late = reloaded(&account, &[1]);
    late.hand_out_again(&key(0), epoch, &at(12));
    assert!(late.effects().work.is_empty(), "the lease expired");
}

#[test]
fn reads_under_a_lease_that_a_newer_change_takes_over_are_recorded() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    let mut account = reloaded(&account, &[1]);
    account.apply(open(2), &at(1));
    let mut read = unresolved_call();
    read[0].operation = AwsOperation::DescribeWorkspaceImagePermissions;
    let attempts = Command::Renew {
        key: key(0),
        epoch: FIRST,
        attempts: read.clone(),
    };
    let CommandReply::Renewed(work) = account.apply(attempts, &at(2)) else {
        panic!("this replica holds the lease")
    };
    assert_eq!(work.change.id(), change(2));
    assert_eq!(account.change(change(1)).expect("it was opened").attempts, read);
}

#[test]
fn a_lost_batch_hands_the_work_of_a_renewed_lease_to_the_holder_that_renews_and_to_no_other() {
    let mut account = new_account();
    account.apply(open(1), &at(0));
    let mut account = reloaded(&account, &[1]);
    let batch = [open(2), renew(FIRST)];
    for command in batch.clone() {
        account.apply(command, &at(1));
    }

    let mut again = reloaded(&account, &[1, 2]);
    let [_, CommandReply::Renewed(work)] = batch.map(|command| again.apply(command, &at(2))) else {
        panic!("this replica holds the lease")
    };
    assert_eq!((work.epoch, work.change.id()), (FIRST + 1, change(2)));
    assert!(again.effects().work.is_empty(), "two tasks would work under one lease");
}

#[test]
fn the_last_decision_of_the_policy_is_in_the_terminal_entry_and_none_keeps_the_earlier_one() {
    let later = Decision {
        policies: vec![PolicyId::from("later".to_owned())],
        ..example::decision()
    };
    let decisions = |second: Option<Decision>| {
        let mut account = new_account();
        let mut asked = (*intent(1, 1, key(0), Grant, 0)).clone();
        asked.decision = Some(example::decision());
        account.apply(Command::Open(asked.into()), &at(0));
        let Command::Settle(mut settlement) = settle(FIRST, 1, WorkOutcome::Succeeded) else {
            unreachable!("it is a settlement");
        };
        settlement.decision = second.map(Box::new);
        assert_eq!(
            account.apply(Command::Settle(settlement), &at(1)),
            CommandReply::Settled
        );
        let entries = account.effects().entries.iter();
        let bodies = entries.filter_map(|entry| entry.body.change());
        let decisions = bodies.map(|body| body.intent.decision.clone().unwrap());
        decisions.collect::<Vec<_>>()
    };
    assert_eq!(decisions(None), [example::decision(), example::decision()]);
    assert_eq!(decisions(Some(later.clone())), [example::decision(), later]);
}
