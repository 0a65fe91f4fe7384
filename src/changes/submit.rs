//! Granting and revoking: a change is submitted, and its end is waited for.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{
        Action, Cause, Change, ChangeId, ChangeState, Intent, Permission, PermissionKey, Principal, Reason, RequestId,
        Ticket, TraceId,
        transition::{Command, CommandReply, Snapshot},
    },
    policy::{Decision, PolicyQuery},
    store::{CommitError, outcomes::Waiter, reads},
};

use super::{ChangeService, Error, UnsuccessfulChange};

/// A change that somebody wants.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Why it is wanted.
    pub cause: Cause,
    /// The principal that wants it, as authenticated.
    pub actor: Principal,
    /// Grant or revoke.
    pub action: Action,
    /// Which permission.
    pub key: PermissionKey,
    /// The idempotency key, if there is one.
    pub request_id: Option<RequestId>,
    /// The reason that the actor gives.
    pub reason: Reason,
    /// Under which ticket.
    pub ticket: Option<Ticket>,
    /// The trace of the call.
    pub trace_id: Option<TraceId>,
}

/// A change that was accepted, now or before.
#[derive(Debug)]
pub struct Receipt {
    snapshot: Snapshot,
    waiter: Waiter,
    /// The id of the request, which may have joined a change of another request.
    request_id: RequestId,
    replayed: bool,
}

/// A change that succeeded.
#[derive(Debug, Clone)]
pub struct CompletedChange {
    /// The permission after it.
    pub permission: Permission,
    /// The change.
    pub change: Change,
    /// True when this answers a replay.
    pub replayed: bool,
    /// True when another request had asked for the change, and this one joined it.
    pub joined: bool,
}

impl Receipt {
    /// Waits for the end of the change, at most for `timeout`. Dropping the future takes nothing back.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::Superseded`], or [`Error::Pending`] when the change goes on.
    pub async fn wait(mut self, timeout: Duration) -> Result<CompletedChange, Error> {
        let Snapshot { change, permission } = if self.snapshot.change.has_ended() {
            self.snapshot
        } else {
            match tokio::time::timeout(timeout, self.waiter.ended()).await {
                Ok(ended) => Arc::unwrap_or_clone(ended),
                Err(_) => self.snapshot,
            }
        };
        let request_id = self.request_id;
        match change.state {
            ChangeState::Succeeded => Ok(CompletedChange {
                joined: change.intent.request_id != request_id,
                permission,
                change,
                replayed: self.replayed,
            }),
            ChangeState::Failed => Err(Error::Failed(Box::new(UnsuccessfulChange { change, request_id }))),
            ChangeState::Superseded => Err(Error::Superseded(Box::new(UnsuccessfulChange { change, request_id }))),
            ChangeState::Pending => Err(Error::Pending(Box::new(change))),
        }
    }
}

impl ChangeService {
    /// Gets a change accepted within `timeout`, if the policy allows it. Dropping the future takes nothing back.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Unconfirmed`] when it is not known whether the change was accepted.
    pub async fn submit(&self, submission: Submission, timeout: Duration) -> Result<Receipt, Error> {
        let intent = Arc::new(self.intent(submission));
        let accepted = tokio::time::timeout(timeout, self.accept(&intent)).await;
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

    /// Checks what [`submit`](Self::submit) checks, and tells where the permission stands. Writes nothing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn validate(&self, submission: Submission) -> Result<Option<Permission>, Error> {
        let intent = self.intent(submission);
        self.check_configured(intent.key.account, &intent.key.region)?;
        match self.policy.decide(PolicyQuery::of(&intent)) {
            Decision::Deny { words, .. } => Err(Error::Denied {
                key: intent.key,
                rule: words,
                log_index: None,
            }),
            Decision::Allow { .. } => Ok(reads::permission(&self.database, &intent.key).await?),
        }
    }

    fn intent(&self, submission: Submission) -> Intent {
        let change_id = ChangeId(self.clock.uuid());
        Intent {
            change_id,
            request_id: submission.request_id.unwrap_or(RequestId(change_id.0)),
            key: submission.key,
            action: submission.action,
            cause: submission.cause,
            principal: submission.actor,
            reason: submission.reason,
            ticket: submission.ticket,
            trace_id: submission.trace_id,
        }
    }

    /// Gets a change accepted, or finds the one that was accepted under the same request id.
    async fn accept(&self, intent: &Arc<Intent>) -> Result<Receipt, Error> {
        let account = intent.key.account;
        let command = match self.command(intent) {
            Ok(command) => command,
            // On the heap, as what is rare: the future of every change would be as large.
            Err(refusal) => return Box::pin(self.accepted_before(intent)).await?.ok_or(refusal),
        };
        // Waited for from before it is opened, so that its end is not missed.
        let waiter = self.outcomes.wait_for(account, intent.change_id);
        match self.committer.commit(command).await? {
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
            CommandReply::Denied(log_index, rule) => Err(Error::Denied {
                key: intent.key.clone(),
                rule,
                log_index: Some(log_index),
            }),
            _ => Err(Error::UnexpectedAnswer),
        }
    }

    /// The change that was accepted under the same request id, if there is one. What is not taken up today was perhaps accepted
    /// before, and is answered as it was. Who gave no request id has none to look for.
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

    /// A receipt for a change that another request has opened, or the same one before.
    async fn follow(&self, mut snapshot: Snapshot, request_id: RequestId, replayed: bool) -> Receipt {
        let change = (snapshot.change.intent.key.account, snapshot.change.id());
        let waiter = self.outcomes.wait_for(change.0, change.1);
        // It may have ended between the commit and the line above.
        if !snapshot.change.has_ended() {
            let ended = reads::ended(&self.database, &[change]).await;
            // Without an answer there is still the waiting.
            snapshot = ended.unwrap_or_default().into_iter().next().unwrap_or(snapshot);
        }
        Receipt {
            snapshot,
            waiter,
            request_id,
            replayed,
        }
    }

    /// What the committer is asked for, if it is taken up at all. A refusal by the policy is a command too: it is recorded; and a
    /// replay of what was accepted before gets its first answer, whatever the policy says today.
    fn command(&self, intent: &Arc<Intent>) -> Result<Command, Error> {
        self.check_configured(intent.key.account, &intent.key.region)?;
        match self.policy.decide(PolicyQuery::of(intent)) {
            Decision::Deny { policies, words } => {
                tracing::debug!(?policies, "the policy refuses the change");
                Ok(Command::Deny(intent.clone(), words))
            }
            Decision::Allow { .. } if self.forwarder.accepts_changes(&intent.key) => Ok(Command::Open(intent.clone())),
            Decision::Allow { .. } => Err(CommitError::Overloaded.into()),
        }
    }
}
