//! A change: one accepted grant or revoke.

use std::sync::Arc;

use super::{Access, Attempt, ChangeId, PermissionKey, Principal, Reason, RequestId, Ticket, Timestamp, TraceId};

/// Gives an enum its names: `as_str` for the ledger and the store, `parse` back.
macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in the ledger, in the store and, with its prefix, in the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Reads [`as_str`](Self::as_str).
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use names;

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Let the shared account copy the image.
    Grant,
    /// Stop letting it. Copies that were made stay.
    Revoke,
}
names!(Action { Grant = "GRANT", Revoke = "REVOKE" });

/// Why a change came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A caller asked for it.
    Caller,
}
names!(Cause { Caller = "CALLER" });

/// Where a change stands: `Pending`, then exactly one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeState {
    /// Accepted and durable, not ended.
    Pending,
    /// In effect at AWS.
    Succeeded,
    /// Known not to be in effect.
    Failed,
    /// A newer change took its place.
    Superseded,
}
names!(ChangeState { Pending = "PENDING", Succeeded = "SUCCEEDED", Failed = "FAILED", Superseded = "SUPERSEDED" });

/// Why a change failed. Each is an `ErrorReason` of the API under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// ResourceNotFoundException.
    ImageNotFound,
    /// ResourceUnavailableException, until the budget was spent.
    ImageUnavailable,
    /// OperationNotSupportedException.
    OperationNotSupported,
    /// AccessDeniedException or a refusal of our credentials.
    UpstreamAccessDenied,
    /// InvalidParameterValuesException and its unmodelled kin.
    UpstreamInvalidParameter,
    /// A refusal that the API model does not list.
    UpstreamRefused,
    /// Throttled until the budget was spent.
    UpstreamThrottled,
    /// Not reachable until the budget was spent, and known not to be in effect.
    UpstreamUnavailable,
}
names!(FailureReason {
    ImageNotFound = "IMAGE_NOT_FOUND",
    ImageUnavailable = "IMAGE_UNAVAILABLE",
    OperationNotSupported = "OPERATION_NOT_SUPPORTED",
    UpstreamAccessDenied = "UPSTREAM_ACCESS_DENIED",
    UpstreamInvalidParameter = "UPSTREAM_INVALID_PARAMETER",
    UpstreamRefused = "UPSTREAM_REFUSED",
    UpstreamThrottled = "UPSTREAM_THROTTLED",
    UpstreamUnavailable = "UPSTREAM_UNAVAILABLE",
});

/// Why and how a change failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why, in our words.
    pub reason: FailureReason,
    /// AWS's error code, where there is one.
    pub code: Option<String>,
    /// AWS's error message, where there is one.
    pub message: Option<String>,
}

/// Who wants what, and why: what a caller asks for, before anyone has accepted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The change that this becomes, if it is accepted.
    pub change_id: ChangeId,
    /// The idempotency key; made from the change id where the caller gave none.
    pub request_id: RequestId,
    /// Which permission.
    pub key: PermissionKey,
    /// Grant or revoke.
    pub action: Action,
    /// Why it came to be.
    pub cause: Cause,
    /// Who asks.
    pub principal: Principal,
    /// Why they ask.
    pub reason: Reason,
    /// Under which ticket.
    pub ticket: Option<Ticket>,
    /// The trace of the caller.
    pub trace_id: Option<TraceId>,
}

impl Intent {
    /// True when the other asks for the same: a replay, where the request ids are equal too. The trace may differ.
    pub fn same_content(&self, other: &Intent) -> bool {
        self.key == other.key
            && self.action == other.action
            && self.cause == other.cause
            && self.principal == other.principal
            && self.reason == other.reason
            && self.ticket == other.ticket
    }
}

/// One accepted grant or revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Who wanted what, and why.
    pub intent: Arc<Intent>,
    /// The generation of the permission that it set.
    pub generation: u64,
    /// What AWS was known to hold when it was accepted.
    pub previous: Option<Access>,
    /// Where it stands.
    pub state: ChangeState,
    /// The calls to AWS made for it whose end was seen, oldest first.
    pub attempts: Vec<Attempt>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// When it became durable, on the database's clock.
    pub created_at: Timestamp,
    /// When it ended, on the database's clock.
    pub ended_at: Option<Timestamp>,
}

impl Change {
    /// Its id.
    pub fn id(&self) -> ChangeId {
        self.intent.change_id
    }

    /// True once it has its one terminal entry.
    pub fn has_ended(&self) -> bool {
        self.state != ChangeState::Pending
    }

    /// The AWS request id of the call that settled it, where AWS gave one.
    pub fn aws_request_id(&self) -> Option<&str> {
        self.attempts
            .last()
            .filter(|_| self.has_ended())?
            .aws_request_id
            .as_deref()
    }
}
