//! Maps errors to a status. This is the only place that does, and internal errors are logged here, once.
//!
//! Messages are for people. They never repeat the text of a driver or of AWS. The text of AWS is in the change, for callers that
//! may read it.

use std::{error::Error as StdError, time::Duration};

use tonic::{Code, Status};
use tonic_types::FieldViolation;

use crate::{
    changes::{Error, UnsuccessfulChange},
    domain::{AccountId, AwsError, AwsErrorKind, FailureReason, Intent},
    drift::DriftError,
    edge::{admission::NotAdmitted, quota::Exhausted},
    proto::v1::ErrorReason,
    store::{CommitError, StoreError, changes::ChangeStatus},
};

use super::{present, refusal::Refusal};

/// The minimum delay in RetryInfo for an exhausted quota.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(10);

/// The trailer with the id of a change that is still in progress after DEADLINE_EXCEEDED.
pub const CHANGE_ID: &str = "x-sharewarden-change-id";

/// The status of an error of a use case.
pub(super) fn of(error: Error) -> Status {
    Refusal::from(error).into_status()
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        refusal(error)
    }
}

impl From<DriftError> for Refusal {
    fn from(error: DriftError) -> Self {
        match error {
            DriftError::NotConfigured => Refusal::new(
                ErrorReason::AccountNotConfigured,
                "The service is not configured for this account and Region; ask the operators to add it.",
            ),
            DriftError::NotCompared => Refusal::new(
                ErrorReason::NotFinalized,
                "Nothing is compared with AWS yet; have the operator run `sharewarden finalize`, and set `drift.enabled` on a replica.",
            ),
            DriftError::BaselineNotAdmitted => Refusal::new(
                ErrorReason::NotFinalized,
                "No baseline can be confirmed yet; have the operator run `sharewarden finalize`.",
            ),
            DriftError::ImageNotSeen => Refusal::new(
                ErrorReason::ImageNotFound,
                "No comparison has seen this image; check the ids, or compare the whole account and Region.",
            ),
            DriftError::Store(error) => store(&error),
            DriftError::Commit(error) => refusal(Error::Commit(error)),
        }
    }
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::NotConfigured { account, region } => Refusal::new(
            ErrorReason::AccountNotConfigured,
            format!(
                "The service is not configured for account {account} in Region {region}; ask the operators to add it."
            ),
        )
        .with("account_id", account)
        .with("region", region),
        Error::Denied {
            intent,
            rule,
            log_index,
        } => Refusal::new(
            ErrorReason::PolicyDenied,
            format!("The policy refuses this: {rule}; ask the owner of the policy."),
        )
        .with_key(&intent.key)
        .with("rule", rule)
        .with_decision(intent.decision.as_ref())
        .with_known("log_index", log_index),
        Error::Undecided(fault) => undecided(&fault),
        Error::RequestIdReused { request_id, change_id } => Refusal::new(
            ErrorReason::RequestIdReused,
            format!(
                "The request id {request_id} was used before, for other content, in change {change_id}; \
                 use a new id for a new request."
            ),
        )
        .with("request_id", request_id)
        .with("change_id", change_id),
        Error::EndPassed => {
            let rule = "must be later than now; an expire_date ends with its day, in the time zone of the service";
            field_violations(vec![FieldViolation::new("expire_time", rule)])
        }
        Error::EndsNotAdmitted => Refusal::new(
            ErrorReason::NotFinalized,
            "Older versions of the service may still run, and know no ends of shares; leave out the end, or have the operator run \
             `sharewarden finalize`.",
        ),
        Error::AdoptionsNotAdmitted => Refusal::new(
            ErrorReason::NotFinalized,
            "Older versions of the service may still run, and know no adoptions; have the operator run `sharewarden finalize`.",
        ),
        Error::NothingToAdopt(key) => Refusal::new(
            ErrorReason::NothingToAdopt,
            format!(
                "AWS was not found to share image {} of account {} in Region {} with account {} past the service; \
                 list the differences, or make a plain grant.",
                key.image, key.account, key.region, key.shared_account
            ),
        )
        .with_key(&key),
        Error::PermissionNotFound(key) => Refusal::new(
            ErrorReason::PermissionNotFound,
            format!(
                "No change was ever accepted for image {} of account {} in Region {} and account {}; check the ids.",
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
            "The server is shutting down and did not accept the request; replay the request on another server, or after the restart.",
        )
        .with_pushback(),
        Error::Commit(CommitError::Tampered { account, log_index }) => tampered(account, log_index),
        error @ Error::Commit(CommitError::Rejected) => internal(&error),
        Error::Unconfirmed {
            intent,
            store_unavailable,
        } => unconfirmed(&intent, store_unavailable),
        error @ Error::UnexpectedAnswer => internal(&error),
    }
}

