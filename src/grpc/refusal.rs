//! The error response of a call: a reason, a message for a person, and metadata for a program. Two tables map each reason to a
//! code and a retry delay, as `error_reason.proto` documents them.

use std::{collections::HashMap, time::Duration};

use tonic::{
    Code, Status,
    metadata::{AsciiMetadataValue, MetadataMap},
};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{
    domain::{Decision, PermissionKey, PolicyId},
    proto::v1::ErrorReason,
};

const DOMAIN: &str = "sharewarden.v1";
const PREFIX: &str = "ERROR_REASON_";
/// The metadata with the delay before an automatic retry, in milliseconds. -1 forbids automatic retries (gRFC A6).
pub(super) const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Builds the status of a refused call.
#[derive(Debug)]
pub(super) struct Refusal {
    reason: ErrorReason,
    message: String,
    error_info: HashMap<String, String>,
    violations: Vec<FieldViolation>,
    retry_after: Option<Duration>,
    is_final: bool,
    metadata: MetadataMap,
}

impl Refusal {
    /// The message says what happened and what to do next, in one or two sentences.
    pub(super) fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            error_info: HashMap::new(),
            violations: Vec::new(),
            retry_after: retry_after(reason),
            is_final: false,
            metadata: MetadataMap::new(),
        }
    }

    /// Adds an entry to the metadata of the ErrorInfo.
    pub(super) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.error_info.insert(name.into(), value.to_string());
        self
    }

    /// Adds an entry to the metadata of the ErrorInfo if there is a value.
    pub(super) fn with_known(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds the key of a permission to the metadata.
    pub(super) fn with_key(self, key: &PermissionKey) -> Self {
        self.with("account_id", key.account)
            .with("region", &key.region)
            .with("image_id", &key.image)
            .with("shared_account_id", key.shared_account)
    }

    /// Adds the policies that decided, with commas between them, and the digest of their set.
    pub(super) fn with_decision(self, decision: Option<&Decision>) -> Self {
        let Some(decision) = decision else { return self };
        let ids: Vec<_> = decision.policies.iter().map(PolicyId::as_str).collect();
        self.with("policies", ids.join(","))
            .with("policy_set", decision.policy_set)
    }

    /// Adds field violations.
    pub(super) fn with_violations(mut self, violations: Vec<FieldViolation>) -> Self {
        self.violations = violations;
        self
    }

    /// Replaces the default retry delay of the reason, if there is a value.
    pub(super) fn with_retry_after(mut self, delay: Option<Duration>) -> Self {
        self.retry_after = delay.or(self.retry_after);
        self
    }

    /// Adds a trailer, for clients that do not read status details.
    pub(super) fn with_metadata(mut self, name: &'static str, value: impl ToString) -> Self {
        if let Ok(value) = AsciiMetadataValue::try_from(value.to_string()) {
            self.metadata.insert(name, value);
        }
        self
    }

    /// Forbids automatic retries, because the same message would fail again or act twice.
    pub(super) fn without_retry(mut self) -> Self {
        self.is_final = true;
        self
    }

    /// Adds the delay before an automatic retry, for the codes that clients may be configured to retry.
    pub(super) fn with_pushback(self) -> Self {
        let is_retried = matches!(code(self.reason), Code::ResourceExhausted | Code::Unavailable);
        match self.retry_after {
            Some(_) if is_retried && self.is_final => self.with_metadata(PUSHBACK, "-1"),
            // The jitter spreads the retries of clients that were refused at the same time.
            Some(delay) if is_retried => {
                let jittered = delay.mul_f64(1.0 + fastrand::f64());
                self.with_metadata(PUSHBACK, jittered.as_millis())
            }
            _ => self,
        }
    }

    /// Builds the status, with the delay for automatic retries.
    pub(super) fn into_status(self) -> Status {
        self.with_pushback().build()
    }

    fn build(self) -> Status {
        let mut details = ErrorDetails::with_error_info(name(self.reason), DOMAIN, self.error_info);
        if !self.violations.is_empty() {
            details.set_bad_request(self.violations);
        }
        if self.retry_after.is_some() {
            details.set_retry_info(self.retry_after);
        }
        Status::with_error_details_and_metadata(code(self.reason), self.message, details, self.metadata)
    }
}

