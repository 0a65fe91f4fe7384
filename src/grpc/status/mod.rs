//! What went wrong, as a status: the one place where errors are mapped, and where a fault of ours is logged, once.
//!
//! Messages are for people. They never repeat what a driver said, nor what AWS said: AWS's words are in the change, for
//! those who may read it.

use std::{error::Error as StdError, time::Duration};

use tonic::{Code, Status};
use tonic_types::FieldViolation;

use crate::{
    changes::{Error, UnsuccessfulChange},
    domain::{AwsError, AwsErrorKind, Change, FailureReason, Intent},
    edge::{admission::NotAdmitted, quota::Exhausted},
    proto::v1::ErrorReason,
    store::{CommitError, StoreError},
};

use super::{present, refusal::Refusal};

/// Nobody is asked to come back sooner.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(10);

/// The metadata that names the change which goes on after DEADLINE_EXCEEDED.
pub const CHANGE_ID: &str = "x-sharewarden-change-id";

/// The status of a use case that did not do what was asked.
pub(super) fn of(error: Error) -> Status {
    Refusal::from(error).into_status()
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        refusal(error)
    }
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::NotConfigured { account, region } => Refusal::new(
            ErrorReason::AccountNotConfigured,
            format!(
                "The service is not configured for account {account} in Region {region}; ask its operators to add it."
            ),
        )
        .with("account_id", account)
        .with("region", region),
        Error::Denied { key, rule, log_index } => Refusal::new(
            ErrorReason::PolicyDenied,
            format!("The policy refuses this: {rule}. Ask the owner of the policy."),
        )
        .with_key(&key)
        .with("rule", rule)
        .with_known("log_index", log_index),
        Error::RequestIdReused { request_id, change_id } => Refusal::new(
            ErrorReason::RequestIdReused,
            format!(
                "The request id {request_id} was used before, for other content, in change {change_id}; \
                 use a new id for a new request."
            ),
        )
        .with("request_id", request_id)
        .with("change_id", change_id),
        Error::PermissionNotFound(key) => Refusal::new(
            ErrorReason::PermissionNotFound,
            format!(
                "No change was ever accepted for image {} of account {} in Region {} and account {}.",
                key.image, key.account, key.region, key.shared_account
            ),
        )
        .with_key(&key),
        Error::ChangeNotFound(account, change_id) => Refusal::new(
            ErrorReason::ChangeNotFound,
            format!("Account {account} has no change {change_id}; check both."),
        )
        .with("account_id", account)
        .with("change_id", change_id),
        Error::Pending(change) => pending(&change),
        Error::Failed(ended) => failed(&ended),
        Error::Superseded(ended) => ended_change(
            ErrorReason::ChangeSuperseded,
            &ended,
            "a newer change of the same permission took its place; read the permission before deciding again",
        ),
        Error::Upstream(fault) => upstream(&fault),
        Error::Store(error) => store(&error),
        Error::Commit(CommitError::Overloaded) => overloaded(),
        Error::Commit(CommitError::Unavailable) => store_unavailable(),
        Error::Commit(CommitError::Stopping) => Refusal::new(
            ErrorReason::ServerStopping,
            "The server stops, and did not take this up; replay the request: another server, or the next one, answers.",
        )
        .with_pushback(),
        error @ Error::Commit(CommitError::Rejected) => internal(&error),
        Error::Unconfirmed {
            intent,
            store_unavailable,
        } => unconfirmed(&intent, store_unavailable),
        error @ Error::UnexpectedAnswer => internal(&error),
    }
}

/// The reason of the API behind a failure.
pub(super) fn reason(failure: FailureReason) -> ErrorReason {
    match failure {
        FailureReason::ImageNotFound => ErrorReason::ImageNotFound,
        FailureReason::ImageUnavailable => ErrorReason::ImageUnavailable,
        FailureReason::OperationNotSupported => ErrorReason::OperationNotSupported,
        FailureReason::UpstreamAccessDenied => ErrorReason::UpstreamAccessDenied,
        FailureReason::UpstreamInvalidParameter => ErrorReason::UpstreamInvalidParameter,
        FailureReason::UpstreamRefused => ErrorReason::UpstreamRefused,
        FailureReason::UpstreamThrottled => ErrorReason::UpstreamThrottled,
        FailureReason::UpstreamUnavailable => ErrorReason::UpstreamUnavailable,
        FailureReason::PolicyDenied => ErrorReason::PolicyDenied,
    }
}

