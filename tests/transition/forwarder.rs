//! A model of a replica's forwarder. Like the real one it asks `convergence`, and calls AWS only under a lease that has not
//! expired. The dice decide what AWS answers, and whether the answer arrives.

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
    promises::Promise::{DoubtIsReadFirst, FailedIsKnown, NewestTakesEffectLast, RefusedIsNotCalled},
    world::{Dice, World},
};

/// Work that a replica holds.
pub(crate) struct HeldWork {
    pub(crate) work: Work,
    pub(crate) expires_at: Timestamp,
    received: Timestamp,
    next: NextStep,
    observed: Option<Access>,
    attempts: Vec<Attempt>,
}

impl HeldWork {
    pub(crate) fn new(work: Work, now: Timestamp, expires_at: Timestamp) -> Self {
        let next = convergence::first_step(work.in_doubt, refused());
        Self {
            work,
            expires_at,
            received: now,
            next,
            observed: None,
            attempts: Vec::new(),
        }
    }

    /// The facts for the next decision.
    fn decision_context(&self, now: Timestamp, spent: bool) -> DecisionContext<'static> {
        let past = now.since(self.received);
        DecisionContext {
            action: self.work.change.intent.action,
            is_first: self.work.change.generation == 1,
            is_budget_spent: spent,
            unresolved_for: self.work.unresolved_for.map(|left| left.saturating_sub(past)),
            observed: self.observed,
            denial: None,
        }
    }

    /// True if no call was made yet, so that the lease can be renewed or given back.
    fn is_fresh(&self) -> bool {
        self.attempts.is_empty()
            && matches!(
                self.next,
                NextStep::Call | NextStep::ReadBack(ReadBackReason::EarlierCall(_))
            )
    }
}

impl World {
    /// Makes one step of one held work.
    pub(crate) fn call(&mut self, at: usize, dice: &mut Dice) {
        if let Some(index) = self.any_held(at, dice) {
            let mut held = self.replicas[at].held.swap_remove(index);
            self.proceed(at, &mut held, dice);
            self.replicas[at].held.push(held);
        }
    }

    pub(crate) fn renew(&mut self, at: usize, dice: &mut Dice) {
        let Some(index) = self.any_held(at, dice) else { return };
        if self.replicas[at].held[index].is_fresh() {
            let HeldWork { work, attempts, .. } = self.replicas[at].held.swap_remove(index);
            let key = work.change.intent.key.clone();
            self.end_calls(&key, work.epoch);
            let epoch = work.epoch;
            self.replicas[at].queue.push(Command::Renew { key, epoch, attempts });
        }
    }

    /// Works until there is an outcome, and submits it.
    pub(crate) fn settle(&mut self, at: usize, dice: &mut Dice) {
        let Some(index) = self.any_held(at, dice) else { return };
        let mut held = self.replicas[at].held.swap_remove(index);
        // Sometimes AWS does not answer, and the dispatcher rejects the change without a call.
        let is_rejected = dice.roll(8) == 0;
        if is_rejected && let Some(in_doubt) = held.next.in_doubt_if_skipped() {
            let now = held.decision_context(self.now(), dice.coin());
            held.next = convergence::when_unreachable(in_doubt, now);
        }
        while self.proceed(at, &mut held, dice) {}
        self.give_back_held(at, held, dice);
    }

    pub(crate) fn give_back_held(&mut self, at: usize, held: HeldWork, dice: &mut Dice) {
        if let NextStep::Fail { failure, observed } = &held.next {
            let is_blind = held.work.in_doubt && failure.reason == FailureReason::PolicyDenied && observed.is_none();
            self.breaches.check(DoubtIsReadFirst, !is_blind, || {
                format!("{:?} was refused without a read back", held.work)
            });
        }
        let outcome = match held.next {
            NextStep::Succeed => WorkOutcome::Succeeded,
            NextStep::Fail { failure, observed } => WorkOutcome::Failed { failure, observed },
            NextStep::Retry { in_doubt, .. } => WorkOutcome::Retry {
                delay: Duration::from_millis(dice.roll(3_000)),
                in_doubt,
                observed: held.observed,
            },
            // The lease expired before a call, so nothing is known.
            NextStep::Call | NextStep::ReadBack(_) => WorkOutcome::Retry {
                delay: Duration::ZERO,
                in_doubt: held.work.in_doubt,
                observed: None,
            },
        };
        self.give_back(at, held.work, held.attempts, outcome);
    }

    /// P3: a failed change is not in effect through its own call, nor through a call whose effect is not recorded. It takes no
    /// effect afterwards.
    pub(crate) fn check_failures(&mut self, account: &AccountState) {
        for id in &account.effects().ended {
            let change = &self.database.changes[id];
            if change.state != ChangeState::Failed {
                continue;
            }
            let (key, wanted) = (&change.intent.key, Access::from(change.intent.action));
            let late = self.aws.late_for(key, wanted).cloned();
            self.breaches
                .check(NewestTakesEffectLast, late.is_none() || self.clock_may_go_back, || {
                    format!("{change:?} is recorded as failed, but a late call exists: {late:?}")
                });
            let effect = self.aws.effect(key).filter(|effect| effect.access == wanted);
            let is_explained = effect.is_none_or(|effect| effect.recorded && effect.by != *id);
            self.breaches
                .check(FailedIsKnown, is_explained || self.clock_may_go_back, || {
                    format!("{change:?} is recorded as failed, but AWS holds {effect:?}")
                });
        }
    }

