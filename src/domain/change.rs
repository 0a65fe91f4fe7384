//! A change: one accepted grant or revoke.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    Access, Attempt, Authentication, Basis, ChangeId, Decision, Justification, PermissionKey, Principal, RequestId,
    ShareEnd, Timestamp, TraceId,
};

/// Gives an enum its names in the ledger and the store: `as_str` writes a name, `parse` reads it.
macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in the ledger and the store. The API adds a prefix.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The inverse of [`as_str`](Self::as_str). None for any other text.
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
    /// Stop the sharing. Existing copies stay.
    Revoke,
}
names!(Action { Grant = "GRANT", Revoke = "REVOKE" });

/// Why a change exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A caller asked for it.
    Caller,
    /// The end of a share was reached.
    Expiry,
    /// AWS had a share that the ledger did not, and the account is configured so that such shares are revoked.
    Drift,
    /// A caller asked to make a share that AWS already has one of the service's.
    Adoption,
}
names!(Cause {
    Caller = "CALLER",
    Expiry = "EXPIRY",
    Drift = "DRIFT",
    Adoption = "ADOPTION"
});

/// The state of a change: `Pending`, then exactly one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeState {
    /// Accepted and durable, but not ended.
    Pending,
    /// In effect at AWS.
    Succeeded,
    /// Known not to be in effect.
    Failed,
    /// Superseded by a newer change.
    Superseded,
}
names!(ChangeState { Pending = "PENDING", Succeeded = "SUCCEEDED", Failed = "FAILED", Superseded = "SUPERSEDED" });

/// Why a change failed. Each is an `ErrorReason` of the API under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// ResourceNotFoundException.
    ImageNotFound,
    /// ResourceUnavailableException until the retry budget was spent.
    ImageUnavailable,
    /// OperationNotSupportedException.
    OperationNotSupported,
    /// AccessDeniedException, or AWS refused our credentials.
    UpstreamAccessDenied,
    /// InvalidParameterValuesException and similar codes that the API model does not list.
    UpstreamInvalidParameter,
    /// Another refusal that the API model does not list.
    UpstreamRefused,
    /// AWS throttled until the retry budget was spent.
    UpstreamThrottled,
    /// AWS was unreachable until the retry budget was spent. The change is known not to be in effect.
    UpstreamUnavailable,
    /// The policy in force directly before the call refuses the change. It was accepted under another policy.
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
    /// The reason, mapped from AWS's error code.
    pub reason: FailureReason,
    /// AWS's error code, if it gave one.
    pub code: Option<String>,
    /// AWS's error message, or the message of the policy, if there is one.
    pub message: Option<String>,
}

/// A requested change with its principal and reason, before it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The id of the change, if it is accepted.
    pub change_id: ChangeId,
    /// The idempotency key. The change id, if the caller gave none.
    pub request_id: RequestId,
    /// Which permission.
    pub key: PermissionKey,
    /// Grant or revoke.
    pub action: Action,
    /// Why the change exists.
    pub cause: Cause,
    /// The authenticated principal.
    pub principal: Principal,
    /// How it was authenticated. None if no caller asked for the change, or an older build recorded it.
    pub authentication: Option<Authentication>,
    /// The last decision of the policy on it. None if none was made, or an older build recorded the change.
    pub decision: Option<Decision>,
    /// The justification that the principal gives.
    pub justification: Justification,
    /// When the share is to end. None for a revoke, and for a share without an end.
    pub end: Option<ShareEnd>,
    /// The trace of the caller.
    pub trace_id: Option<TraceId>,
}

impl Intent {
    /// When the share ends that the grant makes. None if it has no end, and for a TTL before the grant is accepted.
    pub fn expire_time(&self) -> Option<Timestamp> {
        match self.end {
            Some(ShareEnd::At(time)) => Some(time),
            Some(ShareEnd::After(_)) | None => None,
        }
    }

    /// True if a later entry of the change, with the intent `later`, repeats this one. An older build that ends the change leaves
    /// out the authentication, or its claims. The policy can be asked again before the call.
    pub fn is_repeated_in(&self, later: &Self) -> bool {
        let expected = Self {
            authentication: self.authentication_in(later),
            decision: self.decision.clone(),
            ..later.clone()
        };
        *self == expected
    }

    /// The authentication of a later entry, with what it leaves out.
    fn authentication_in(&self, later: &Self) -> Option<Authentication> {
        match (&self.authentication, &later.authentication) {
            (known, None) => known.clone(),
            (Some(known), Some(repeated)) if repeated.claims.is_empty() => Some(Authentication {
                claims: known.claims.clone(),
                ..repeated.clone()
            }),
            (_, repeated) => repeated.clone(),
        }
    }
}

/// The principal of changes that the service itself asks for. No caller may have this name.
pub const ACTOR: &str = "sharewarden";

