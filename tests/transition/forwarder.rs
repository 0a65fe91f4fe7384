//! What a replica's forwarder does with its work: it asks `convergence`, as the real one does, and calls AWS only under a
//! lease that has not run out. What AWS answers, and whether an answer arrives, is up to the dice.

use std::time::Duration;

use sharewarden::domain::{
    Access, Action, Attempt, AwsError, AwsErrorKind, AwsOperation, ChangeState, Classification, FailureReason,
    PermissionKey, Timestamp,
    convergence::{self, DecisionContext, NextStep, ReadBackReason},
    transition::{AccountState, Command, Settlement, Work, WorkOutcome},
};

use crate::{
    aws::WINDOW,
    fixtures::refused,
    promises::Promise::{FailedIsKnown, NothingLandsLast},
    world::{Dice, World},
};

/// Work that a replica was handed and has not given back.
pub(crate) struct Held {
    pub(crate) work: Work,
    pub(crate) expires_at: Timestamp,
    received: Timestamp,
    next: NextStep,
    seen: Option<Access>,
    attempts: Vec<Attempt>,
}

impl Held {
    pub(crate) fn new(work: Work, now: Timestamp, expires_at: Timestamp) -> Self {
        let next = convergence::first_step(work.in_doubt, refused());
        Self {
            work,
            expires_at,
            received: now,
            next,
            seen: None,
            attempts: Vec::new(),
        }
    }

    /// What bears on the next decision.
    fn circumstances(&self, now: Timestamp, spent: bool) -> DecisionContext<'static> {
        let past = now.since(self.received);
        DecisionContext {
            action: self.work.change.intent.action,
            first: self.work.change.generation == 1,
            spent,
            unresolved_for: self.work.unresolved_for.map(|left| left.saturating_sub(past)),
            seen: self.seen,
            denial: None,
        }
    }

    /// Nothing was called yet, so the lease can be lengthened or given back.
    fn is_fresh(&self) -> bool {
        self.attempts.is_empty()
            && matches!(
                self.next,
                NextStep::Call | NextStep::ReadBack(ReadBackReason::EarlierCall(_))
            )
    }
}

impl World {
    /// One step of one piece of work.
    pub(crate) fn call(&mut self, at: usize, dice: &mut Dice) {
        if let Some(index) = self.any_held(at, dice) {
            let mut held = self.replicas[at].held.swap_remove(index);
            self.proceed(&mut held, dice);
            self.replicas[at].held.push(held);
        }
    }

    pub(crate) fn renew(&mut self, at: usize, dice: &mut Dice) {
        let Some(index) = self.any_held(at, dice) else { return };
        if self.replicas[at].held[index].is_fresh() {
            let Held { work, attempts, .. } = self.replicas[at].held.swap_remove(index);
            let key = work.change.intent.key.clone();
            self.let_go(&key, work.epoch);
            let epoch = work.epoch;
            self.replicas[at].queue.push(Command::Renew { key, epoch, attempts });
        }
    }

    /// Works until there is an outcome, and records it.
    pub(crate) fn settle(&mut self, at: usize, dice: &mut Dice) {
        let Some(index) = self.any_held(at, dice) else { return };
        let mut held = self.replicas[at].held.swap_remove(index);
        // AWS does not answer, and the change is turned away without a call, once in a while.
        let is_turned_away = dice.roll(8) == 0;
        if is_turned_away && let Some(in_doubt) = held.next.in_doubt_if_skipped() {
            let now = held.circumstances(self.now(), dice.coin());
            held.next = convergence::when_unreachable(in_doubt, now);
        }
        while self.proceed(&mut held, dice) {}
        self.give_back_held(at, held, dice);
    }

    pub(crate) fn give_back_held(&mut self, at: usize, held: Held, dice: &mut Dice) {
        let outcome = match held.next {
            NextStep::Succeed => WorkOutcome::Succeeded,
            NextStep::Fail { failure, observed } => WorkOutcome::Failed { failure, observed },
            NextStep::Retry { in_doubt, .. } => WorkOutcome::Retry {
                delay: Duration::from_millis(dice.roll(3_000)),
                in_doubt,
                observed: held.seen,
            },
            // Too late to call: what was found out so far is that nothing is known.
            NextStep::Call | NextStep::ReadBack(_) => WorkOutcome::Retry {
                delay: Duration::ZERO,
                in_doubt: held.work.in_doubt,
                observed: None,
            },
        };
        self.give_back(at, held.work, held.attempts, outcome);
    }

    /// P3: what is recorded as failed is not in effect by a call of its own, nor by one that nothing on record accounts for; and it
    /// takes no effect afterwards.
    pub(crate) fn check_failures(&mut self, account: &AccountState) {
        for id in &account.effects().ended {
            let change = &self.database.changes[id];
            if change.state != ChangeState::Failed {
                continue;
            }
            let (key, wanted) = (&change.intent.key, Access::from(change.intent.action));
            let late = self.aws.on_its_way(key, wanted).cloned();
            self.breaches
                .check(NothingLandsLast, late.is_none() || self.unsteady, || {
                    format!("{change:?} is said to have failed, and on its way is {late:?}")
                });
            let effect = self.aws.effect(key).filter(|effect| effect.access == wanted);
            let right = effect.is_none_or(|effect| effect.recorded && effect.by != *id);
            self.breaches.check(FailedIsKnown, right || self.unsteady, || {
                format!("{change:?} is said to have failed, and in effect is {effect:?}")
            });
        }
    }

