//! Grants and revokes: one request id, one effect, one truthful answer.

use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use crate::{
    connection::{Client, ShareStub, backoff},
    error::{Error, Reason},
    proto::v1::{
        ErrorReason, GrantSharePermissionRequest, GrantSharePermissionResponse, RevokeSharePermissionRequest,
        RevokeSharePermissionResponse,
    },
};

/// What became of a grant or a revoke.
#[derive(Debug, Clone)]
#[must_use]
pub enum Outcome<A> {
    /// AWS accepted the change, and this is recorded. A request to validate only is valid and permitted.
    Succeeded(A),
    /// The request was refused, or its change has ended without success. The error says why.
    Failed(Error),
    /// The time or the tries were used up before the outcome was known. The change may still succeed.
    Unresolved {
        /// Send the same request again with this id to learn the outcome. It never acts twice.
        request_id: String,
        /// Why it is not known. CHANGE_PENDING, with the `change_id`, if the change is known to have been accepted.
        error: Error,
    },
}

impl Client {
    /// Grants, under the request's id or a new one, and does not return before the outcome is known or the time-out has passed.
    pub async fn grant(&self, mut request: GrantSharePermissionRequest) -> Outcome<GrantSharePermissionResponse> {
        let id = ensure_id(&mut request.request_id);
        self.change(id, request, async |mut stub: ShareStub, request| {
            stub.grant_share_permission(request).await
        })
        .await
    }

    /// The same for a revoke.
    pub async fn revoke(&self, mut request: RevokeSharePermissionRequest) -> Outcome<RevokeSharePermissionResponse> {
        let id = ensure_id(&mut request.request_id);
        self.change(id, request, async |mut stub: ShareStub, request| {
            stub.revoke_share_permission(request).await
        })
        .await
    }

    async fn change<Q, A, F>(&self, request_id: String, request: Q, rpc: F) -> Outcome<A>
    where
        Q: Clone,
        F: AsyncFn(ShareStub, Request<Q>) -> Result<Response<A>, Status>,
    {
        let deadline = self.deadline();
        let (mut in_doubt, mut pending) = (false, None);
        let (mut delays, mut tries) = (0, 0);
        loop {
            let mut error = match self.call_once(deadline, request.clone(), &rpc).await {
                Ok(answer) => return Outcome::Succeeded(answer),
                Err(error) => error,
            };
            error.request_id = Some(request_id.clone());
            (delays, tries) = (delays + 1, tries + 1);
            let class = ErrorClass::of(&error);
            if class == ErrorClass::Final {
                return Outcome::Failed(error);
            }
            in_doubt |= class == ErrorClass::InDoubt;
            if error.known_reason() == Some(ErrorReason::ChangePending) {
                // The service answers, and the replay waits there for the end of the change.
                tries = 0;
                pending = Some(error.clone());
            }
            let delay = backoff(delays).max(error.retry_delay.unwrap_or_default());
            if class == ErrorClass::Rejected || tries == self.tries || delay >= deadline.remaining() {
                return match in_doubt {
                    false => Outcome::Failed(error),
                    true => Outcome::Unresolved {
                        request_id,
                        error: pending.unwrap_or(error),
                    },
                };
            }
            tokio::time::sleep(delay).await;
        }
    }
}

/// A request always has an id, so that repeating it is safe.
fn ensure_id(request_id: &mut String) -> String {
    if request_id.is_empty() {
        *request_id = Uuid::new_v4().to_string();
    }
    request_id.clone()
}

/// What an error says of a request that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorClass {
    /// The request has ended, in this try or an earlier one.
    Final,
    /// It may have been accepted: the replay tells.
    InDoubt,
    /// This try did nothing, and another may.
    Retryable,
    /// This try did nothing, and another would not. It says nothing of an earlier try.
    Rejected,
}

impl ErrorClass {
    fn of(error: &Error) -> Self {
        match (&error.reason, error.code) {
            (Some(Reason::Known(reason)), _) => Self::of_reason(*reason, error),
            // A newer service, a proxy or the transport: only these codes say that the try did nothing.
            (
                Some(Reason::Unknown(_)) | None,
                Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::FailedPrecondition
                | Code::Unimplemented,
            ) => Self::Rejected,
            (Some(Reason::Unknown(_)) | None, _) => Self::InDoubt,
        }
    }

    /// No catch-all here: a new reason must not compile before it has its meaning.
    fn of_reason(reason: ErrorReason, error: &Error) -> Self {
        use ErrorReason as R;
        match reason {
            R::InvalidFields
            | R::RequestIdReused
            | R::AccountNotConfigured
            | R::ImageNotFound
            | R::ImageUnavailable
            | R::OperationNotSupported
            | R::UpstreamAccessDenied
            | R::UpstreamInvalidParameter
            | R::UpstreamRefused
            | R::UpstreamThrottled
            | R::UpstreamUnavailable
            | R::ChangeSuperseded => Self::Final,
            // The change was accepted, or the denial is on record. A missing role refuses only this try.
            R::PolicyDenied if error.change_id.is_some() || error.metadata.contains_key("log_index") => Self::Final,
            R::ChangePending
            | R::ChangeUnconfirmed
            | R::CallTimedOut
            | R::AuditStoreUnavailable
            | R::Internal
            | R::Unspecified => Self::InDoubt,
            R::ServerStopping => Self::Retryable,
            R::Overloaded if error.retry_delay.is_some() => Self::Retryable,
            R::Overloaded
            | R::PolicyDenied
            | R::Unauthenticated
            | R::Unimplemented
            | R::InvalidPageToken
            | R::PermissionNotFound
            | R::ChangeNotFound
            | R::EntryNotFound
            | R::EntryArchived
            | R::CheckpointNotFound
            | R::NotYetCovered
            | R::LedgerTampered
            | R::InvalidSignature => Self::Rejected,
        }
    }
}