impl Intent {
    /// A change that the service itself asks for. Its id is that of its request too.
    ///
    /// # Panics
    /// If `reason`, a constant, breaks the rule of reasons.
    pub fn of_service(id: Uuid, key: PermissionKey, action: Action, cause: Cause, reason: &str) -> Self {
        let valid = "a constant follows its rule";
        Self {
            change_id: ChangeId(id),
            request_id: RequestId(id),
            key,
            action,
            cause,
            principal: ACTOR.parse().expect(valid),
            authentication: None,
            decision: None,
            justification: Justification::new(reason.parse().expect(valid), None),
            end: None,
            trace_id: None,
        }
    }
}

/// Maximum attempts kept per change. A change in doubt may be read back for days.
pub const MAX_ATTEMPTS: usize = 100;

/// One accepted grant or revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The request.
    pub intent: Arc<Intent>,
    /// The generation of the permission that it set.
    pub generation: u64,
    /// What AWS was known to hold when the change was accepted.
    pub previous: Option<Access>,
    /// The basis of the share when the change was accepted. With the cause [`Cause::Expiry`]: the basis that ends, which can
    /// be a grant in progress.
    pub previous_basis: Option<Basis>,
    /// `Pending` until the change ends.
    pub state: ChangeState,
    /// The recorded calls to AWS, oldest first. A lease that expired without an outcome counts as one call with the error code
    /// `LeaseExpired`.
    pub attempts: Vec<Attempt>,
    /// Why it failed, if it did.
    pub failure: Option<ChangeFailure>,
    /// When it became durable, on the database's clock.
    pub created_at: Timestamp,
    /// When it ended, on the database's clock.
    pub ended_at: Option<Timestamp>,
}

impl Change {
    /// The id of the change.
    pub fn id(&self) -> ChangeId {
        self.intent.change_id
    }

    /// When the share ends that this grant makes. None for a revoke, and for a share without an end.
    pub fn expire_time(&self) -> Option<Timestamp> {
        self.intent.expire_time()
    }

    /// The basis of a share that this change makes. None for a revoke.
    pub fn basis(&self) -> Option<Basis> {
        (self.intent.action == Action::Grant).then(|| Basis {
            change_id: self.id(),
            expire_time: self.expire_time(),
        })
    }

    /// Adds attempts. Keeps at most [`MAX_ATTEMPTS`]: the first half unchanged, and the newest.
    pub fn remember(&mut self, attempts: impl IntoIterator<Item = Attempt>) {
        self.attempts.extend(attempts);
        let surplus = self.attempts.len().saturating_sub(MAX_ATTEMPTS);
        if surplus > 0 {
            self.attempts.drain(MAX_ATTEMPTS / 2..MAX_ATTEMPTS / 2 + surplus);
        }
    }

    /// True once its terminal entry is recorded.
    pub fn has_ended(&self) -> bool {
        self.state != ChangeState::Pending
    }

    /// The AWS request id of the last call of an ended change, if AWS gave one.
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

    use super::*;
    use crate::domain::{AwsOperation, Claim, Claims, Classification, example};

    #[test]
    fn an_older_build_that_ends_a_change_may_leave_out_the_authentication_and_nothing_else() {
        let opened = example::intent();
        let ended = |change: fn(&mut Intent)| {
            let mut intent = example::intent();
            change(&mut intent);
            intent
        };
        assert!(opened.is_repeated_in(&ended(|_| {})));
        assert!(opened.is_repeated_in(&ended(|it| it.authentication = None)));
        for other in [
            ended(|it| {
                it.authentication = Some(Authentication::by([]));
            }),
            ended(|it| (it.authentication, it.principal) = (None, "other".parse().unwrap())),
        ] {
            assert!(!opened.is_repeated_in(&other), "{other:?}");
        }
        assert!(!ended(|it| it.authentication = None).is_repeated_in(&opened));
    }

    #[test]
    fn an_older_build_that_ends_a_change_may_leave_out_the_claims_and_may_not_change_them() {
        let with = |values: &[&str]| {
            let mut intent = example::intent();
            let values = Claim::of(values.iter().map(|value| (*value).to_owned()));
            let claims = Claims::all([("team".into(), values)]).only(&["team".to_owned()].into());
            intent.authentication.as_mut().unwrap().claims = claims;
            intent
        };
        let mut without = example::intent();
        without.authentication.as_mut().unwrap().claims = Claims::default();
        assert!(with(&["a"]).is_repeated_in(&with(&["a"])));
        assert!(with(&["a"]).is_repeated_in(&without));
        assert!(!with(&["a"]).is_repeated_in(&with(&["b"])));
        assert!(!without.is_repeated_in(&with(&["a"])));
    }

    #[test]
    fn of_many_attempts_the_first_and_the_newest_are_kept() {
        let now = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
        let mut change = Change {
            intent: Arc::new(example::intent()),
            generation: 1,
            previous: None,
            previous_basis: None,
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
