//! The possible answers of AWS, classified by their effect.

use std::time::Duration;

use super::{FailureReason, Timestamp, change::names};

/// The answer to a call, classified by its effect on what AWS holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Classification {
    /// AWS answered 200 with a complete and readable body.
    Accepted,
    /// AWS refused: no effect.
    Refused,
    /// AWS throttled: no effect.
    Throttled,
    /// The call never reached AWS.
    NotSent,
    /// It is unknown whether the call had an effect.
    Unknown,
}
names!(Classification {
    Accepted = "ACCEPTED",
    Refused = "REFUSED",
    Throttled = "THROTTLED",
    NotSent = "NOT_SENT",
    Unknown = "UNKNOWN",
});

/// The AWS operations that are called for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AwsOperation {
    /// Grants or revokes.
    UpdateWorkspaceImagePermission,
    /// Reads what AWS holds.
    DescribeWorkspaceImagePermissions,
}
names!(AwsOperation {
    UpdateWorkspaceImagePermission = "UpdateWorkspaceImagePermission",
    DescribeWorkspaceImagePermissions = "DescribeWorkspaceImagePermissions",
});

/// The kinds of call errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsErrorKind {
    /// Refused; no effect.
    Refused(FailureReason),
    /// Throttled; no effect.
    Throttled {
        /// The `retry-after` of the answer, if AWS gave one.
        retry_after: Option<Duration>,
    },
    /// The call never reached AWS.
    NotSent,
    /// It is unknown whether the call had an effect.
    Unknown,
}

impl AwsError {
    /// The code and the message of AWS, for people.
    pub fn words(&self) -> String {
        let code = self.code.as_deref().unwrap_or("no code");
        match &self.message {
            Some(message) => format!("{code}: {message}"),
            None => code.to_owned(),
        }
    }
}

impl AwsErrorKind {
    /// The classification of a call with this error.
    pub fn classification(self) -> Classification {
        match self {
            Self::Refused(_) => Classification::Refused,
            Self::Throttled { .. } => Classification::Throttled,
            Self::NotSent => Classification::NotSent,
            Self::Unknown => Classification::Unknown,
        }
    }
}

/// The error of a call that AWS did not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    /// The kind of error.
    pub kind: AwsErrorKind,
    /// AWS's error code. If AWS gave none, one of ours, such as `Timeout` or `NotSent`.
    pub code: Option<String>,
    /// AWS's message, at most 1024 characters. Never the text of a driver.
    pub message: Option<String>,
}

/// The answer to a call, with its AWS request id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsResponse<T> {
    /// The AWS request id, if AWS gave one.
    pub aws_request_id: Option<String>,
    /// The result of the call.
    pub result: Result<T, AwsError>,
}

impl<T> AwsResponse<T> {
    /// The classification of the call.
    pub fn classification(&self) -> Classification {
        self.result
            .as_ref()
            .map_or_else(|error| error.kind.classification(), |_| Classification::Accepted)
    }
}

/// One recorded call to AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The operation called.
    pub operation: AwsOperation,
    /// The time of its begin.
    pub started_at: Timestamp,
    /// Its duration, in whole microseconds in the store.
    pub duration: Duration,
    /// The classified answer.
    pub classification: Classification,
    /// The AWS request id, if AWS gave one.
    pub aws_request_id: Option<String>,
    /// AWS's error code. If AWS gave none, one of ours.
    pub error_code: Option<String>,
}
