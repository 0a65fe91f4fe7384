//! The work on one change under one lease, once the dispatcher has granted a slot.

use std::{future::Future, time::Duration};

use tracing::Instrument;

use crate::{
    clock::MonotonicInstant,
    domain::{
        Action, Attempt, AwsError, AwsOperation, AwsResponse, Change, FailureReason, Intent,
        convergence::{self, DecisionContext, NextStep},
        transition::{Command, CommandReply, Work, WorkOutcome},
    },
    policy::PolicyVerdict,
    store::Leased,
    telemetry::Attempted,
    workspaces,
};

use super::{Forwarder, decide, endpoint::SlotGuard, settle::Worked};

/// How long the decision of the acceptance serves for a call.
const ACCEPTANCE_SERVES_FOR: Duration = Duration::from_secs(1);

impl Forwarder {
    /// Works on a change until its outcome is recorded, or the lease is lost.
    pub(super) async fn converge(&self, leased: Leased, slot: SlotGuard) {
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
            let worked = self.work(leased, &slot).await;
            let endpoint = slot.endpoint().clone();
            // The slot is free for another change while the outcome is recorded.
            drop(slot);
            if let Some(worked) = worked {
                self.record(&endpoint, worked).await;
            }
        }
        .instrument(span)
        .await;
    }

    /// Calls AWS and reads it back until there is an outcome. None if the lease is lost.
    async fn work(&self, Leased { mut work, mut since }: Leased, slot: &SlotGuard) -> Option<Worked> {
        let mut attempts = Vec::new();
        // What the policy was asked last, and the decision under which AWS was called.
        let (mut asked, mut decision) = (None, None);
        let mut observed = None;
        let mut next = first_step(&work);
        // The period of the unresolved call counts from after its commit, so that it never ends too early.
        let mut received = self.0.clock.monotonic_now();
        let outcome = loop {
            let (key, action) = (&work.change.intent.key, work.change.intent.action);
            let elapsed = self.0.clock.monotonic_now();
            let age = work.age + elapsed.since(since);
            let (denial, undecided) = match next {
                // The lease is renewed first.
                NextStep::Call if !self.has_time(&work, since) => (None, None),
                NextStep::Call | NextStep::ReadBack(_) => {
                    let time = self.time_for_facts(&work, since);
                    match self.verdict(&work.change, age, time).await {
                        Ok(Some(verdict)) => {
                            asked = Some(Box::new(verdict.decision));
                            (verdict.refusal, None)
                        }
                        Ok(None) => (None, None),
                        Err(error) => (None, Some(error)),
                    }
                }
                NextStep::Succeed | NextStep::Fail { .. } | NextStep::Retry { .. } => (None, None),
            };
            let now = DecisionContext {
                action,
                is_first: work.change.generation == 1,
                is_budget_spent: age >= self.0.settings.give_up_after,
                unresolved_for: work
                    .unresolved_for
                    .map(|left| left.saturating_sub(elapsed.since(received))),
                observed,
                denial: denial.as_deref(),
            };
            next = convergence::apply_policy(next, now);
            if let Some(error) = undecided {
                next = convergence::await_decision(next, &error, now);
            }
            // The slot covers the first call.
            if let Some(in_doubt) = next.in_doubt_if_skipped()
                && !attempts.is_empty()
                && let Err(rejection) = slot.permit_call()
            {
                break self.rejected_outcome(in_doubt, age, now, rejection);
            }
            if let (NextStep::ReadBack(_), Some(in_doubt)) = (&next, next.in_doubt_if_skipped())
                && !attempts.is_empty()
                && !self.has_time_to_read(&work, since)
            {
                // The holder of the next lease reads AWS back.
                next = NextStep::Retry {
                    retry_after: None,
                    in_doubt,
                };
            }
            next = match next {
                NextStep::Call if !self.has_time(&work, since) => {
                    let (renewed, renewed_since) = self.renew(&work, std::mem::take(&mut attempts)).await?;
                    (work, since, received) = (renewed, renewed_since, self.0.clock.monotonic_now());
                    (asked, observed) = (None, None);
                    first_step(&work)
                }
                NextStep::Call => {
                    decision = asked.take().or(decision);
                    // The process may be stopped before the request is sent, and run again when another replica has the lease.
                    let (clock, ends) = (self.0.clock.clone(), since.plus(work.lease_for));
                    let reserve = self.0.settings.lease_margin;
                    let has_lease = move || clock.monotonic_now().plus(reserve) < ends;
                    let call = self.0.workspaces.update_image_permission(key, action.into(), has_lease);
                    let response = self
                        .attempt(slot, &mut attempts, AwsOperation::UpdateWorkspaceImagePermission, call)
                        .await;
                    convergence::after_call(&response.result, now)
                }
                NextStep::ReadBack(reason) => {
                    let call = async {
                        let (response, calls) = self.0.workspaces.read_access(key).await;
                        slot.correct_charge(calls);
                        response
                    };
                    let response = self
                        .attempt(
                            slot,
                            &mut attempts,
                            AwsOperation::DescribeWorkspaceImagePermissions,
                            call,
                        )
                        .await;
                    observed = convergence::observed_access(&reason, &response.result, now);
                    convergence::after_read_back(reason, &response.result, now)
                }
                NextStep::Succeed => break WorkOutcome::Succeeded,
                NextStep::Fail { failure, observed } => {
                    if failure.reason == FailureReason::PolicyDenied {
                        decision = asked;
                    }
                    break WorkOutcome::Failed { failure, observed };
                }
                NextStep::Retry { retry_after, in_doubt } => {
                    let attempts_made = work.change.attempts.len() + attempts.len();
                    let (retry, jitter) = (self.0.settings.retry(), fastrand::f64());
                    let delay = if in_doubt {
                        retry.delay_in_doubt(attempts_made, retry_after, jitter)
                    } else {
                        retry.delay(attempts_made, retry_after, jitter)
                    };
                    break WorkOutcome::Retry {
                        delay,
                        in_doubt,
                        observed,
                    };
                }
            };
        };
        Some(Worked {
            work,
            attempts,
            decision,
            outcome,
        })
    }

    /// Asks the policy in force about the next call. None if the call may be made without a new decision: it is a revoke, or this
    /// set permitted it a moment ago. `age` is the time since the change was accepted. The error is that of AWS if the policy
    /// cannot decide now.
    async fn verdict(&self, change: &Change, age: Duration, time: Duration) -> Result<Option<PolicyVerdict>, AwsError> {
        let intent = &change.intent;
        if intent.action == Action::Revoke || self.is_permitted_already(intent, age) {
            return Ok(None);
        }
        let decided = decide(
            &self.0.policy,
            &self.0.workspaces,
            &self.0.clock,
            &self.0.instruments,
            intent,
            // The end counts from this time on the database's clock, which can be ahead of this replica's.
            Some(change.created_at),
            time,
        )
        .await;
        match &decided {
            Err(error) => tracing::info!(
                error_code = error.code,
                "AWS does not give a fact that the policy needs; the change waits"
            ),
            Ok(PolicyVerdict {
                decision,
                refusal: Some(_),
                ..
            }) => {
                tracing::info!(policies = ?decision.policies, policy_set = %decision.policy_set, "the policy in force refuses to call AWS");
            }
            Ok(_) => {}
        }
        decided.map(Some)
    }

    /// How long facts may be read for the policy. A call that starts then still ends before the lease.
    fn time_for_facts(&self, work: &Work, since: MonotonicInstant) -> Duration {
        let used = self.0.clock.monotonic_now().since(since) + self.0.settings.lease_reserve();
        work.lease_for.saturating_sub(used)
    }

    /// True if the set in force permitted the change at its acceptance, less than a second ago. Another replica, with another
    /// clock, may have made that decision.
    fn is_permitted_already(&self, intent: &Intent, age: Duration) -> bool {
        let Some(made) = &intent.decision else { return false };
        let now = self.0.clock.now();
        let since_decision = now.since(made.decided_at).max(made.decided_at.since(now));
        age.max(since_decision) < ACCEPTANCE_SERVES_FOR && made.policy_set == self.0.policy.in_force().digest()
    }

    /// True if a call that starts now ends before the lease.
    fn has_time(&self, work: &Work, since: MonotonicInstant) -> bool {
        self.0.clock.monotonic_now().plus(self.0.settings.lease_reserve()) < since.plus(work.lease_for)
    }

    /// True if a read that starts now ends before the lease.
    fn has_time_to_read(&self, work: &Work, since: MonotonicInstant) -> bool {
        self.0.clock.monotonic_now().plus(self.0.settings.read_timeout) <= since.plus(work.lease_for)
    }

    /// Renews the lease, and records the attempts made so far.
    async fn renew(&self, work: &Work, attempts: Vec<Attempt>) -> Option<(Work, MonotonicInstant)> {
        let command = Command::Renew {
            key: work.change.intent.key.clone(),
            epoch: work.epoch,
            attempts,
        };
        match self.0.committer.commit_with_backpressure(command).await {
            Ok((CommandReply::Renewed(work), since)) => Some((*work, since)),
            Ok((CommandReply::GaveWay, _)) => {
                tracing::info!("a newer change has taken over; it waits until no earlier call can take effect");
                None
            }
            Ok(_) => {
                self.0.instruments.lease_lost();
                tracing::warn!("the lease was lost before a call was made");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "cannot renew the lease; recovery will continue the change");
                None
            }
        }
    }

    /// Makes a call, measures it, and adds it to `attempts`.
    async fn attempt<T>(
        &self,
        slot: &SlotGuard,
        attempts: &mut Vec<Attempt>,
        operation: AwsOperation,
        call: impl Future<Output = AwsResponse<T>>,
    ) -> AwsResponse<T> {
        let (started_at, started) = (self.0.clock.now(), self.0.clock.monotonic_now());
        let response = call.await;
        slot.record_call(started, response.classification());
        let attempt = Attempt {
            operation,
            started_at,
            duration: whole_microseconds(self.0.clock.monotonic_now().since(started)),
            classification: response.classification(),
            aws_request_id: response.aws_request_id.clone(),
            error_code: response.result.as_ref().err().and_then(|error| error.code.clone()),
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
        response
    }
}

/// The first step of a change.
fn first_step(work: &Work) -> NextStep {
    let last_call_failure = convergence::last_call_failure(&work.change.attempts, workspaces::reason_of);
    convergence::first_step(work.in_doubt, last_call_failure)
}

/// Rounds down to what the store keeps, so that an answer from memory equals an answer from the store.
fn whole_microseconds(duration: Duration) -> Duration {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}
