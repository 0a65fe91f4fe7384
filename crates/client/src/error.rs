//! What an error status says, read out of its `google.rpc` details.

use std::{collections::HashMap, fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt};

use crate::proto::v1::ErrorReason;

/// The domain of the reasons that `ErrorReason` lists; another domain's reasons mean something else.
const DOMAIN: &str = "sharewarden.v1";

/// Why a call was not answered with OK. Displays as the message and the reason.
#[derive(Debug, Clone)]
pub struct Error {
    /// The code of the status.
    pub code: Code,
    /// For people.
    pub message: String,
    /// For programs. `None` if the status is not the service's: a proxy's, the transport's, this client's.
    pub reason: Option<Reason>,
    /// Every value of the message.
    pub metadata: HashMap<String, String>,
    /// The fields that break their rules.
    pub violations: Vec<FieldViolation>,
    /// The service asks to wait at least this long.
    pub retry_delay: Option<Duration>,
    /// The id of the grant or revoke that this is about.
    pub request_id: Option<String>,
    /// The change that this is about.
    pub change_id: Option<String>,
}

/// The reason of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// One of `error_reason.proto`.
    Known(ErrorReason),
    /// One that a newer service has.
    Unknown(String),
}

impl From<&Status> for Error {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let metadata = info.map_or_else(HashMap::new, |info| info.metadata.clone());
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            reason: info.map(|info| Reason::of(&info.reason)),
            violations: details
                .bad_request()
                .map_or_else(Vec::new, |bad| bad.field_violations.clone()),
            retry_delay: details.retry_info().and_then(|retry| retry.retry_delay),
            request_id: metadata.get("request_id").cloned(),
            change_id: metadata.get("change_id").cloned(),
            metadata,
        }
    }
}

impl Reason {
    fn of(name: &str) -> Self {
        let known = ErrorReason::from_str_name(&format!("ERROR_REASON_{name}"));
        known.map_or_else(|| Self::Unknown(name.to_owned()), Self::Known)
    }
}

impl Error {
    /// The reason, if this build knows it.
    pub fn known_reason(&self) -> Option<ErrorReason> {
        match self.reason {
            Some(Reason::Known(reason)) => Some(reason),
            Some(Reason::Unknown(_)) | None => None,
        }
    }

    /// AIP-194: only UNAVAILABLE is repeated without asking. Not where AWS was unavailable: there the service itself has
    /// retried, the change has ended, and the same request id would only get the same answer.
    pub(crate) fn is_retryable(&self) -> bool {
        self.code == Code::Unavailable && self.known_reason() != Some(ErrorReason::UpstreamUnavailable)
    }

    /// No answer came in time.
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
            Some(Reason::Known(reason)) => write!(f, " ({})", reason.as_str_name().trim_start_matches("ERROR_REASON_")),
            Some(Reason::Unknown(name)) => write!(f, " ({name})"),
            None => write!(f, " ({:?})", self.code),
        }
    }
}

impl std::error::Error for Error {}