/// The caller has to find out, by replaying the request id. There is no change id to tell: that of this try comes to nothing
/// if it was a replay.
fn unconfirmed(intent: &Intent, store_unavailable: bool) -> Refusal {
    let (account, request) = (intent.key.account, intent.request_id);
    let (reason, why) = if store_unavailable {
        (ErrorReason::AuditStoreUnavailable, "The audit store does not answer")
    } else {
        (ErrorReason::ChangeUnconfirmed, "The deadline passed")
    };
    let refusal = Refusal::new(
        reason,
        format!(
            "{why}, and it is not known whether the change was accepted: replay the request with request id {request}, which \
             never acts twice."
        ),
    )
    .with("account_id", account)
    .with("request_id", request);
    // The same message without an id would be another request.
    if request.0 == intent.change_id.0 {
        refusal.without_retry()
    } else {
        refusal
    }
}

fn pending(change: &Change) -> Refusal {
    let (account, id) = (change.intent.key.account, change.id());
    Refusal::new(
        ErrorReason::ChangePending,
        format!(
            "Change {id} of account {account} was accepted and goes on; follow it with GetChange, or replay the request \
             with the same request id."
        ),
    )
    .with("account_id", account)
    .with("change_id", id)
    .with_metadata(CHANGE_ID, id)
}

/// Why it ended, and what to do.
fn failure_text(failure: FailureReason) -> &'static str {
    match failure {
        FailureReason::ImageNotFound => "AWS does not know the image in this account and Region; check the image id",
        FailureReason::ImageUnavailable => "AWS reports the image as unavailable; try again when it is available",
        FailureReason::OperationNotSupported => "AWS does not support this for the image; do not try again",
        FailureReason::UpstreamAccessDenied => {
            "AWS refused the service's own role or credentials; ask the operators of the service"
        }
        FailureReason::UpstreamInvalidParameter => "AWS refused a parameter; check the ids against AWS",
        FailureReason::UpstreamRefused => "AWS refused, for a reason that its API model does not list",
        FailureReason::UpstreamThrottled => "AWS throttled the calls for too long; try again later",
        FailureReason::UpstreamUnavailable => "AWS could not be reached for too long; try again later",
        FailureReason::PolicyDenied => {
            "the policy that was in force when AWS was to be called refuses it; ask the owner of the policy"
        }
    }
}

fn failed(ended: &UnsuccessfulChange) -> Refusal {
    // The schema has no failed change without a failure.
    let Some(failure) = &ended.change.failure else {
        return ended_change(ErrorReason::Internal, ended, "why was not recorded; report it");
    };
    let is_denied = failure.reason == FailureReason::PolicyDenied;
    let why = match is_denied && ended.is_joined() {
        true => {
            "the policy refuses it to whoever opened it; ask again with a new request id, and it is decided for you"
        }
        false => failure_text(failure.reason),
    };
    ended_change(reason(failure.reason), ended, why)
        .with_known("aws_error_code", failure.code.as_deref())
        .with_known("rule", failure.message.as_deref().filter(|_| is_denied))
}

fn ended_change(reason: ErrorReason, ended: &UnsuccessfulChange, why: &str) -> Refusal {
    let change = &ended.change;
    let end = present::change_state_word(change.state);
    let joined = match ended.is_joined() {
        true => ", which this request had joined,",
        false => "",
    };
    Refusal::new(reason, format!("Change {}{joined} {end}: {why}.", change.id()))
        .with_key(&change.intent.key)
        .with("action", change.intent.action.as_str())
        .with("change_id", change.id())
        .with("request_id", ended.request_id)
        .with_known("aws_request_id", change.aws_request_id())
        .without_retry()
}

fn upstream(fault: &AwsError) -> Refusal {
    let (failure, retry_after) = match fault.kind {
        AwsErrorKind::Refused(failure) => (failure, None),
        AwsErrorKind::Throttled { retry_after } => (FailureReason::UpstreamThrottled, retry_after),
        AwsErrorKind::NotSent | AwsErrorKind::Unknown => (FailureReason::UpstreamUnavailable, None),
    };
    Refusal::new(reason(failure), format!("{}.", failure_text(failure)))
        .with_known("aws_error_code", fault.code.as_deref())
        .with_retry_after(retry_after)
}

pub(super) fn store(error: &StoreError) -> Refusal {
    if error.is_transient() {
        tracing::error!(error = error as &dyn StdError, "the audit store does not answer");
        store_unavailable()
    } else {
        internal(error)
    }
}