/// The reason of the API for a failure of a change.
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

/// The caller must replay the request to find out. The response has no change id, because the id of this try is not used if the
/// request was a replay.
fn unconfirmed(intent: &Intent, store_unavailable: bool) -> Refusal {
    let (account, request) = (intent.key.account, intent.request_id);
    let (reason, cause) = if store_unavailable {
        (ErrorReason::AuditStoreUnavailable, "The audit store does not answer")
    } else {
        (ErrorReason::ChangeUnconfirmed, "The deadline passed")
    };
    let refusal = Refusal::new(
        reason,
        format!(
            "{cause}, and it is not known whether the change was accepted; replay the request with request id {request}, which \
             never acts twice."
        ),
    )
    .with("account_id", account)
    .with("request_id", request);
    // The caller sent no request id, so an automatic retry of its message would be a new request.
    if request.0 == intent.change_id.0 {
        refusal.without_retry()
    } else {
        refusal
    }
}

fn pending(ChangeStatus { change, progress }: &ChangeStatus) -> Refusal {
    let (account, id, last) = (change.intent.key.account, change.id(), change.attempts.last());
    let progress = progress.as_ref();
    // AWS's message is not in the status: it may be long, and only the change has it, for callers that may read it.
    let answer = match last.and_then(|attempt| attempt.error_code.as_deref()) {
        Some(code) => format!(": the last answer of AWS is {code}"),
        None => String::new(),
    };
    Refusal::new(
        ErrorReason::ChangePending,
        format!(
            "Change {id} of account {account} was accepted and is still in progress{answer}; follow it with GetChange, or replay the \
             request with the same request id."
        ),
    )
    .with("account_id", account)
    .with("change_id", id)
    .with_known("aws_error_code", last.and_then(|attempt| attempt.error_code.as_ref()))
    .with_known("aws_request_id", last.and_then(|attempt| attempt.aws_request_id.as_ref()))
    .with_known("next_attempt_time", progress.and_then(|progress| progress.next_attempt_at))
    .with_known("replica_id", progress.and_then(|progress| Some(progress.lease?.0)))
    .with_known("lease_start_time", progress.and_then(|progress| progress.leased_since))
    .with_metadata(CHANGE_ID, id)
}

/// Why a change failed, and what to do next.
fn failure_text(failure: FailureReason) -> &'static str {
    match failure {
        FailureReason::ImageNotFound => "AWS has no such image in this account and Region; check the image id",
        FailureReason::ImageUnavailable => "AWS reports the image as unavailable; try again when it is available",
        FailureReason::OperationNotSupported => "AWS does not support this for the image; do not try again",
        FailureReason::UpstreamAccessDenied => {
            "AWS refused the service's own role or credentials; ask the operators of the service"
        }
        FailureReason::UpstreamInvalidParameter => "AWS refused a parameter; check the ids against AWS",
        FailureReason::UpstreamRefused => {
            "AWS refused with an error code that its API model does not list; ask the operators of the service"
        }
        FailureReason::UpstreamThrottled => "AWS throttled the calls for too long; try again later",
        FailureReason::UpstreamUnavailable => "AWS could not be reached for too long; try again later",
        FailureReason::PolicyDenied => {
            "the policy changed and refused it before AWS was called; ask the owner of the policy"
        }
    }
}

