//! One step: what is done under one lease.

use std::{future::Future, time::Duration};

use tracing::Instrument;

use crate::{
    clock::Elapsed,
    domain::{
        Attempt, Operation, PermissionKey, Reply,
        convergence::{self, Circumstances, Next},
        transition::{Answer, Command, Outcome, Settlement, Work},
    },
    store::{CommitError, Leased},
    workspaces,
};

use super::{Counted, Forwarder};

/// The longest wait between two tries to record an outcome.
const SETTLE_RETRY_CAP: Duration = Duration::from_secs(2);

impl Forwarder {
    /// Works under a lease until the outcome is recorded, or the lease is lost to somebody else.
    pub async fn converge(&self, leased: Leased) {
        let intent = &leased.work.change.intent;
        let span = tracing::info_span!(
            "forward",
            account_id = %intent.key.account,
            change_id = %intent.change_id,
            trace_id = intent.trace_id.as_ref().map(tracing::field::display),
            action = intent.action.as_str(),
        );
        async {
            let Some((work, attempts, outcome)) = self.work(leased).await else {
                return;
            };
            self.settle(work, attempts, outcome).await;
        }
        .instrument(span)
        .await;
    }

    /// Calls AWS and reads it back until there is an outcome. None when the lease is lost.
    async fn work(&self, Leased { mut work, mut since }: Leased) -> Option<(Work, Vec<Attempt>, Outcome)> {
        let mut attempts = Vec::new();
        let mut next = begin(&work);
        // Reckoned from after the commit that said for how long, so that it is never over too early.
        let mut received = self.0.clock.elapsed();
        loop {
            let (key, action) = (&work.change.intent.key, work.change.intent.action);
            let elapsed = self.0.clock.elapsed();
            let now = Circumstances {
                action,
                first: work.change.generation == 1,
                spent: work.age + elapsed.since(since) >= self.0.settings.retry.give_up_after,
                landing_for: work.landing_for.saturating_sub(elapsed.since(received)),
            };
            next = match next {
                Next::Call if !self.has_time(&work, since) => {
                    let (renewed, renewed_since) = self.renew(&work).await?;
                    if renewed.change.id() != work.change.id() {
                        attempts.clear();
                    }
                    (work, since, received) = (renewed, renewed_since, self.0.clock.elapsed());
                    begin(&work)
                }
                Next::Call => {
                    let call = self.0.workspaces.update_image_permission(key, action.into());
                    let reply = self
                        .attempt(&mut attempts, Operation::UpdateWorkspaceImagePermission, call)
                        .await;
                    convergence::after_call(&reply.result, now)
                }
                Next::ReadBack(doubt) => {
                    let call = self.0.workspaces.read_access(key);
                    let reply = self
                        .attempt(&mut attempts, Operation::DescribeWorkspaceImagePermissions, call)
                        .await;
                    convergence::after_read_back(doubt, &reply.result, now)
                }
                Next::Succeed => return Some((work, attempts, Outcome::Succeeded)),
                Next::Fail { failure, observed } => {
                    return Some((work, attempts, Outcome::Failed { failure, observed }));
                }
                Next::Retry { retry_after, in_doubt } => {
                    let made = work.change.attempts.len() + attempts.len();
                    let (retry, jitter) = (&self.0.settings.retry, fastrand::f64());
                    let delay = if in_doubt {
                        retry.delay_in_doubt(made, retry_after, jitter)
                    } else {
                        retry.delay(made, retry_after, jitter)
                    };
                    return Some((work, attempts, Outcome::Retry { delay, in_doubt }));
                }
            };
        }
    }

    /// True when a call that is begun now ends before the lease does.
    fn has_time(&self, work: &Work, since: Elapsed) -> bool {
        self.0.clock.elapsed().plus(self.0.settings.lease_reserve) < since.plus(work.lease_for)
    }