/// The reason as ErrorInfo has it, without the prefix of the enum.
pub(super) fn name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// The code of each reason.
fn code(reason: ErrorReason) -> Code {
    match reason {
        ErrorReason::InvalidFields
        | ErrorReason::RequestIdReused
        | ErrorReason::InvalidPageToken
        | ErrorReason::UpstreamInvalidParameter
        | ErrorReason::InvalidSignature => Code::InvalidArgument,
        ErrorReason::Unauthenticated => Code::Unauthenticated,
        ErrorReason::PolicyDenied => Code::PermissionDenied,
        ErrorReason::AccountNotConfigured
        | ErrorReason::ImageUnavailable
        | ErrorReason::OperationNotSupported
        | ErrorReason::UpstreamAccessDenied
        | ErrorReason::UpstreamRefused
        | ErrorReason::EntryArchived
        | ErrorReason::NotYetCovered
        | ErrorReason::NotFinalized
        | ErrorReason::NothingToAdopt => Code::FailedPrecondition,
        ErrorReason::ImageNotFound
        | ErrorReason::PermissionNotFound
        | ErrorReason::ChangeNotFound
        | ErrorReason::EntryNotFound
        | ErrorReason::CheckpointNotFound
        | ErrorReason::PolicySetNotFound => Code::NotFound,
        ErrorReason::LedgerTampered => Code::DataLoss,
        ErrorReason::ChangePending | ErrorReason::ChangeUnconfirmed | ErrorReason::CallTimedOut => {
            Code::DeadlineExceeded
        }
        ErrorReason::Unimplemented => Code::Unimplemented,
        ErrorReason::UpstreamThrottled | ErrorReason::Overloaded => Code::ResourceExhausted,
        ErrorReason::UpstreamUnavailable
        | ErrorReason::AuditStoreUnavailable
        | ErrorReason::ServerStopping
        | ErrorReason::TokenKeysUnavailable
        | ErrorReason::PolicyFactsUnavailable => Code::Unavailable,
        ErrorReason::ChangeSuperseded => Code::Aborted,
        ErrorReason::Internal | ErrorReason::Unspecified => Code::Internal,
    }
}

/// The default retry delay. None for reasons that a retry does not change.
fn retry_after(reason: ErrorReason) -> Option<Duration> {
    match reason {
        ErrorReason::ImageUnavailable => Some(Duration::from_secs(60)),
        ErrorReason::UpstreamThrottled | ErrorReason::UpstreamUnavailable => Some(Duration::from_secs(10)),
        ErrorReason::NotYetCovered => Some(Duration::from_secs(5)),
        ErrorReason::PolicyFactsUnavailable => Some(Duration::from_secs(2)),
        ErrorReason::AuditStoreUnavailable
        | ErrorReason::Overloaded
        | ErrorReason::ServerStopping
        | ErrorReason::TokenKeysUnavailable => Some(Duration::from_secs(1)),
        ErrorReason::Unspecified
        | ErrorReason::InvalidFields
        | ErrorReason::RequestIdReused
        | ErrorReason::InvalidPageToken
        | ErrorReason::Unauthenticated
        | ErrorReason::PolicyDenied
        | ErrorReason::AccountNotConfigured
        | ErrorReason::ImageNotFound
        | ErrorReason::PermissionNotFound
        | ErrorReason::ChangeNotFound
        | ErrorReason::OperationNotSupported
        | ErrorReason::UpstreamAccessDenied
        | ErrorReason::UpstreamInvalidParameter
        | ErrorReason::UpstreamRefused
        | ErrorReason::ChangePending
        | ErrorReason::ChangeUnconfirmed
        | ErrorReason::ChangeSuperseded
        | ErrorReason::EntryNotFound
        | ErrorReason::EntryArchived
        | ErrorReason::CheckpointNotFound
        | ErrorReason::PolicySetNotFound
        | ErrorReason::NotFinalized
        | ErrorReason::NothingToAdopt
        | ErrorReason::LedgerTampered
        | ErrorReason::InvalidSignature
        | ErrorReason::Unimplemented
        | ErrorReason::CallTimedOut
        | ErrorReason::Internal => None,
    }
}
