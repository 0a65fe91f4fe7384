//! The meaning of a failed call: the one place that maps the SDK's errors to [`AwsError`].
//!
//! | what happened | meaning |
//! |---|---|
//! | the request was not handed to a connection: it could not be built, or there are no credentials | not sent |
//! | … because STS refused to assume the account's role | refused: access denied |
//! | no connection: refused, unknown host, TLS failed, connect timeout | not sent |
//! | reset, closed or timed out after that | unknown |
//! | a complete 4xx | refused or throttled, by its code; refused if the code is unknown |
//! | a 4xx or 5xx with a throttling code, any 429 | throttled |
//! | 408, 3xx, 5xx, and codes for failures inside AWS | unknown |
//! | a truncated answer, or a success that cannot be parsed | unknown |
//!
//! A refusal by STS counts as a refusal, though the call itself was not sent: it had no effect, and the person who must repair
//! the role sees the message of STS at once. *Not sent* would be retried for minutes and then end as "unavailable". Other
//! problems with credentials are temporary (STS throttles or does not answer, none are found), and count as *not sent*.

use std::{error::Error, io, time::Duration};

use aws_sdk_sts::operation::{
    assume_role::AssumeRoleError, assume_role_with_web_identity::AssumeRoleWithWebIdentityError,
};
use aws_sdk_workspaces::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::{
    client::{orchestrator::HttpResponse, result::DispatchFailure},
    http::Headers,
};
use aws_smithy_types::date_time::{DateTime, Format};
use hyper_util::client::legacy::Error as HttpClientError;

use super::{
    codes::{self, CodeMeaning},
    own_error, text,
};
use crate::domain::{AwsError, AwsErrorKind, FailureReason};

/// A failed call of any operation.
pub(super) struct FailedCall<'a> {
    error: &'a (dyn Error + 'static),
    cause: FailureCause<'a>,
}

enum FailureCause<'a> {
    NotBuilt,
    TimedOut,
    Dispatch(&'a DispatchFailure),
    Response(ErrorResponse<'a>),
    Other,
}

struct ErrorResponse<'a> {
    status: u16,
    whole: bool,
    headers: &'a Headers,
    error: Option<&'a ErrorMetadata>,
}

impl<'a> FailedCall<'a> {
    pub(super) fn new<E>(error: &'a SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let cause = match error {
            SdkError::ConstructionFailure(_) => FailureCause::NotBuilt,
            SdkError::TimeoutError(_) => FailureCause::TimedOut,
            SdkError::DispatchFailure(failure) => FailureCause::Dispatch(failure),
            SdkError::ResponseError(response) => FailureCause::Response(ErrorResponse::new(response.raw(), None)),
            SdkError::ServiceError(response) => {
                FailureCause::Response(ErrorResponse::new(response.raw(), Some(response.err().meta())))
            }
            _ => FailureCause::Other,
        };
        Self { error, cause }
    }
}

impl<'a> ErrorResponse<'a> {
    fn new(response: &'a HttpResponse, error: Option<&'a ErrorMetadata>) -> Self {
        Self {
            status: response.status().as_u16(),
            // The SDK takes the body out to read it, and puts it back when it is complete.
            whole: response.body().bytes().is_some(),
            headers: response.headers(),
            error,
        }
    }
}

/// Classifies a failed call. `sent` is true if its request was handed to a connection.
pub(super) fn aws_error(failed: FailedCall<'_>, sent: bool) -> AwsError {
    if !sent {
        return not_sent_error(&failed);
    }
    match failed.cause {
        FailureCause::NotBuilt => own_error(AwsErrorKind::NotSent, "RequestNotBuilt"),
        FailureCause::TimedOut => own_error(AwsErrorKind::Unknown, "Timeout"),
        FailureCause::Dispatch(failure) => dispatch_error(failed.error, failure),
        FailureCause::Response(response) => response_error(&response),
        FailureCause::Other => own_error(AwsErrorKind::Unknown, "Other"),
    }
}