    async fn renew(&self, work: &Work) -> Option<(Work, Elapsed)> {
        let command = Command::Renew(work.change.intent.key.clone(), work.epoch);
        match self.0.committer.commit_patiently(command).await {
            Ok((Answer::Renewed(work), since)) => Some((*work, since)),
            Ok((Answer::GaveWay, _)) => {
                tracing::info!("a newer change has taken over; it waits until nothing can land before it");
                None
            }
            Ok(_) => {
                tracing::warn!("the lease was lost before a call was made");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "the lease could not be renewed; recovery goes on with the change");
                None
            }
        }
    }

    /// Makes a call and remembers it.
    async fn attempt<T>(
        &self,
        attempts: &mut Vec<Attempt>,
        operation: Operation,
        call: impl Future<Output = Reply<T>>,
    ) -> Reply<T> {
        let (started_at, started) = (self.0.clock.now(), self.0.clock.elapsed());
        let reply = call.await;
        let attempt = Attempt {
            operation,
            started_at,
            duration: whole_microseconds(self.0.clock.elapsed().since(started)),
            classification: reply.classification(),
            aws_request_id: reply.aws_request_id.clone(),
            error_code: reply.result.as_ref().err().and_then(|fault| fault.code.clone()),
        };
        tracing::info!(
            operation = operation.as_str(),
            classification = attempt.classification.as_str(),
            aws_request_id = attempt.aws_request_id,
            error_code = attempt.error_code,
            duration = ?attempt.duration,
            "called AWS"
        );
        attempts.push(attempt);
        reply
    }

    /// Gives back work that was not begun, and tells other replicas.
    pub(super) async fn give_back(&self, work: Work) {
        let (account, in_doubt) = (work.change.intent.key.account, work.in_doubt);
        let due_now = Outcome::Retry {
            delay: Duration::ZERO,
            in_doubt,
        };
        self.settle(work, Vec::new(), due_now).await;
        self.0.released.tell(account);
    }

    /// Records the outcome. AWS has answered, so this does not give up while the process lives: until the outcome is
    /// durable, or the lease is somebody else's, who then reads AWS back.
    async fn settle(&self, work: Work, attempts: Vec<Attempt>, outcome: Outcome) {
        let key = work.change.intent.key.clone();
        let settlement = Settlement {
            key: key.clone(),
            epoch: work.epoch,
            change_id: work.change.id(),
            attempts,
            outcome: outcome.clone(),
        };
        let mut wait = Duration::from_millis(50);
        loop {
            match self
                .0
                .committer
                .commit_patiently(Command::Settle(settlement.clone()))
                .await
            {
                Ok((Answer::Settled, _)) => break,
                Ok(_) => {
                    return tracing::warn!("the lease is over: the outcome is on record already, or AWS is read back");
                }
                Err(CommitError::Rejected) => {
                    return tracing::error!("the store cannot take the outcome; AWS is read back");
                }
                Err(error) if self.0.stop.is_cancelled() => {
                    return tracing::warn!(%error, "stopping without the outcome on record; recovery reads AWS back");
                }
                Err(error) => tracing::warn!(%error, "the outcome is not on record yet"),
            }
            self.0.clock.sleep(wait).await;
            wait = (wait * 2).min(SETTLE_RETRY_CAP);
        }
        match outcome {
            Outcome::Retry { delay, .. } => self.claim_later(key, delay),
            Outcome::Succeeded | Outcome::Failed { .. } => {}
        }
    }

    /// Takes the change up again after a delay. Recovery does so too, should this process not live so long.
    fn claim_later(&self, key: PermissionKey, delay: Duration) {
        if self.0.stop.is_cancelled() {
            return;
        }
        let forwarder = self.clone();
        let waiting = Counted::new(&self.0, |inner| &inner.deferred);
        self.0.tasks.spawn(async move {
            let _waiting = waiting;
            tokio::select! {
                () = forwarder.0.stop.cancelled() => {}
                () = forwarder.0.clock.sleep(delay) => {
                    if let Err(error) = forwarder.0.committer.commit_patiently(Command::Claim(key)).await {
                        tracing::warn!(%error, "a change could not be taken up again; recovery will");
                    }
                }
            }
        });
    }
}

/// What to do first about a change.
fn begin(work: &Work) -> Next {
    let last_word = convergence::last_word(&work.change.attempts, workspaces::reason_of);
    convergence::begin(work.in_doubt, last_word)
}

/// What the store keeps, so that an answer from memory is the answer from the store.
fn whole_microseconds(duration: Duration) -> Duration {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}
