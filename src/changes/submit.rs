//! Grant and revoke: submits a change, and waits for its end.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{
        Action, Authentication, Cause, Change, ChangeId, ChangeState, Decision, Intent, Justification, Permission,
        PermissionKey, Principal, RequestId, ShareEnd, Timestamp, TraceId,
        prediction::Finding,
        transition::{Command, CommandReply, Snapshot},
    },
    forwarder,
    policy::PolicyVerdict,
    store::{
        CommitError, OutcomeWaiter,
        changes::ChangeStatus,
        drift::findings::{self, Adoptable},
        reads,
    },
};

use super::{ChangeService, Error, UnsuccessfulChange};

/// A change to submit.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Why the change exists.
    pub cause: Cause,
    /// The authenticated principal.
    pub actor: Principal,
    /// How it was authenticated, with all its claims. None for the service itself.
    pub authentication: Option<Authentication>,
    /// Grant or revoke.
    pub action: Action,
    /// Which permission.
    pub key: PermissionKey,
    /// The idempotency key. Without one, the change id takes its place.
    pub request_id: Option<RequestId>,
    /// The justification that the actor gives.
    pub justification: Justification,
    /// When the share is to end. None for a revoke, and for a share without an end.
    pub end: Option<ShareEnd>,
    /// The trace of the caller.
    pub trace_id: Option<TraceId>,
}

/// A change that was accepted by this request or an earlier one.
#[derive(Debug)]
pub struct Receipt {
    snapshot: Snapshot,
    waiter: OutcomeWaiter,
    /// The id of this request. It may have joined a change of another request.
    request_id: RequestId,
    replayed: bool,
}

/// A change that succeeded.
#[derive(Debug, Clone)]
pub struct CompletedChange {
    /// The permission after it.
    pub permission: Permission,
    /// The change, which has succeeded.
    pub change: Change,
    /// True if the request is a replay.
    pub replayed: bool,
    /// True if another request opened the change, and this one joined it.
    pub joined: bool,
    /// What AWS's rules say about it. Empty if nobody asked.
    pub findings: Vec<Finding>,
}

/// A change that would be accepted.
#[derive(Debug)]
pub struct ValidatedChange {
    /// The permission as it is now, if a change was ever accepted for it.
    pub permission: Option<Permission>,
    /// The decision of the policy, which permits it.
    pub decision: Option<Decision>,
    /// What AWS's rules say about the change.
    pub findings: Vec<Finding>,
    /// When the share would end. None for a revoke, and for a share without an end.
    pub expire_time: Option<Timestamp>,
}

impl Receipt {
    /// Waits at most `timeout` for the end of the change. Dropping the future does not cancel the change.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::Superseded`], or [`Error::Pending`] if the change has not ended in time.
    pub async fn wait(mut self, timeout: Duration) -> Result<CompletedChange, Error> {
        self.await_end(timeout).await;
        self.answer()
    }

    async fn await_end(&mut self, timeout: Duration) {
        if !self.snapshot.change.has_ended()
            && let Ok(ended) = tokio::time::timeout(timeout, self.waiter.ended()).await
        {
            self.snapshot = Arc::unwrap_or_clone(ended);
        }
    }

    fn answer(self) -> Result<CompletedChange, Error> {
        let (Snapshot { change, permission }, request_id) = (self.snapshot, self.request_id);
        match change.state {
            ChangeState::Succeeded => Ok(CompletedChange {
                joined: change.intent.request_id != request_id,
                permission,
                change,
                replayed: self.replayed,
                findings: Vec::new(),
            }),
            ChangeState::Failed => Err(Error::Failed(Box::new(UnsuccessfulChange { change, request_id }))),
            ChangeState::Superseded => Err(Error::Superseded(Box::new(UnsuccessfulChange { change, request_id }))),
            ChangeState::Pending => Err(Error::Pending(Box::new(ChangeStatus { change, progress: None }))),
        }
    }
}