fn not_sent_error(failed: &FailedCall<'_>) -> AwsError {
    let refusal = sts_response(failed.error).map(|response| response_error(&response));
    match (refusal, &failed.cause) {
        (Some(refusal), _) if matches!(refusal.kind, AwsErrorKind::Refused(_)) => AwsError {
            kind: AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied),
            ..refusal
        },
        (_, FailureCause::NotBuilt) => own_error(AwsErrorKind::NotSent, "RequestNotBuilt"),
        // Before it is sent, a call waits for credentials only.
        _ => own_error(AwsErrorKind::NotSent, "CredentialsUnavailable"),
    }
}

/// The answer of STS, if it is the reason for missing credentials.
fn sts_response<'a>(error: &'a (dyn Error + 'static)) -> Option<ErrorResponse<'a>> {
    response_of::<AssumeRoleError>(error).or_else(|| response_of::<AssumeRoleWithWebIdentityError>(error))
}

fn response_of<'a, E>(error: &'a (dyn Error + 'static)) -> Option<ErrorResponse<'a>>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match FailedCall::new(text::cause::<SdkError<E, HttpResponse>>(error)?).cause {
        FailureCause::Response(response) => Some(response),
        _ => None,
    }
}

/// *Not sent* only if the HTTP client says that it was still connecting. Otherwise the request may have arrived.
fn dispatch_error(error: &(dyn Error + 'static), failure: &DispatchFailure) -> AwsError {
    let connecting = text::cause::<HttpClientError>(error).is_some_and(HttpClientError::is_connect);
    let io = text::cause::<io::Error>(error).map(io::Error::kind);
    let (kind, code) = match (connecting, io) {
        (true, _) if failure.is_timeout() => (AwsErrorKind::NotSent, "ConnectTimeout"),
        (true, Some(io::ErrorKind::ConnectionRefused)) => (AwsErrorKind::NotSent, "ConnectionRefused"),
        (true, _) => (AwsErrorKind::NotSent, "ConnectionFailed"),
        (false, _) if failure.is_timeout() => (AwsErrorKind::Unknown, "Timeout"),
        (false, Some(io::ErrorKind::ConnectionReset)) => (AwsErrorKind::Unknown, "ConnectionReset"),
        (false, _) => (AwsErrorKind::Unknown, "ConnectionLost"),
    };
    own_error(kind, code)
}

fn response_error(response: &ErrorResponse<'_>) -> AwsError {
    if !response.whole {
        return own_error(AwsErrorKind::Unknown, "TruncatedAnswer");
    }
    if response.status < 300 {
        return own_error(AwsErrorKind::Unknown, "UnreadableAnswer");
    }
    let code = response
        .error
        .and_then(|error| error.code())
        .map(text::code)
        .filter(|code| !code.is_empty());
    let message = response.error.and_then(|error| error.message()).and_then(text::message);
    let kind = match meaning(response.status, code.as_deref()) {
        CodeMeaning::Refused(reason) => AwsErrorKind::Refused(reason),
        CodeMeaning::Unknown => AwsErrorKind::Unknown,
        CodeMeaning::Throttled => AwsErrorKind::Throttled {
            retry_after: retry_after(response.headers),
        },
    };
    let code = code.or_else(|| Some(format!("Http{}", response.status)));
    AwsError { kind, code, message }
}

fn meaning(status: u16, code: Option<&str>) -> CodeMeaning {
    let said = code.and_then(codes::meaning);
    match status {
        400.. if said == Some(CodeMeaning::Throttled) => CodeMeaning::Throttled,
        429 => CodeMeaning::Throttled,
        408 => CodeMeaning::Unknown,
        400..=499 => said.unwrap_or(CodeMeaning::Refused(FailureReason::UpstreamRefused)),
        _ => CodeMeaning::Unknown,
    }
}

/// How long AWS asks to wait: milliseconds in AWS's own header, or seconds or a date in HTTP's. A date is compared with the date
/// of the answer, so that this machine's clock does not matter.
fn retry_after(headers: &Headers) -> Option<Duration> {
    if let Some(milliseconds) = headers
        .get("x-amz-retry-after")
        .and_then(|text| text.trim().parse().ok())
    {
        return Some(Duration::from_millis(milliseconds));
    }
    let text = headers.get("retry-after")?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text| DateTime::from_str(text, Format::HttpDate).ok();
    let wait = date(text)?.secs() - date(headers.get("date")?)?.secs();
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}
