//! Errors of calls, read from the `google.rpc` details of the status.

use std::{collections::HashMap, error::Error as StdError, fmt, time::Duration};

use tonic::{Code, ConnectError, Status};
use tonic_types::{FieldViolation, StatusExt};

use crate::proto::v1::ErrorReason;

/// The `ErrorInfo` domain of the reasons in `ErrorReason`. The same reason in another domain has another meaning.
const DOMAIN: &str = "sharewarden.v1";

/// The error of a call. Displays as the message and the reason.
#[derive(Debug, Clone)]
pub struct Error {
    /// The gRPC code of the status.
    pub code: Code,
    /// The message, for people.
    pub message: String,
    /// The reason, for programs. `None` if a proxy, the transport or this client made the status.
    pub reason: Option<Reason>,
    /// The metadata of the `ErrorInfo`.
    pub metadata: HashMap<String, String>,
    /// The fields of the request that are not valid.
    pub violations: Vec<FieldViolation>,
    /// The minimum delay before a retry, if the service gave one.
    pub retry_delay: Option<Duration>,
    /// The request id of the grant or revoke.
    pub request_id: Option<String>,
    /// The change that the request made, if the service accepted it.
    pub change_id: Option<String>,
    /// How far the request came.
    pub(crate) delivery: RequestDelivery,
}

/// How far the request of a failed call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestDelivery {
    /// There was no connection.
    NotSent,
    /// It was sent, and the connection or the time ended without an answer.
    Unanswered,
    /// Something answered.
    Answered,
}

impl RequestDelivery {
    fn of(status: &Status) -> Self {
        if status.source().is_none() {
            return Self::Answered;
        }
        match causes(status).any(|cause| cause.is::<ConnectError>()) {
            true => Self::NotSent,
            false => Self::Unanswered,
        }
    }
}

/// Why a call failed, as the `ErrorInfo` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A reason in `error_reason.proto`.
    Known(ErrorReason),
    /// A reason of a newer service, by its name.
    Unknown(String),
}

impl From<&Status> for Error {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let metadata = info.map_or_else(HashMap::new, |info| info.metadata.clone());
        Self {
            code: status.code(),
            message: message_of(status),
            reason: info.map(|info| Reason::of(&info.reason)),
            violations: details
                .bad_request()
                .map_or_else(Vec::new, |bad| bad.field_violations.clone()),
            retry_delay: details.retry_info().and_then(|retry| retry.retry_delay),
            request_id: metadata.get("request_id").cloned(),
            change_id: metadata.get("change_id").cloned(),
            delivery: RequestDelivery::of(status),
            metadata,
        }
    }
}

/// The errors of the transport that made the status, the innermost last.
fn causes(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(StdError::source(status), |&error| error.source())
}

/// The message, with the innermost cause if the transport made the status.
fn message_of(status: &Status) -> String {
    match causes(status).last().map(ToString::to_string) {
        Some(cause) if !status.message().contains(&cause) => format!("{}: {cause}", status.message()),
        _ => status.message().to_owned(),
    }
}

impl Reason {
    fn of(name: &str) -> Self {
        let known = ErrorReason::from_str_name(&format!("ERROR_REASON_{name}"));
        known.map_or_else(|| Self::Unknown(name.to_owned()), Self::Known)
    }
}

impl Error {
    /// The error of a request that this client does not send, because these fields are empty.
    pub(crate) fn of_empty_fields(fields: &[&str]) -> Self {
        let violation = |field: &&str| FieldViolation::new(*field, "must not be empty: omit it to select all values");
        Self {
            code: Code::InvalidArgument,
            message: format!("the request has empty fields: {}", fields.join(", ")),
            reason: Some(Reason::Known(ErrorReason::InvalidFields)),
            metadata: HashMap::new(),
            violations: fields.iter().map(violation).collect(),
            retry_delay: None,
            request_id: None,
            change_id: None,
            delivery: RequestDelivery::NotSent,
        }
    }

    /// The reason, if this version of the client knows it.
    pub fn known_reason(&self) -> Option<ErrorReason> {
        match self.reason {
            Some(Reason::Known(reason)) => Some(reason),
            Some(Reason::Unknown(_)) | None => None,
        }
    }

    /// Only UNAVAILABLE is retried automatically (AIP-194). UPSTREAM_UNAVAILABLE is not: the service has already retried AWS
    /// and the change has ended, so the same request id returns the same answer.
    pub(crate) fn is_retryable(&self) -> bool {
        self.code == Code::Unavailable && self.known_reason() != Some(ErrorReason::UpstreamUnavailable)
    }

    /// True if the service did nothing because of a limit, and says when to send the request again.
    pub(crate) fn is_pushback(&self) -> bool {
        self.known_reason() == Some(ErrorReason::Overloaded) && self.retry_delay.is_some()
    }

    /// True if the next request of a job would fail in the same way: the service does not answer, does not know the caller, or
    /// is another program.
    pub(crate) fn stops_a_job(&self) -> bool {
        let is_other_limit = self.known_reason() == Some(ErrorReason::Overloaded);
        is_other_limit || self.is_retryable() || matches!(self.code, Code::Unauthenticated | Code::Unimplemented)
    }

    /// True if no answer arrived before the deadline.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self.code, Code::DeadlineExceeded | Code::Cancelled)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message.trim_end_matches('.') {
            "" => f.write_str(self.code.description())?,
            message => f.write_str(message)?,
        }
        match &self.reason {
            Some(Reason::Known(reason)) => {
                write!(f, " ({})", reason.as_str_name().trim_start_matches("ERROR_REASON_"))?
            }
            Some(Reason::Unknown(name)) => write!(f, " ({name})")?,
            None => write!(f, " ({:?})", self.code)?,
        }
        self.violations.iter().try_for_each(|violation| {
            let FieldViolation { field, description, .. } = violation;
            write!(f, "; {field}: {description}")
        })
    }
}

impl std::error::Error for Error {}