    /// Makes the next call, if one is needed and the lease has not expired. Returns false if no call was made.
    fn proceed(&mut self, at: usize, held: &mut HeldWork, dice: &mut Dice) -> bool {
        let now = self.now();
        let key = held.work.change.intent.key.clone();
        self.aws.give_up(&key, held.work.epoch, now.min(held.expires_at));
        let mut decision_context = held.decision_context(now, dice.coin());
        // The policy may have changed since the change was accepted, or is another one in this replica.
        let is_refused = self.is_refused(at, &held.work.change.intent);
        if is_refused {
            decision_context.denial = Some("refused by the new policy");
        }
        held.next = match convergence::apply_policy(held.next.clone(), decision_context) {
            NextStep::Call if held.expires_at > now => {
                self.breaches.check(RefusedIsNotCalled, !is_refused, || {
                    format!("{:?} is called and refused", held.work)
                });
                let result = self.update(held, dice);
                held.attempts.push(attempt(&result, now));
                convergence::after_call(&result, decision_context)
            }
            NextStep::ReadBack(reason) => {
                let result = match dice.roll(5) {
                    0 => Err(error(AwsErrorKind::Unknown)),
                    1 => Err(error(AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied))),
                    _ => Ok(self.aws.holds(&key)),
                };
                held.observed = convergence::observed_access(&reason, &result, decision_context);
                convergence::after_read_back(reason, &result, decision_context)
            }
            next => {
                held.next = next;
                return false;
            }
        };
        true
    }

    /// Works until there is an outcome, while AWS refuses every call. Returns the number of calls.
    pub(crate) fn work_while_refused(&mut self, held: &mut HeldWork) -> usize {
        let mut calls = 0;
        loop {
            let now = held.decision_context(self.now(), false);
            held.next = match held.next.clone() {
                NextStep::Call => {
                    calls += 1;
                    let result = Err(error(AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied)));
                    held.attempts.push(attempt(&result, self.now()));
                    convergence::after_call(&result, now)
                }
                NextStep::ReadBack(reason) => {
                    let result = Ok(self.aws.holds(&held.work.change.intent.key));
                    held.observed = convergence::observed_access(&reason, &result, now);
                    convergence::after_read_back(reason, &result, now)
                }
                _ => return calls,
            };
        }
    }

    /// Works until there is an outcome, while the policy refuses every grant and AWS takes every call.
    pub(crate) fn work_while_denied(&mut self, held: &mut HeldWork) {
        let intent = held.work.change.intent.clone();
        let is_grant = intent.action == Action::Grant;
        loop {
            let now = DecisionContext {
                denial: is_grant.then_some("refused by the new policy"),
                ..held.decision_context(self.now(), false)
            };
            held.next = match convergence::apply_policy(held.next.clone(), now) {
                NextStep::Call => {
                    self.breaches
                        .check(RefusedIsNotCalled, !is_grant, || format!("{:?} is called", held.work));
                    self.aws.set(&intent.key, intent.action.into(), intent.change_id);
                    held.attempts.push(attempt(&Ok(()), self.now()));
                    convergence::after_call(&Ok(()), now)
                }
                NextStep::ReadBack(reason) => {
                    let result = Ok(self.aws.holds(&intent.key));
                    held.observed = convergence::observed_access(&reason, &result, now);
                    convergence::after_read_back(reason, &result, now)
                }
                next => {
                    held.next = next;
                    return;
                }
            };
        }
    }

    fn update(&mut self, held: &HeldWork, dice: &mut Dice) -> Result<(), AwsError> {
        let key = &held.work.change.intent.key;
        let access: Access = held.work.change.intent.action.into();
        let by = held.work.change.id();
        let opposite = self.aws.late_against(key, access).cloned();
        self.breaches.check(
            NewestTakesEffectLast,
            opposite.is_none() || self.clock_may_go_back,
            || format!("{access:?} is called while a late call asks for the opposite: {opposite:?}"),
        );
        let kind = match dice.roll(8) {
            0 => AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied),
            1 => AwsErrorKind::Throttled { retry_after: None },
            2 => AwsErrorKind::Unknown,
            3 => {
                self.aws.set(key, access, by);
                AwsErrorKind::Unknown
            }
            4 | 5 => {
                let delay = Duration::from_millis(dice.roll(WINDOW.as_millis() as u64 + 1));
                self.aws
                    .set_later(key, access, by, held.work.epoch, held.expires_at, delay);
                AwsErrorKind::Unknown
            }
            _ => {
                self.aws.set(key, access, by);
                return Ok(());
            }
        };
        Err(error(kind))
    }

    pub(crate) fn give_back(&mut self, at: usize, work: Work, attempts: Vec<Attempt>, outcome: WorkOutcome) {
        let key = work.change.intent.key.clone();
        self.end_calls(&key, work.epoch);
        self.replicas[at].queue.push(Command::Settle(Settlement {
            key,
            epoch: work.epoch,
            change_id: work.change.id(),
            attempts,
            decision: None,
            outcome,
        }));
    }

    /// Notes that the holder makes no more calls under this epoch.
    fn end_calls(&mut self, key: &PermissionKey, epoch: u64) {
        if let Some(latest) = self.latest_work.get_mut(key).filter(|latest| latest.epoch == epoch) {
            latest.is_over = true;
        }
    }

    fn any_held(&self, at: usize, dice: &mut Dice) -> Option<usize> {
        let held = &self.replicas[at].held;
        (!held.is_empty()).then(|| dice.pick(held.len()))
    }
}

fn error(kind: AwsErrorKind) -> AwsError {
    AwsError {
        kind,
        code: None,
        message: None,
    }
}

fn attempt(result: &Result<(), AwsError>, now: Timestamp) -> Attempt {
    let classification = match result {
        Ok(()) => Classification::Accepted,
        Err(error) => error.kind.classification(),
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