    /// Makes the next call, if there is one to make and the lease lasts. False when there is none.
    fn proceed(&mut self, held: &mut Held, dice: &mut Dice) -> bool {
        let now = self.now();
        let key = held.work.change.intent.key.clone();
        self.aws.give_up(&key, held.work.epoch, now.min(held.expires_at));
        let mut circumstances = held.circumstances(now, dice.coin());
        // Now and then the policy has changed since the change was accepted.
        if circumstances.action == Action::Grant && dice.roll(8) == 0 {
            circumstances.denial = Some("not any more");
        }
        held.next = match convergence::apply_policy(held.next.clone(), circumstances) {
            NextStep::Call if held.expires_at > now => {
                let result = self.update(held, dice);
                held.attempts.push(attempt(&result, now));
                convergence::after_call(&result, circumstances)
            }
            NextStep::ReadBack(doubt) => {
                let result = match dice.roll(5) {
                    0 => Err(fault(AwsErrorKind::Unknown)),
                    1 => Err(fault(AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied))),
                    _ => Ok(self.aws.holds(&key)),
                };
                held.seen = convergence::observed_access(&doubt, &result, circumstances);
                convergence::after_read_back(doubt, &result, circumstances)
            }
            next => {
                held.next = next;
                return false;
            }
        };
        true
    }

    /// Goes on with work to its outcome, with AWS's refusal as the answer to each call. Tells how many there were.
    pub(crate) fn refuse(&mut self, held: &mut Held) -> usize {
        let mut calls = 0;
        loop {
            let now = held.circumstances(self.now(), false);
            held.next = match held.next.clone() {
                NextStep::Call => {
                    calls += 1;
                    let result = Err(fault(AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied)));
                    held.attempts.push(attempt(&result, self.now()));
                    convergence::after_call(&result, now)
                }
                NextStep::ReadBack(doubt) => {
                    let result = Ok(self.aws.holds(&held.work.change.intent.key));
                    held.seen = convergence::observed_access(&doubt, &result, now);
                    convergence::after_read_back(doubt, &result, now)
                }
                _ => return calls,
            };
        }
    }

    fn update(&mut self, held: &Held, dice: &mut Dice) -> Result<(), AwsError> {
        let key = &held.work.change.intent.key;
        let access: Access = held.work.change.intent.action.into();
        let by = held.work.change.id();
        let against = self.aws.against(key, access).cloned();
        self.breaches
            .check(NothingLandsLast, against.is_none() || self.unsteady, || {
                format!("{access:?} is called while {against:?} is on its way")
            });
        let kind = match dice.roll(8) {
            0 => AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied),
            1 => AwsErrorKind::Throttled { retry_after: None },
            2 => AwsErrorKind::Unknown,
            3 => {
                self.aws.set(key, access, by);
                AwsErrorKind::Unknown
            }
            4 | 5 => {
                let after = Duration::from_millis(dice.roll(WINDOW.as_millis() as u64 + 1));
                self.aws
                    .set_later(key, access, by, held.work.epoch, held.expires_at, after);
                AwsErrorKind::Unknown
            }
            _ => {
                self.aws.set(key, access, by);
                return Ok(());
            }
        };
        Err(fault(kind))
    }

    pub(crate) fn give_back(&mut self, at: usize, work: Work, attempts: Vec<Attempt>, outcome: WorkOutcome) {
        let key = work.change.intent.key.clone();
        self.let_go(&key, work.epoch);
        self.replicas[at].queue.push(Command::Settle(Settlement {
            key,
            epoch: work.epoch,
            change_id: work.change.id(),
            attempts,
            outcome,
        }));
    }

    /// The holder makes no more calls under this epoch.
    fn let_go(&mut self, key: &PermissionKey, epoch: u64) {
        if let Some(call) = self.calls.get_mut(key).filter(|call| call.epoch == epoch) {
            call.over = true;
        }
    }

    fn any_held(&self, at: usize, dice: &mut Dice) -> Option<usize> {
        let held = &self.replicas[at].held;
        (!held.is_empty()).then(|| dice.pick(held.len()))
    }
}

fn fault(kind: AwsErrorKind) -> AwsError {
    AwsError {
        kind,
        code: None,
        message: None,
    }
}

fn attempt(result: &Result<(), AwsError>, now: Timestamp) -> Attempt {
    let classification = match result {
        Ok(()) => Classification::Accepted,
        Err(fault) => fault.kind.classification(),
    };
    Attempt {
        operation: AwsOperation::UpdateWorkspaceImagePermission,
        started_at: now,
        duration: Duration::ZERO,
        classification,
        aws_request_id: None,
        error_code: None,
    }
}
