//! One step: what is done under one lease, when it is its turn.

use std::{future::Future, time::Duration};

use tracing::Instrument;

use crate::{
    clock::MonotonicInstant,
    domain::{
        Action, Attempt, AwsOperation, AwsResponse, Intent,
        convergence::{self, DecisionContext, NextStep},
        transition::{Command, CommandReply, Work, WorkOutcome},
    },
    policy::{Decision, PolicyQuery},
    store::Leased,
    telemetry::Attempted,
    workspaces,
};

use super::{Forwarder, endpoint::SlotGuard};

impl Forwarder {
    /// Works under a lease until the outcome is recorded, or the lease is lost to somebody else.
    pub(super) async fn converge(&self, leased: Leased, turn: SlotGuard) {
        let intent = &leased.work.change.intent;
        let span = tracing::info_span!(
            "forward",
            account_id = %intent.key.account,
            change_id = %intent.change_id,
            trace_id = intent.trace_id.as_ref().map(tracing::field::display),
            action = intent.action.as_str(),
            attempts = leased.work.change.attempts.len(),
            in_doubt = leased.work.in_doubt,
        );
        self.0.committer.origin_of(intent).adopt(&span);
        async {
            let worked = self.work(leased, &turn).await;
            let endpoint = turn.endpoint().clone();
            // AWS is free for others while this is recorded.
            drop(turn);
            if let Some((work, attempts, outcome)) = worked {
                self.record(&endpoint, work, attempts, outcome).await;
            }
        }
        .instrument(span)
        .await;
    }

    /// Calls AWS and reads it back until there is an outcome. None when the lease is lost.
    async fn work(
        &self,
        Leased { mut work, mut since }: Leased,
        turn: &SlotGuard,
    ) -> Option<(Work, Vec<Attempt>, WorkOutcome)> {
        let mut attempts = Vec::new();
        let mut seen = None;
        let mut next = begin(&work);
        // Reckoned from after the commit that said for how long, so that it is never over too early.
        let mut received = self.0.clock.monotonic_now();
        loop {
            let (key, action) = (&work.change.intent.key, work.change.intent.action);
            let elapsed = self.0.clock.monotonic_now();
            let age = work.age + elapsed.since(since);
            let denial = match next {
                NextStep::Call | NextStep::ReadBack(_) => self.denial(&work.change.intent),
                NextStep::Succeed | NextStep::Fail { .. } | NextStep::Retry { .. } => None,
            };
            let now = DecisionContext {
                action,
                first: work.change.generation == 1,
                spent: age >= self.0.settings.retry.give_up_after,
                unresolved_for: work
                    .unresolved_for
                    .map(|left| left.saturating_sub(elapsed.since(received))),
                seen,
                denial: denial.as_deref(),
            };
            next = convergence::apply_policy(next, now);
            // The first call is what the turn is for.
            if let Some(in_doubt) = next.in_doubt_if_skipped()
                && !attempts.is_empty()
                && let Err(why) = turn.go_on()
            {
                let outcome = self.turned_away(in_doubt, age, now, why);
                return Some((work, attempts, outcome));
            }
            if let (NextStep::ReadBack(_), Some(in_doubt)) = (&next, next.in_doubt_if_skipped())
                && !attempts.is_empty()
                && !self.has_time_to_read(&work, since)
            {
                // Whoever has the next lease reads it back.
                next = NextStep::Retry {
                    retry_after: None,
                    in_doubt,
                };
            }
            next = match next {
                NextStep::Call if !self.has_time(&work, since) => {
                    let (renewed, renewed_since) = self.renew(&work, std::mem::take(&mut attempts)).await?;
                    (work, since, received) = (renewed, renewed_since, self.0.clock.monotonic_now());
                    seen = None;
                    begin(&work)
                }
                NextStep::Call => {
                    let call = self.0.workspaces.update_image_permission(key, action.into());
                    let reply = self
                        .attempt(turn, &mut attempts, AwsOperation::UpdateWorkspaceImagePermission, call)
                        .await;
                    convergence::after_call(&reply.result, now)
                }
                NextStep::ReadBack(doubt) => {
                    let call = async {
                        let (reply, calls) = self.0.workspaces.read_access(key).await;
                        turn.came_to(calls);
                        reply
                    };
                    let reply = self
                        .attempt(
                            turn,
                            &mut attempts,
                            AwsOperation::DescribeWorkspaceImagePermissions,
                            call,
                        )
                        .await;
                    seen = convergence::observed_access(&doubt, &reply.result, now);
                    convergence::after_read_back(doubt, &reply.result, now)
                }
                NextStep::Succeed => return Some((work, attempts, WorkOutcome::Succeeded)),
                NextStep::Fail { failure, observed } => {
                    return Some((work, attempts, WorkOutcome::Failed { failure, observed }));
                }
                NextStep::Retry { retry_after, in_doubt } => {
                    let made = work.change.attempts.len() + attempts.len();
                    let (retry, jitter) = (&self.0.settings.retry, fastrand::f64());
                    let delay = if in_doubt {
                        retry.delay_in_doubt(made, retry_after, jitter)
                    } else {
                        retry.delay(made, retry_after, jitter)
                    };
                    let outcome = WorkOutcome::Retry {
                        delay,
                        in_doubt,
                        observed: seen,
                    };
                    return Some((work, attempts, outcome));
                }
            };
        }
    }

