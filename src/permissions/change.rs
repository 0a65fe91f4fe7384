//! Granting and revoking.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{
        Action, Cause, Change, ChangeId, ChangeState, Intent, Permission, PermissionKey, Principal, Reason, RequestId,
        Ticket, TraceId,
        transition::{Answer, Command, Snapshot},
    },
    policy::Decision,
    store::{CommitError, outcomes::Waiter, reads},
};

use super::{Error, Permissions};

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct ChangeRequest {
    /// Grant or revoke.
    pub action: Action,
    /// Which permission.
    pub key: PermissionKey,
    /// The idempotency key, if the caller gave one.
    pub request_id: Option<RequestId>,
    /// Who asks.
    pub principal: Principal,
    /// Why they ask.
    pub reason: Reason,
    /// Under which ticket.
    pub ticket: Option<Ticket>,
    /// The trace of the caller.
    pub trace_id: Option<TraceId>,
}

/// A change that succeeded.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The permission after it.
    pub permission: Permission,
    /// The change.
    pub change: Change,
    /// True when this answers a replay.
    pub replayed: bool,
}

impl Permissions {
    /// Opens a change and waits for its end, at most for `patience`. Dropping the future takes nothing back.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Pending`] when the change goes on.
    pub async fn change(&self, request: ChangeRequest, patience: Duration) -> Result<Changed, Error> {
        let begun = self.clock.elapsed();
        let intent = Arc::new(self.intent(request));
        let unconfirmed = |store_is_away| Error::Unconfirmed {
            intent: intent.clone(),
            store_is_away,
        };
        let accepted = match tokio::time::timeout(patience, self.accept(&intent)).await {
            Ok(Err(Error::Commit(CommitError::Unavailable))) => return Err(unconfirmed(true)),
            Ok(accepted) => accepted?,
            Err(_) => return Err(unconfirmed(false)),
        };
        let Accepted {
            snapshot,
            mut waiter,
            replayed,
        } = accepted;
        let ended = if snapshot.change.has_ended() {
            snapshot
        } else {
            let rest = patience.saturating_sub(self.clock.elapsed().since(begun));
            match tokio::time::timeout(rest, waiter.ended()).await {
                Ok(ended) => Arc::unwrap_or_clone(ended),
                Err(_) => return Err(Error::Pending(Box::new(snapshot.change))),
            }
        };
        outcome(ended, replayed)
    }

    /// Checks what [`change`](Self::change) checks, and tells where the permission stands. Writes nothing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn validate(&self, request: ChangeRequest) -> Result<Option<Permission>, Error> {
        self.check_configured(request.key.account, &request.key.region)?;
        match self.policy.decide(&request.principal, request.action, &request.key) {
            Decision::Denied { rule } => Err(Error::Denied {
                key: request.key,
                rule,
                log_index: None,
            }),
            Decision::Allowed => Ok(reads::permission(&self.database, &request.key).await?),
        }
    }

    fn intent(&self, request: ChangeRequest) -> Intent {
        let change_id = ChangeId(self.clock.uuid());
        Intent {
            change_id,
            request_id: request.request_id.unwrap_or(RequestId(change_id.0)),
            key: request.key,
            action: request.action,
            cause: Cause::Caller,
            principal: request.principal,
            reason: request.reason,
            ticket: request.ticket,
            trace_id: request.trace_id,
        }
    }

    /// Gets a change accepted, or finds the one that was accepted under the same request id.
    async fn accept(&self, intent: &Arc<Intent>) -> Result<Accepted, Error> {
        let account = intent.key.account;
        let command = match self.command(intent) {
            Ok(command) => command,
            // On the heap, as what is rare: the future of every change would be as large.
            Err(refusal) => return Box::pin(self.accepted_before(intent)).await?.ok_or(refusal),
        };
        // Waited for from before it is opened, so that its end is not missed.
        let waiter = self.outcomes.wait_for(account, intent.change_id);
        match self.committer.commit(command).await? {
            Answer::Opened(snapshot) => Ok(Accepted {
                snapshot,
                waiter,
                replayed: false,
            }),
            Answer::Replayed(snapshot) => Ok(Box::pin(self.replayed(snapshot)).await),
            Answer::RequestIdReused(change_id) => Err(Error::RequestIdReused {
                request_id: intent.request_id,
                change_id,
            }),
            Answer::Denied(log_index, rule) => Err(Error::Denied {
                key: intent.key.clone(),
                rule,
                log_index: Some(log_index),
            }),
            _ => Err(Error::UnexpectedAnswer),
        }
    }

    /// The change that was accepted under the same request id, if there is one. What is not taken up today was perhaps accepted
    /// before, and is answered as it was. Who gave no request id has none to look for.
    async fn accepted_before(&self, intent: &Intent) -> Result<Option<Accepted>, Error> {
        if intent.request_id.0 == intent.change_id.0 {
            return Ok(None);
        }
        match reads::requested(&self.database, intent.key.account, intent.request_id).await? {
            Some((request, snapshot)) if request.is_repeated_by(intent) => Ok(Some(self.replayed(snapshot).await)),
            Some((request, _)) => Err(Error::RequestIdReused {
                request_id: intent.request_id,
                change_id: request.change_id,
            }),
            None => Ok(None),
        }
    }

    async fn replayed(&self, mut snapshot: Snapshot) -> Accepted {
        let change = (snapshot.change.intent.key.account, snapshot.change.id());
        let waiter = self.outcomes.wait_for(change.0, change.1);
        // It may have ended between the commit and the line above.
        if !snapshot.change.has_ended() {
            let ended = reads::ended(&self.database, &[change]).await;
            // Without an answer there is still the waiting.
            snapshot = ended.unwrap_or_default().into_iter().next().unwrap_or(snapshot);
        }
        Accepted {
            snapshot,
            waiter,
            replayed: true,
        }
    }

    /// What the committer is asked for, if it is taken up at all. A refusal by the policy is a command too: it is recorded; and a
    /// replay of what was accepted before gets its first answer, whatever the policy says today.
    fn command(&self, intent: &Arc<Intent>) -> Result<Command, Error> {
        self.check_configured(intent.key.account, &intent.key.region)?;
        match self.policy.decide(&intent.principal, intent.action, &intent.key) {
            Decision::Denied { rule } => Ok(Command::Deny(intent.clone(), rule)),
            Decision::Allowed if self.forwarder.has_room(&intent.key) => Ok(Command::Open(intent.clone())),
            Decision::Allowed => Err(CommitError::Overloaded.into()),
        }
    }
}

/// A change that was accepted, now or before.
struct Accepted {
    snapshot: Snapshot,
    waiter: Waiter,
    replayed: bool,
}

fn outcome(Snapshot { change, permission }: Snapshot, replayed: bool) -> Result<Changed, Error> {
    match change.state {
        ChangeState::Succeeded => Ok(Changed {
            permission,
            change,
            replayed,
        }),
        ChangeState::Failed => Err(Error::Failed(Box::new(change))),
        ChangeState::Superseded => Err(Error::Superseded(Box::new(change))),
        ChangeState::Pending => Err(Error::Pending(Box::new(change))),
    }
}
