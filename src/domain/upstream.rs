//! What AWS can say, and what it means for us.

use std::time::Duration;

use super::{FailureReason, Timestamp, change::names};

/// What came back from a call, as far as it bears on what AWS holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Classification {
    /// AWS answered 200, whole and readable.
    Accepted,
    /// AWS refused: no effect.
    Refused,
    /// AWS throttled: no effect.
    Throttled,
    /// The call never reached AWS.
    NotSent,
    /// It may or may not have had an effect.
    Unknown,
}
names!(Classification {
    Accepted = "ACCEPTED",
    Refused = "REFUSED",
    Throttled = "THROTTLED",
    NotSent = "NOT_SENT",
    Unknown = "UNKNOWN",
});

/// The AWS operations that a change can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AwsOperation {
    /// The change itself.
    UpdateWorkspaceImagePermission,
    /// Reading back what AWS holds.
    DescribeWorkspaceImagePermissions,
}
names!(AwsOperation {
    UpdateWorkspaceImagePermission = "UpdateWorkspaceImagePermission",
    DescribeWorkspaceImagePermissions = "DescribeWorkspaceImagePermissions",
});

/// How a call was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsErrorKind {
    /// Refused; no effect.
    Refused(FailureReason),
    /// Throttled; no effect. AWS may say how long to wait.
    Throttled {
        /// The `retry-after` of the answer.
        retry_after: Option<Duration>,
    },
    /// Never reached AWS.
    NotSent,
    /// It may or may not have had an effect.
    Unknown,
}

impl AwsErrorKind {
    /// The classification of a call that ended so.
    pub fn classification(self) -> Classification {
        match self {
            Self::Refused(_) => Classification::Refused,
            Self::Throttled { .. } => Classification::Throttled,
            Self::NotSent => Classification::NotSent,
            Self::Unknown => Classification::Unknown,
        }
    }
}

/// A call that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    /// How.
    pub kind: AwsErrorKind,
    /// AWS's error code, or one of our own (`Timeout`, `NotSent`, ...) where AWS gave none.
    pub code: Option<String>,
    /// AWS's own message, cut to 1024 characters. Never the text of a driver.
    pub message: Option<String>,
}

/// What came back from a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsResponse<T> {
    /// The AWS request id, where AWS gave one.
    pub aws_request_id: Option<String>,
    /// What AWS said.
    pub result: Result<T, AwsError>,
}

impl<T> AwsResponse<T> {
    /// The classification of the call.
    pub fn classification(&self) -> Classification {
        self.result
            .as_ref()
            .map_or_else(|fault| fault.kind.classification(), |_| Classification::Accepted)
    }
}

/// One call to AWS, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which operation.
    pub operation: AwsOperation,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// What came back.
    pub classification: Classification,
    /// The AWS request id, where AWS gave one.
    pub aws_request_id: Option<String>,
    /// AWS's error code, or one of our own where AWS gave none.
    pub error_code: Option<String>,
}