/// There is more to do than may wait.
pub(super) fn overloaded() -> Refusal {
    Refusal::new(
        ErrorReason::Overloaded,
        "The service has more work than it may queue, and did not take this up; slow down, then replay the request.",
    )
}

/// The time of the call is up, and no handler has answered.
pub(super) fn timed_out() -> Refusal {
    Refusal::new(
        ErrorReason::CallTimedOut,
        "The deadline passed before the request was there, or before its answer was; replay a grant or a revoke with the same \
         request id.",
    )
}

/// There is no such method.
pub(super) fn unimplemented() -> Refusal {
    Refusal::new(
        ErrorReason::Unimplemented,
        "The server does not have this method, or not this compression of messages; check that it is as new as the client.",
    )
}

/// The store did not answer in time.
pub(super) fn store_unavailable() -> Refusal {
    Refusal::new(
        ErrorReason::AuditStoreUnavailable,
        "The audit store does not answer; try again, with the same request id where there is one.",
    )
}

/// AWS did not answer in time.
pub(super) fn upstream_unavailable() -> Refusal {
    Refusal::new(
        ErrorReason::UpstreamUnavailable,
        format!("{}.", failure_text(FailureReason::UpstreamUnavailable)),
    )
}

fn internal(error: &(dyn StdError + 'static)) -> Refusal {
    tracing::error!(error, "a fault of the service");
    internal_error()
}

/// A fault of ours, that was logged.
pub(super) fn internal_error() -> Refusal {
    Refusal::new(
        ErrorReason::Internal,
        "The service has a fault, which its log describes; report it to its operators.",
    )
}

/// The answer to a call that the edge does not admit.
pub(super) fn not_admitted(why: NotAdmitted) -> http::Response<()> {
    let refusal = match why {
        NotAdmitted::Unauthenticated => unauthenticated(),
        NotAdmitted::OverQuota(Exhausted { retry_after }) => quota_exhausted(retry_after),
        NotAdmitted::NoSuchMethod => unimplemented(),
        NotAdmitted::Forbidden(rule) => not_allowed(rule),
    };
    refusal.into_status().into_http()
}

/// It is not known who makes the call. Always in the same words: why is told to the operators only.
pub(super) fn unauthenticated() -> Refusal {
    Refusal::new(
        ErrorReason::Unauthenticated,
        "The call does not say who makes it, or not so that it can be believed; send valid credentials.",
    )
}

/// No role of the caller allows this.
pub(super) fn not_allowed(rule: String) -> Refusal {
    Refusal::new(
        ErrorReason::PolicyDenied,
        format!("The policy refuses this: {rule}. Ask the owner of the policy."),
    )
    .with("rule", rule)
}

/// A principal has no quota left.
fn quota_exhausted(retry_after: Duration) -> Refusal {
    Refusal::new(
        ErrorReason::Overloaded,
        "The principal makes more calls at once, or a second, than are taken of one, and this one was not taken up; slow down, \
         then replay the request.",
    )
    .with_retry_after(Some(retry_after.max(MIN_RETRY_DELAY)))
}

/// FieldReader break their rules.
pub(super) fn invalid_fields(violations: Vec<FieldViolation>) -> Status {
    field_violations(violations).into_status()
}

/// FieldReader break their rules, as it was found out later.
pub(super) fn field_violations(violations: Vec<FieldViolation>) -> Refusal {
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.clone()).collect();
    let fields = fields.join(", ");
    Refusal::new(
        ErrorReason::InvalidFields,
        format!("The request breaks the rules of these fields: {fields}. The details say how."),
    )
    .with("fields", fields)
    .with_violations(violations)
}

/// The page token cannot be used.
pub(super) fn invalid_page_token(violation: FieldViolation) -> Status {
    Refusal::new(
        ErrorReason::InvalidPageToken,
        "The page token was altered, or belongs to other filters; start again from the first page.",
    )
    .with_violations(vec![violation])
    .into_status()
}

/// Gives a status that tonic made by itself, and that so has no details, the reason that the API promises. What it makes
/// of a message that cannot be read is no fault of the server.
pub(super) fn completed(status: &Status) -> Option<Status> {
    if !status.details().is_empty() {
        return None;
    }
    match status.code() {
        Code::Internal | Code::OutOfRange | Code::ResourceExhausted => Some(
            Refusal::new(
                ErrorReason::InvalidFields,
                "The message cannot be read: it is too large, cut short, or not of the type that the method takes.",
            )
            .into_status(),
        ),
        Code::Unimplemented => Some(unimplemented().into_status()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