/// The part of the time for a change in which a pending one is read, one in this number, and at most [`MAX_READ_TIME`].
const READ_PART: u32 = 20;
const MAX_READ_TIME: Duration = Duration::from_millis(500);

/// The part of the time for a change in which facts are read for the policy, one in this number.
pub(super) const FACTS_PART: u32 = 2;

impl ChangeService {
    /// Waits as [`Receipt::wait`] does. If the change has not ended in time, reads what it waits for: the calls to AWS so
    /// far, and its progress. Both are those of the acceptance if the store does not answer. If the read shows that the change
    /// has ended, that is the answer. A successful one has the warnings that AWS's rules give.
    ///
    /// # Errors
    /// The same.
    pub async fn wait(&self, receipt: Receipt, timeout: Duration) -> Result<CompletedChange, Error> {
        let intent = receipt.snapshot.change.intent.clone();
        let completed = self.read_while(&intent, self.await_answer(receipt, timeout)).await?;
        Ok(CompletedChange {
            findings: self.warnings(&intent),
            ..completed
        })
    }

    async fn await_answer(&self, mut receipt: Receipt, timeout: Duration) -> Result<CompletedChange, Error> {
        let for_read = (timeout / READ_PART).min(MAX_READ_TIME);
        receipt.await_end(timeout.saturating_sub(for_read)).await;
        if receipt.snapshot.change.has_ended() {
            return receipt.answer();
        }
        // Boxed because it is rare: otherwise it enlarges the future of every change.
        let read = Box::pin(tokio::time::timeout(for_read, self.read_again(&mut receipt.snapshot))).await;
        match read {
            Ok(Ok(Some(pending))) => Err(Error::Pending(Box::new(pending))),
            Ok(Ok(None) | Err(_)) | Err(_) => receipt.answer(),
        }
    }

    /// Reads a change that was pending: what it waits for, or its end into the snapshot.
    async fn read_again(&self, snapshot: &mut Snapshot) -> Result<Option<ChangeStatus>, Error> {
        let key = &snapshot.change.intent.key;
        let status = self.get_change(key.account, snapshot.change.id()).await?;
        if !status.change.has_ended() {
            return Ok(Some(status));
        }
        let permission = self.get(key.clone()).await?;
        let change = status.change;
        *snapshot = Snapshot { change, permission };
        Ok(None)
    }

    /// Gets a change accepted within `timeout`, if the policy allows it. Dropping the future does not cancel the change.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] if it is unknown whether the change was accepted; otherwise any other [`Error`] of a submission.
    pub async fn submit(&self, submission: Submission, timeout: Duration) -> Result<Receipt, Error> {
        let intent = Arc::new(self.intent(submission));
        let accepted = tokio::time::timeout(timeout, self.accept(&intent, timeout)).await;
        let store_unavailable = match accepted {
            Ok(Err(Error::Commit(CommitError::Unavailable))) => true,
            Ok(accepted) => return accepted,
            Err(_) => false,
        };
        Err(Error::Unconfirmed {
            intent,
            store_unavailable,
        })
    }

