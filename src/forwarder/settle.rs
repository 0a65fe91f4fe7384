//! Recording what came of the work under a lease, and giving back work that was not begun.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{
        Attempt,
        convergence::{self, DecisionContext, NextStep},
        transition::{Command, CommandReply, Settlement, Work, WorkOutcome},
    },
    store::{CommitError, Leased},
};

use super::{Forwarder, dispatcher::Rejection, endpoint::Endpoint};

/// The longest wait between two tries to record an outcome.
const SETTLE_RETRY_CAP: Duration = Duration::from_secs(2);

impl Forwarder {
    /// Gives back work that was not begun, and tells other replicas.
    pub(super) fn spawn_give_back(&self, leased: Leased) {
        let forwarder = self.clone();
        self.0.tasks.spawn(async move {
            let due_now = WorkOutcome::Retry {
                delay: Duration::ZERO,
                in_doubt: leased.work.in_doubt,
                observed: None,
            };
            if forwarder.settle(leased.work, Vec::new(), due_now).await {
                forwarder.0.released.tell();
            }
        });
    }

    /// Gives back work that cannot be begun in time, to be taken up later; or ends it, if its time is up and AWS does not
    /// answer.
    pub(super) fn spawn_put_off(&self, endpoint: Arc<Endpoint>, leased: Leased, why: Rejection) {
        let forwarder = self.clone();
        self.0.tasks.spawn(async move {
            let Leased { work, since } = leased;
            let age = work.age + forwarder.0.clock.monotonic_now().since(since);
            let now = DecisionContext {
                action: work.change.intent.action,
                first: work.change.generation == 1,
                spent: age >= forwarder.0.settings.retry.give_up_after,
                // Not shortened by the wait: since when it is reckoned is from before the commit that told of it.
                unresolved_for: work.unresolved_for,
                seen: None,
                // No call is made, and nothing is read.
                denial: None,
            };
            let outcome = forwarder.turned_away(work.in_doubt, age, now, why);
            forwarder.record(&endpoint, work, Vec::new(), outcome).await;
        });
    }

    /// What becomes of a change of this age that is not called now.
    pub(super) fn turned_away(
        &self,
        in_doubt: bool,
        age: Duration,
        now: DecisionContext<'_>,
        why: Rejection,
    ) -> WorkOutcome {
        let retry = &self.0.settings.retry;
        let left = retry.give_up_after.saturating_sub(age);
        let now = DecisionContext {
            spent: now.spent && why.is_dead,
            ..now
        };
        match convergence::when_unreachable(in_doubt, now) {
            NextStep::Fail { failure, observed } => WorkOutcome::Failed { failure, observed },
            NextStep::Retry { retry_after, in_doubt } => WorkOutcome::Retry {
                delay: match in_doubt {
                    false if why.is_dead => why.delay.min(left),
                    false => why.delay,
                    // A call may still be landing: it is not read back at once.
                    true => why.delay.max(retry.base).max(retry_after.unwrap_or_default()),
                },
                in_doubt,
                observed: now.seen,
            },
            NextStep::Call | NextStep::ReadBack(_) | NextStep::Succeed => WorkOutcome::Retry {
                delay: why.delay,
                in_doubt,
                observed: now.seen,
            },
        }
    }

    /// Records the outcome, and sees to it that a change that is not over is taken up again.
    pub(super) async fn record(&self, endpoint: &Endpoint, work: Work, attempts: Vec<Attempt>, outcome: WorkOutcome) {
        let was_called = !attempts.is_empty();
        let delay = match &outcome {
            WorkOutcome::Retry { delay, .. } => Some(*delay),
            WorkOutcome::Succeeded | WorkOutcome::Failed { .. } => None,
        };
        let settled = self.settle(work, attempts, outcome).await;
        if delay.is_some() && was_called {
            self.0.instruments.put_off();
        }
        if settled && let Some(delay) = delay {
            endpoint.place().defer(self.0.clock.monotonic_now(), delay);
            endpoint.looking.notify_one();
        }
    }

    /// Records the outcome. AWS has answered, so this does not give up while the forwarder runs, which is to the end of the grace:
    /// until the outcome is durable, or the lease is somebody else's, who then reads AWS back. True when it is durable.
    async fn settle(&self, work: Work, attempts: Vec<Attempt>, outcome: WorkOutcome) -> bool {
        let settlement = Settlement {
            key: work.change.intent.key.clone(),
            epoch: work.epoch,
            change_id: work.change.id(),
            attempts,
            outcome,
        };
        let mut wait = Duration::from_millis(50);
        loop {
            let command = Command::Settle(settlement.clone());
            match self.0.committer.commit_patiently(command).await {
                Ok((CommandReply::Settled, _)) => return true,
                Ok(_) => {
                    self.0.instruments.lease_lost();
                    tracing::warn!("the lease is over: the outcome is on record already, or AWS is read back");
                    return false;
                }
                Err(CommitError::Rejected) => {
                    tracing::error!("the store cannot take the outcome; AWS is read back");
                    return false;
                }
                Err(error) => tracing::warn!(%error, "the outcome is not on record yet"),
            }
            let waited = self.0.end.run_until_cancelled(self.0.clock.sleep(wait)).await;
            if waited.is_none() {
                tracing::warn!("stopped without the outcome on record; recovery reads AWS back");
                return false;
            }
            wait = (wait * 2).min(SETTLE_RETRY_CAP);
        }
    }
}
