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
        self.check_configured(request.key.account, &request.key.region)?;
        let intent = Arc::new(self.intent(request));
        if let Decision::Denied { rule } = self.policy.decide(intent.action, &intent.key) {
            return Err(self.deny(intent, rule).await);
        }
        if !self.forwarder.has_room() {
            return Err(CommitError::Overloaded.into());
        }
        // What can be known only after the deadline is known by the change id, or by the request id.
        let accepted = std::sync::Mutex::new(None);
        match tokio::time::timeout(patience, self.open_and_wait(intent.clone(), &accepted)).await {
            Ok(result) => result,
            Err(_) => match accepted.into_inner() {
                Ok(Some(change_id)) => Err(Error::Pending {
                    account: intent.key.account,
                    change_id,
                }),
                _ => Err(CommitError::Unavailable.into()),
            },
        }
    }

    /// Checks what [`change`](Self::change) checks, and tells where the permission stands. Writes nothing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn validate(&self, request: ChangeRequest) -> Result<Option<Permission>, Error> {
        self.check_configured(request.key.account, &request.key.region)?;
        match self.policy.decide(request.action, &request.key) {
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

    async fn deny(&self, intent: Arc<Intent>, rule: String) -> Error {
        match self.committer.commit(Command::Deny(intent.clone(), rule.clone())).await {
            Ok(Answer::Denied(index)) => Error::Denied {
                key: intent.key.clone(),
                rule,
                log_index: Some(index),
            },
            Ok(_) => Error::UnexpectedAnswer,
            Err(error) => error.into(),
        }
    }

    /// Notes the accepted change in `accepted` as soon as it is known.
    async fn open_and_wait(
        &self,
        intent: Arc<Intent>,
        accepted: &std::sync::Mutex<Option<ChangeId>>,
    ) -> Result<Changed, Error> {
        let (account, request_id) = (intent.key.account, intent.request_id);
        // Waited for from before it is opened, so that its end is not missed.
        let waiter = self.outcomes.wait_for(account, intent.change_id);
        let (snapshot, waiter, replayed) = match self.committer.commit(Command::Open(intent)).await? {
            Answer::Opened(snapshot) => (snapshot, waiter, false),
            Answer::Replayed(snapshot) => {
                let waiter = self.outcomes.wait_for(account, snapshot.change.id());
                (snapshot, waiter, true)
            }
            Answer::RequestIdReused(change_id) => return Err(Error::RequestIdReused { request_id, change_id }),
            _ => return Err(Error::UnexpectedAnswer),
        };
        if let Ok(mut accepted) = accepted.lock() {
            *accepted = Some(snapshot.change.id());
        }
        let Snapshot { change, permission } = self.end_of(snapshot, waiter).await;
        match change.state {
            ChangeState::Succeeded => Ok(Changed {
                permission,
                change,
                replayed,
            }),
            ChangeState::Failed => Err(Error::Failed(Box::new(change))),
            ChangeState::Superseded => Err(Error::Superseded(Box::new(change))),
            ChangeState::Pending => Err(Error::UnexpectedAnswer),
        }
    }

    async fn end_of(&self, snapshot: Snapshot, mut waiter: Waiter) -> Snapshot {
        if snapshot.change.has_ended() {
            snapshot
        } else {
            Arc::unwrap_or_clone(waiter.ended().await)
        }
    }
}