    /// Makes the checks of [`submit`](Self::submit), and tells what AWS's rules say. Writes nothing. What AWS does not answer in
    /// a part of `timeout` does not refuse.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn validate(&self, submission: Submission, timeout: Duration) -> Result<ValidatedChange, Error> {
        let intent = self.intent(submission);
        self.check_configured(intent.key.account, &intent.key.region)?;
        let (intent, refusal) = self.decide(&intent, timeout).await?;
        match refusal {
            Some(rule) => Err(Error::Denied {
                intent,
                rule,
                log_index: None,
            }),
            None => {
                if intent.cause == Cause::Adoption {
                    self.check_adoptable(&intent.key).await?;
                }
                let permission = async { Ok::<_, Error>(reads::permission(&self.database, &intent.key).await?) };
                let findings = async { Ok(self.predict(intent.action, &intent.key, timeout).await) };
                let (permission, findings) = tokio::try_join!(permission, findings)?;
                Ok(ValidatedChange {
                    permission,
                    decision: intent.decision.clone(),
                    findings,
                    expire_time: intent.end.map(|end| end.from(self.clock.now())),
                })
            }
        }
    }

    async fn check_adoptable(&self, key: &PermissionKey) -> Result<(), Error> {
        match findings::adoptable(&self.database, key).await? {
            Adoptable::Yes => Ok(()),
            Adoptable::No => Err(Error::NothingToAdopt(key.clone())),
            Adoptable::NotAdmitted => Err(Error::AdoptionsNotAdmitted),
        }
    }

    pub(super) fn intent(&self, submission: Submission) -> Intent {
        let change_id = ChangeId(self.clock.uuid());
        Intent {
            change_id,
            request_id: submission.request_id.unwrap_or(RequestId(change_id.0)),
            key: submission.key,
            action: submission.action,
            cause: submission.cause,
            principal: submission.actor,
            authentication: submission.authentication,
            decision: None,
            justification: submission.justification,
            end: submission.end,
            trace_id: submission.trace_id,
        }
    }

    /// Gets a change accepted, or finds the change that was accepted under the same request id.
    async fn accept(&self, intent: &Arc<Intent>, timeout: Duration) -> Result<Receipt, Error> {
        if self.recent.has(intent)
            // Boxed because it is rare: otherwise it enlarges the future of every change.
            && let Some(replayed) = Box::pin(self.replay(intent)).await?
        {
            return Ok(replayed);
        }
        let receipt = self.decide_and_open(intent, timeout).await?;
        self.recent.remember(intent);
        Ok(receipt)
    }

    /// The first answer to a request that was accepted before, without a decision of the policy. None if it was not accepted.
    async fn replay(&self, intent: &Arc<Intent>) -> Result<Option<Receipt>, Error> {
        match self.committer.commit(Command::Replay(intent.clone())).await? {
            CommandReply::Replayed(snapshot) => Ok(Some(self.follow(snapshot, intent.request_id, true).await)),
            CommandReply::RequestIdReused(change_id) => Err(Error::RequestIdReused {
                request_id: intent.request_id,
                change_id,
            }),
            CommandReply::NotAccepted => Ok(None),
            _ => Err(Error::UnexpectedAnswer),
        }
    }

    async fn decide_and_open(&self, intent: &Arc<Intent>, timeout: Duration) -> Result<Receipt, Error> {
        let account = intent.key.account;
        let (command, intent) = match self.command(intent, timeout).await {
            Ok(decided) => decided,
            // Boxed because it is rare: otherwise it enlarges the future of every change.
            Err(refusal) => return Box::pin(self.accepted_before_or(refusal, intent)).await,
        };
        let is_refused = matches!(command, Command::Deny(..));
        // Registered before the change is opened, so that its end is not missed.
        let waiter = self.outcomes.wait_for(account, intent.change_id);
        let reply = self.committer.commit(command).await?;
        if is_refused && !matches!(reply, CommandReply::Denied(..)) {
            self.denials.give_back(&intent);
        }
        match reply {
            CommandReply::Opened(snapshot) => Ok(Receipt {
                snapshot,
                waiter,
                request_id: intent.request_id,
                replayed: false,
            }),
            CommandReply::Joined(snapshot) => Ok(Box::pin(self.follow(snapshot, intent.request_id, false)).await),
            CommandReply::Replayed(snapshot) => Ok(Box::pin(self.follow(snapshot, intent.request_id, true)).await),
            CommandReply::RequestIdReused(change_id) => Err(Error::RequestIdReused {
                request_id: intent.request_id,
                change_id,
            }),
            CommandReply::EndPassed => Err(Error::EndPassed),
            CommandReply::EndsNotAdmitted => Err(Error::EndsNotAdmitted),
            CommandReply::NothingToAdopt => Err(Error::NothingToAdopt(intent.key.clone())),
            CommandReply::AdoptionsNotAdmitted => Err(Error::AdoptionsNotAdmitted),
            CommandReply::Denied(log_index, rule) => Err(Error::Denied {
                intent,
                rule,
                log_index: Some(log_index),
            }),
            _ => Err(Error::UnexpectedAnswer),
        }
    }

    /// The change that was accepted under the same request id, or else the refusal. A denial is counted, because no command
    /// records it.
    async fn accepted_before_or(&self, refusal: Error, intent: &Intent) -> Result<Receipt, Error> {
        if let Some(receipt) = self.accepted_before(intent).await? {
            return Ok(receipt);
        }
        if let Error::Denied { rule, .. } = &refusal {
            self.denials.count(intent, rule);
        }
        Err(refusal)
    }

    /// The change that was accepted under the same request id, if there is one. A request that would be refused now may have been
    /// accepted before, and then gets its first answer. Without a request id of the caller there is nothing to find.
    async fn accepted_before(&self, intent: &Intent) -> Result<Option<Receipt>, Error> {
        if intent.request_id.0 == intent.change_id.0 {
            return Ok(None);
        }
        match reads::requested(&self.database, intent.key.account, intent.request_id).await? {
            Some((request, snapshot)) if request.is_repeated_by(intent) => {
                Ok(Some(self.follow(snapshot, intent.request_id, true).await))
            }
            Some((request, _)) => Err(Error::RequestIdReused {
                request_id: intent.request_id,
                change_id: request.change_id,
            }),
            None => Ok(None),
        }
    }

    /// A receipt for a change that another request opened, or the first sending of this one.
    async fn follow(&self, mut snapshot: Snapshot, request_id: RequestId, replayed: bool) -> Receipt {
        let change = (snapshot.change.intent.key.account, snapshot.change.id());
        let waiter = self.outcomes.wait_for(change.0, change.1);
        // The change may have ended between the commit and the registration above.
        if !snapshot.change.has_ended() {
            let ended = reads::ended(&self.database, &[change]).await;
            // If this read fails, the receipt still waits for the signal.
            snapshot = ended.unwrap_or_default().into_iter().next().unwrap_or(snapshot);
        }
        Receipt {
            snapshot,
            waiter,
            request_id,
            replayed,
        }
    }

    /// The command for the committer with the decided intent, or a refusal without one. A refusal by the policy is a command too
    /// while the principal's budget lasts, because it is recorded.
    async fn command(&self, intent: &Intent, timeout: Duration) -> Result<(Command, Arc<Intent>), Error> {
        self.check_configured(intent.key.account, &intent.key.region)?;
        let (intent, refusal) = self.decide(intent, timeout).await?;
        match refusal {
            Some(rule) if self.denials.take(&intent) => Ok((Command::Deny(intent.clone(), rule), intent)),
            Some(rule) => Err(Error::Denied {
                intent,
                rule,
                log_index: None,
            }),
            None if self.forwarder.accepts_changes(&intent.key) => Ok((Command::Open(intent.clone()), intent)),
            None => Err(CommitError::Overloaded.into()),
        }
    }

    /// The intent with the decision of the policy and the claims that it used, and why it refuses, if it does.
    async fn decide(&self, intent: &Intent, timeout: Duration) -> Result<(Arc<Intent>, Option<String>), Error> {
        let time = timeout / FACTS_PART;
        let decided = forwarder::decide(
            &self.policy,
            &self.workspaces,
            &self.clock,
            self.database.instruments(),
            intent,
            None,
            time,
        )
        .await;
        let PolicyVerdict {
            decision,
            claims,
            refusal,
        } = decided.map_err(Error::Undecided)?;
        tracing::debug!(
            change_id = %intent.change_id, policies = ?decision.policies, policy_set = %decision.policy_set, facts = ?decision.facts, refusal,
            "the policy decided about the change"
        );
        let authentication = intent.authentication.as_ref().map(|known| Authentication {
            claims,
            credentials: known.credentials.clone(),
        });
        let intent = Intent {
            authentication,
            decision: Some(decision),
            ..intent.clone()
        };
        Ok((Arc::new(intent), refusal))
    }
}
