//! Records the outcome of the work under a lease, and gives back work that did not start.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{
        Attempt, Decision,
        convergence::{self, DecisionContext, NextStep},
        transition::{Command, CommandReply, Settlement, Work, WorkOutcome},
    },
    store::{CommitError, Leased},
};

use super::{Forwarder, dispatcher::Rejection, endpoint::Endpoint};

/// The longest delay between two tries to record an outcome.
const SETTLE_RETRY_CAP: Duration = Duration::from_secs(2);

/// The end of the work under a lease, to be recorded.
pub(super) struct Worked {
    pub(super) work: Work,
    pub(super) attempts: Vec<Attempt>,
    /// The decision of the policy before the last call, if it was asked again.
    pub(super) decision: Option<Box<Decision>>,
    pub(super) outcome: WorkOutcome,
}

impl Worked {
    fn not_started(work: Work, outcome: WorkOutcome) -> Self {
        Self {
            work,
            attempts: Vec::new(),
            decision: None,
            outcome,
        }
    }
}

impl Forwarder {
    /// Gives back work that did not start, and tells other replicas.
    pub(super) fn spawn_give_back(&self, leased: Leased) {
        let forwarder = self.clone();
        self.0.tasks.spawn(async move {
            let due_now = WorkOutcome::Retry {
                delay: Duration::ZERO,
                in_doubt: leased.work.in_doubt,
                observed: None,
            };
            if forwarder.settle(Worked::not_started(leased.work, due_now)).await {
                forwarder.0.released_work.notify();
            }
        });
    }

    /// Gives back work that cannot start in time, for a retry later. If its retry budget is spent and AWS does not answer, the
    /// change ends instead.
    pub(super) fn spawn_defer(&self, endpoint: Arc<Endpoint>, leased: Leased, rejection: Rejection) {
        let forwarder = self.clone();
        self.0.tasks.spawn(async move {
            let Leased { work, since } = leased;
            let age = work.age + forwarder.0.clock.monotonic_now().since(since);
            let now = DecisionContext {
                action: work.change.intent.action,
                is_first: work.change.generation == 1,
                is_budget_spent: age >= forwarder.0.settings.give_up_after,
                // The wait in the queue is not subtracted: `since` is a time before the commit that started the period.
                unresolved_for: work.unresolved_for,
                observed: None,
                // The policy is not asked, because no call is made.
                denial: None,
            };
            let outcome = forwarder.rejected_outcome(work.in_doubt, age, now, rejection);
            forwarder.record(&endpoint, Worked::not_started(work, outcome)).await;
        });
    }

    /// The outcome of work that the dispatcher rejected. `age` is the time since the change was accepted.
    pub(super) fn rejected_outcome(
        &self,
        in_doubt: bool,
        age: Duration,
        now: DecisionContext<'_>,
        rejection: Rejection,
    ) -> WorkOutcome {
        let retry = self.0.settings.retry();
        let left = retry.give_up_after.saturating_sub(age);
        let now = DecisionContext {
            is_budget_spent: now.is_budget_spent && rejection.is_unreachable,
            ..now
        };
        match convergence::when_unreachable(in_doubt, now) {
            NextStep::Fail { failure, observed } => WorkOutcome::Failed { failure, observed },
            NextStep::Retry { retry_after, in_doubt } => WorkOutcome::Retry {
                delay: match in_doubt {
                    false if rejection.is_unreachable => rejection.delay.min(left),
                    false => rejection.delay,
                    // An earlier call may still take effect, so AWS is not read back at once.
                    true => rejection.delay.max(retry.base).max(retry_after.unwrap_or_default()),
                },
                in_doubt,
                observed: now.observed,
            },
            NextStep::Call | NextStep::ReadBack(_) | NextStep::Succeed => WorkOutcome::Retry {
                delay: rejection.delay,
                in_doubt,
                observed: now.observed,
            },
        }
    }

    /// Records the outcome, and schedules the retry of a change that has not ended.
    pub(super) async fn record(&self, endpoint: &Endpoint, worked: Worked) {
        let was_called = !worked.attempts.is_empty();
        let delay = match &worked.outcome {
            WorkOutcome::Retry { delay, .. } => Some(*delay),
            WorkOutcome::Succeeded | WorkOutcome::Failed { .. } => None,
        };
        let settled = self.settle(worked).await;
        if delay.is_some() && was_called {
            self.0.instruments.retry_scheduled();
        }
        if settled && let Some(delay) = delay {
            endpoint
                .dispatcher()
                .schedule_retry(self.0.clock.monotonic_now(), delay);
            endpoint.scan.notify_one();
        }
    }

    /// Records the outcome. AWS has answered, so it retries until the outcome is durable, another replica has the lease, or the
    /// server's grace period ends. In the last two cases AWS is read back later. Returns true if the outcome is durable.
    async fn settle(&self, worked: Worked) -> bool {
        let work = worked.work;
        let settlement = Settlement {
            key: work.change.intent.key.clone(),
            epoch: work.epoch,
            change_id: work.change.id(),
            attempts: worked.attempts,
            decision: worked.decision,
            outcome: worked.outcome,
        };
        let mut wait = Duration::from_millis(50);
        loop {
            let command = Command::Settle(settlement.clone());
            match self.0.committer.commit_with_backpressure(command).await {
                Ok((CommandReply::Settled, _)) => return true,
                Ok(_) => {
                    self.0.instruments.lease_lost();
                    tracing::warn!(
                        "the lease was lost before this outcome was saved: an earlier try recorded it, or recovery reads AWS back"
                    );
                    return false;
                }
                Err(CommitError::Rejected | CommitError::Tampered { .. }) => {
                    tracing::error!("the store rejects the outcome; AWS will be read back");
                    return false;
                }
                Err(error) => tracing::warn!(%error, "cannot record the outcome yet; the forwarder will retry"),
            }
            let waited = self.0.end.run_until_cancelled(self.0.clock.sleep(wait)).await;
            if waited.is_none() {
                tracing::warn!("stopped before the outcome was recorded; recovery will read AWS back");
                return false;
            }
            wait = (wait * 2).min(SETTLE_RETRY_CAP);
        }
    }
}
