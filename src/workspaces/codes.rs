//! AWS's error codes and what they say. The modelled ones are those of the WorkSpaces API model; the others are the ones that
//! every AWS front end may send (the "Common Errors" of AWS's API references, and what its SDKs take for throttling).

use crate::domain::FailureReason;

/// What an error code says about the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeMeaning {
    /// No effect, and the same call would be refused again.
    Refused(FailureReason),
    /// No effect, but later perhaps.
    Throttled,
    /// AWS itself does not know how it ended.
    Unknown,
}

/// What a code says; none where it is not known here.
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

/// Our credentials, or what they may do.
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

/// The request, as AWS reads it.
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

/// Too much at once. `ResourceLimitExceededException` is not among them: it is a quota, which waiting does not raise.
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

/// Failures on AWS's side, with whatever status they come.
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