    /// Why the policy in force refuses a call, if it does. Access may always be taken away.
    fn denial(&self, intent: &Intent) -> Option<String> {
        if intent.action == Action::Revoke {
            return None;
        }
        match self.0.policy.decide(PolicyQuery::of(intent)) {
            Decision::Allow { .. } => None,
            Decision::Deny { policies, words } => {
                tracing::info!(?policies, "the policy in force refuses to call AWS");
                Some(words)
            }
        }
    }

    /// True when a call that is begun now ends before the lease does.
    fn has_time(&self, work: &Work, since: MonotonicInstant) -> bool {
        self.0.clock.monotonic_now().plus(self.0.settings.lease_reserve) < since.plus(work.lease_for)
    }

    /// True when a read that is begun now ends before the lease does.
    fn has_time_to_read(&self, work: &Work, since: MonotonicInstant) -> bool {
        self.0.clock.monotonic_now().plus(self.0.settings.read_reserve) <= since.plus(work.lease_for)
    }

    /// Lengthens the lease. What was called so far is on record with it.
    async fn renew(&self, work: &Work, attempts: Vec<Attempt>) -> Option<(Work, MonotonicInstant)> {
        let command = Command::Renew {
            key: work.change.intent.key.clone(),
            epoch: work.epoch,
            attempts,
        };
        match self.0.committer.commit_patiently(command).await {
            Ok((CommandReply::Renewed(work), since)) => Some((*work, since)),
            Ok((CommandReply::GaveWay, _)) => {
                tracing::info!("a newer change has taken over; it waits until nothing can land before it");
                None
            }
            Ok(_) => {
                self.0.instruments.lease_lost();
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
        turn: &SlotGuard,
        attempts: &mut Vec<Attempt>,
        operation: AwsOperation,
        call: impl Future<Output = AwsResponse<T>>,
    ) -> AwsResponse<T> {
        let (started_at, started) = (self.0.clock.now(), self.0.clock.monotonic_now());
        let reply = call.await;
        turn.called(started, reply.classification());
        let attempt = Attempt {
            operation,
            started_at,
            duration: whole_microseconds(self.0.clock.monotonic_now().since(started)),
            classification: reply.classification(),
            aws_request_id: reply.aws_request_id.clone(),
            error_code: reply.result.as_ref().err().and_then(|fault| fault.code.clone()),
        };
        self.0.instruments.attempted(Attempted {
            operation,
            classification: attempt.classification,
            duration: attempt.duration,
        });
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
}

/// What to do first about a change.
fn begin(work: &Work) -> NextStep {
    let last_call_failure = convergence::last_call_failure(&work.change.attempts, workspaces::reason_of);
    convergence::first_step(work.in_doubt, last_call_failure)
}

/// What the store keeps, so that an answer from memory is the answer from the store.
fn whole_microseconds(duration: Duration) -> Duration {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}
