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
    /// The policy in force when AWS was to be called refuses it; the change was accepted under another one.
    PolicyDenied,
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
    PolicyDenied = "POLICY_DENIED",
});

/// Why and how a change failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeFailure {
    /// Why, in our words.
    pub reason: FailureReason,
    /// AWS's error code, where there is one.
    pub code: Option<String>,
    /// AWS's error message, or the words of the policy, where there is one.
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

/// So many attempts of a change are kept: a change in doubt may be read back for days.
pub const MAX_ATTEMPTS: usize = 100;

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
    /// The calls to AWS made for it whose end was seen, oldest first; a lease whose holder was lost stands as one call
    /// `LeaseExpired`.
    pub attempts: Vec<Attempt>,
    /// Why it failed.
    pub failure: Option<ChangeFailure>,
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

    /// Adds attempts. At most [`MAX_ATTEMPTS`] are kept: the first half of them as they were, and the latest.
    pub fn remember(&mut self, attempts: impl IntoIterator<Item = Attempt>) {
        self.attempts.extend(attempts);
        let surplus = self.attempts.len().saturating_sub(MAX_ATTEMPTS);
        if surplus > 0 {
            self.attempts.drain(MAX_ATTEMPTS / 2..MAX_ATTEMPTS / 2 + surplus);
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::domain::{AwsOperation, Classification, RequestId, example};

    #[test]
    fn of_many_attempts_the_first_and_the_latest_are_kept() {
        let now = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
        let mut change = Change {
            intent: Arc::new(Intent {
                change_id: ChangeId(Uuid::nil()),
                request_id: RequestId(Uuid::nil()),
                key: PermissionKey {
                    account: "111122223333".parse().unwrap(),
                    region: "eu-central-1".parse().unwrap(),
                    image: "wsi-123456789".parse().unwrap(),
                    shared_account: "210987654321".parse().unwrap(),
                },
                principal: "tester".parse().unwrap(),
                ..example::intent()
            }),
            generation: 1,
            previous: None,
            state: ChangeState::Pending,
            attempts: Vec::new(),
            failure: None,
            created_at: now,
            ended_at: None,
        };
        for second in 0..250 {
            change.remember([Attempt {
                operation: AwsOperation::DescribeWorkspaceImagePermissions,
                started_at: now + Duration::from_secs(second),
                duration: Duration::ZERO,
                classification: Classification::Unknown,
                aws_request_id: None,
                error_code: None,
            }]);
            assert_eq!(change.attempts.len(), MAX_ATTEMPTS.min(second as usize + 1));
        }
        let seconds: Vec<_> = change
            .attempts
            .iter()
            .map(|attempt| attempt.started_at.since(now).as_secs())
            .collect();
        assert_eq!(seconds, (0..50).chain(200..250).collect::<Vec<_>>());
    }
}