fn failed(ended: &UnsuccessfulChange) -> Refusal {
    // Not expected: the schema requires a failure for each failed change.
    let Some(failure) = &ended.change.failure else {
        return ended_change(
            ErrorReason::Internal,
            ended,
            "its failure was not recorded; report this to the operators",
        );
    };
    let is_denied = failure.reason == FailureReason::PolicyDenied;
    let explanation = match is_denied && ended.is_joined() {
        true => {
            "the policy refused the change for the principal that requested it first; \
             send the request again with a new request id, so that your own roles decide"
        }
        false => failure_text(failure.reason),
    };
    ended_change(reason(failure.reason), ended, explanation)
        .with_known("aws_error_code", failure.code.as_deref())
        .with_known("rule", failure.message.as_deref().filter(|_| is_denied))
        .with_decision(ended.change.intent.decision.as_ref().filter(|_| is_denied))
}

fn ended_change(reason: ErrorReason, ended: &UnsuccessfulChange, explanation: &str) -> Refusal {
    let change = &ended.change;
    let verb = present::change_state_verb(change.state);
    let joined = match ended.is_joined() {
        true => ", which this request had joined,",
        false => "",
    };
    Refusal::new(reason, format!("Change {}{joined} {verb}: {explanation}.", change.id()))
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

/// The code of AWS's error is not told: only the log has it, because the caller may have no right to read the account.
fn undecided(fault: &AwsError) -> Refusal {
    tracing::info!(
        error_code = fault.code,
        "AWS does not give a fact that the policy needs; the caller may try again"
    );
    let retry_after = match fault.kind {
        AwsErrorKind::Throttled { retry_after } => retry_after,
        _ => None,
    };
    Refusal::new(
        ErrorReason::PolicyFactsUnavailable,
        "The policy needs to know what AWS reports about the image, and AWS does not tell it now; nothing was done, so try again later.",
    )
    .with_retry_after(retry_after)
}

pub(super) fn store(error: &StoreError) -> Refusal {
    if let StoreError::Tampered { account, log_index } = *error {
        tampered(account, log_index)
    } else if error.is_transient() {
        tracing::error!(error = error as &dyn StdError, "the audit store does not answer");
        store_unavailable()
    } else {
        internal(error)
    }
}

/// Logged as an error, because history was changed or lost.
pub(super) fn tampered(account: AccountId, log_index: u64) -> Refusal {
    tracing::error!(account_id = %account, log_index, "the ledger was tampered with");
    Refusal::new(
        ErrorReason::LedgerTampered,
        format!(
            "Entry {log_index} in the ledger of account {account} does not match what was recorded; do not trust the \
             store, and report this to its operators and auditors."
        ),
    )
    .with("account_id", account)
    .with("log_index", log_index)
}

/// A queue or a concurrency limit is full.
pub(super) fn overloaded() -> Refusal {
    Refusal::new(
        ErrorReason::Overloaded,
        "The service is overloaded and did not accept the request; slow down, then replay the request.",
    )
}

/// Unsent answers take all the memory that answers may use.
pub(super) fn no_room() -> Refusal {
    Refusal::new(
        ErrorReason::Overloaded,
        "Answers that clients have not read yet take all the memory for answers, of this principal or of the service; read the \
         answers of other calls, or ask for a smaller page, then repeat the request.",
    )
}

/// The response timeout passed, and no handler has responded.
pub(super) fn timed_out() -> Refusal {
    Refusal::new(
        ErrorReason::CallTimedOut,
        "The deadline passed before the request was complete, or before the response was; replay a grant or a revoke with the same \
         request id.",
    )
}

/// There is no such method, or no such compression.
pub(super) fn unimplemented() -> Refusal {
    Refusal::new(
        ErrorReason::Unimplemented,
        "The server does not support this method, or this compression of messages; check that it is as new as the client.",
    )
}

/// The store did not answer in time.
pub(super) fn store_unavailable() -> Refusal {
    Refusal::new(
        ErrorReason::AuditStoreUnavailable,
        "The audit store does not answer; try again, with the same request id if the request has one.",
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
    tracing::error!(error, "internal error: the caller gets the status INTERNAL");
    internal_error()
}

/// An internal error. The caller of this function logs it.
pub(super) fn internal_error() -> Refusal {
    Refusal::new(
        ErrorReason::Internal,
        "The service has an internal error, which its log describes; report it to the operators.",
    )
}

/// The response to a call that the edge refuses.
pub(super) fn not_admitted(refused: NotAdmitted) -> http::Response<()> {
    let refusal = match refused {
        NotAdmitted::Unauthenticated => unauthenticated(),
        NotAdmitted::Unverifiable => token_keys_unavailable(),
        NotAdmitted::Overloaded => overloaded(),
        NotAdmitted::OverQuota(Exhausted { retry_after }) => quota_exhausted(retry_after),
        NotAdmitted::NoSuchMethod => unimplemented(),
        NotAdmitted::Forbidden(rule) => not_allowed(rule),
    };
    refusal.into_status().into_http()
}

/// Missing or invalid credentials. The message is always the same: only the log has the cause.
pub(super) fn unauthenticated() -> Refusal {
    Refusal::new(
        ErrorReason::Unauthenticated,
        "The credentials of the call are missing or invalid; send valid credentials.",
    )
}

/// The keys that would verify the token of the call are not known, and cannot be fetched now.
fn token_keys_unavailable() -> Refusal {
    Refusal::new(
        ErrorReason::TokenKeysUnavailable,
        "The token issuer does not give its keys now, so the token of the call cannot be checked, and nothing was done; try again \
         later.",
    )
}

/// No role of the principal allows the call.
pub(super) fn not_allowed(rule: String) -> Refusal {
    Refusal::new(
        ErrorReason::PolicyDenied,
        format!("The policy refuses this: {rule}; ask the owner of the policy."),
    )
    .with("rule", rule)
}

/// The quota of the principal is exhausted.
fn quota_exhausted(retry_after: Duration) -> Refusal {
    Refusal::new(
        ErrorReason::Overloaded,
        "The principal has reached its quota of concurrent calls, open streams or calls per second, and the request was not accepted; slow \
         down, then replay the request.",
    )
    .with_retry_after(Some(retry_after.max(MIN_RETRY_DELAY)))
}

/// Fields of the request are invalid.
pub(super) fn invalid_fields(violations: Vec<FieldViolation>) -> Status {
    field_violations(violations).into_status()
}

/// Fields of the request are invalid. For rules that only a use case can check.
pub(super) fn field_violations(violations: Vec<FieldViolation>) -> Refusal {
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.clone()).collect();
    let fields = fields.join(", ");
    Refusal::new(
        ErrorReason::InvalidFields,
        format!("These fields of the request are invalid: {fields}."),
    )
    .with("fields", fields)
    .with_violations(violations)
}

/// The page token is invalid.
pub(super) fn invalid_page_token(violation: FieldViolation) -> Status {
    Refusal::new(
        ErrorReason::InvalidPageToken,
        "The page token was altered, or belongs to other filters; start again from the first page.",
    )
    .with_violations(vec![violation])
    .into_status()
}

/// Adds the reason that the API promises to a status that tonic made itself, which has no details. A message that tonic cannot
/// decode is an error of the client.
pub(super) fn completed(status: &Status) -> Option<Status> {
    if !status.details().is_empty() {
        return None;
    }
    match status.code() {
        Code::Internal | Code::OutOfRange | Code::ResourceExhausted => Some(
            Refusal::new(
                ErrorReason::InvalidFields,
                "The message cannot be decoded: it is too large, incomplete, or not of the type of the method; check the client.",
            )
            .into_status(),
        ),
        Code::Unimplemented => Some(unimplemented().into_status()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
