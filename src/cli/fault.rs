//! What an error status says, read out of its `google.rpc` details.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::proto::v1::ErrorReason;

/// The domain of the reasons that `ErrorReason` lists; another domain's reasons mean something else.
const DOMAIN: &str = "sharewarden.v1";

/// An error status, taken apart.
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) message: String,
    /// `None` where the status came from elsewhere (a proxy, the transport), or from a newer service.
    pub(super) reason: Option<ErrorReason>,
    pub(super) change_id: Option<String>,
    pub(super) retry_delay: Option<Duration>,
    /// Field and description.
    pub(super) violations: Vec<(String, String)>,
}

impl From<&Status> for Fault {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            reason: info.and_then(|info| reason(&info.reason)),
            change_id: info.and_then(|info| info.metadata.get("change_id").cloned()),
            retry_delay: details.retry_info().and_then(|retry| retry.retry_delay),
            violations: details.bad_request().map_or_else(Vec::new, |bad| {
                let violations = bad.field_violations.iter();
                violations.map(|v| (v.field.clone(), v.description.clone())).collect()
            }),
        }
    }
}

impl Fault {
    /// AIP-194: only UNAVAILABLE is repeated without asking. Not where AWS was unavailable: there the service itself has
    /// retried, the change has ended, and the same request id would only get the same answer.
    pub(super) fn may_repeat(&self) -> bool {
        self.code == Code::Unavailable && self.reason != Some(ErrorReason::UpstreamUnavailable)
    }

    /// No answer came in time.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self.code, Code::DeadlineExceeded | Code::Cancelled)
    }
}

fn reason(name: &str) -> Option<ErrorReason> {
    ErrorReason::from_str_name(&format!("ERROR_REASON_{name}"))
}
