//! AWS's error codes and their meaning. They come from three sources: the WorkSpaces API model, the "Common Errors" of AWS's API
//! references, and the throttling codes of AWS's SDKs.

use crate::domain::FailureReason;

/// The meaning of an error code for the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeMeaning {
    /// No effect. The same call would be refused again.
    Refused(FailureReason),
    /// No effect. The same call may succeed later.
    Throttled,
    /// AWS itself does not know whether the call had an effect.
    Unknown,
}

/// The meaning of a code; `None` for an unknown code.
pub(super) fn meaning(code: &str) -> Option<CodeMeaning> {
    use FailureReason::*;
    Some(match code {
        "ResourceNotFoundException" => CodeMeaning::Refused(ImageNotFound),
        "ResourceUnavailableException" => CodeMeaning::Refused(ImageUnavailable),
        "OperationNotSupportedException" => CodeMeaning::Refused(OperationNotSupported),
        code if ACCESS_DENIED.contains(&code) => CodeMeaning::Refused(UpstreamAccessDenied),
        code if INVALID_PARAMETER.contains(&code) => CodeMeaning::Refused(UpstreamInvalidParameter),
        code if THROTTLED.contains(&code) => CodeMeaning::Throttled,
        code if AWS_FAILURES.contains(&code) => CodeMeaning::Unknown,
        _ => return None,
    })
}

/// The credentials are invalid, or lack a permission.
const ACCESS_DENIED: &[&str] = &[
    "AccessDeniedException",
    "AccessDenied",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "NotSignedUp",
    "OptInRequired",
    "PendingVerification",
    "RequestExpired",
    "RequestInTheFuture",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "SubscriptionRequiredException",
    "TokenRefreshRequired",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
];

/// AWS finds the request invalid.
const INVALID_PARAMETER: &[&str] = &[
    "InvalidParameterValuesException",
    "InvalidInput",
    "InvalidParameter",
    "InvalidParameterCombination",
    "InvalidParameterException",
    "InvalidParameterValue",
    "InvalidParameterValueException",
    "InvalidQueryParameter",
    "MalformedQueryString",
    "MissingParameter",
    "MissingRequiredParameter",
    "SerializationException",
    "ValidationError",
    "ValidationException",
];

/// Too many calls. `ResourceLimitExceededException` is not in the list: it is about a quota, and waiting does not help.
const THROTTLED: &[&str] = &[
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Failures inside AWS, with any HTTP status.
const AWS_FAILURES: &[&str] = &[
    "IDPCommunicationError",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InternalServerException",
    "InternalServiceError",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
];
