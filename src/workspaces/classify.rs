//! What a failed call means: the one place where the SDK's errors become faults of ours.
//!
//! | what happened | fault |
//! |---|---|
//! | the request was never handed to a connection: no credentials, nothing to build it from | not sent |
//! | ... because STS refused us the account's role | refused: access denied |
//! | no connection: refused, no such host, TLS, connect timeout | not sent |
//! | reset, closed or timed out after that | unknown |
//! | a 4xx, whole | refused or throttled, by its code; refused without a known one |
//! | any 4xx or 5xx with a throttling code, any 429 | throttled |
//! | 408, 3xx, 5xx, and codes that speak of AWS's own failure | unknown |
//! | an answer cut short, or a success that cannot be read | unknown |
//!
//! A refusal by STS is a refusal, though the call itself was not sent: it had no effect, and whoever must mend the role reads
//! STS's own words at once, where *not sent* would be tried again for minutes and then say "unavailable". The rest of what
//! can go wrong with credentials (STS throttles, is away, answers 5xx; none are found) passes, and is *not sent*.

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
    codes::{self, Verdict},
    own_fault, text,
};
use crate::domain::{AwsError, AwsErrorKind, FailureReason};

/// A failed call, stripped of the type of its operation.
pub(super) struct Failed<'a> {
    error: &'a (dyn Error + 'static),
    how: How<'a>,
}

enum How<'a> {
    NotBuilt,
    TimedOut,
    NoAnswer(&'a DispatchFailure),
    Answer(Answer<'a>),
    Other,
}

struct Answer<'a> {
    status: u16,
    whole: bool,
    headers: &'a Headers,
    error: Option<&'a ErrorMetadata>,
}

impl<'a> Failed<'a> {
    pub(super) fn new<E>(error: &'a SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let how = match error {
            SdkError::ConstructionFailure(_) => How::NotBuilt,
            SdkError::TimeoutError(_) => How::TimedOut,
            SdkError::DispatchFailure(failure) => How::NoAnswer(failure),
            SdkError::ResponseError(answer) => How::Answer(Answer::new(answer.raw(), None)),
            SdkError::ServiceError(answer) => How::Answer(Answer::new(answer.raw(), Some(answer.err().meta()))),
            _ => How::Other,
        };
        Self { error, how }
    }
}

impl<'a> Answer<'a> {
    fn new(answer: &'a HttpResponse, error: Option<&'a ErrorMetadata>) -> Self {
        Self {
            status: answer.status().as_u16(),
            // The SDK takes the body out to read it, and puts it back when it has all of it.
            whole: answer.body().bytes().is_some(),
            headers: answer.headers(),
            error,
        }
    }
}

/// What a failed call means. `sent` says that its request was handed to a connection.
pub(super) fn fault(failed: Failed<'_>, sent: bool) -> AwsError {
    if !sent {
        return without_sending(&failed);
    }
    match failed.how {
        How::NotBuilt => own_fault(AwsErrorKind::NotSent, "RequestNotBuilt"),
        How::TimedOut => own_fault(AwsErrorKind::Unknown, "Timeout"),
        How::NoAnswer(failure) => no_answer(failed.error, failure),
        How::Answer(answer) => of_answer(&answer),
        How::Other => own_fault(AwsErrorKind::Unknown, "Other"),
    }
}

fn without_sending(failed: &Failed<'_>) -> AwsError {
    let refusal = sts_answer(failed.error).map(|answer| of_answer(&answer));
    match (refusal, &failed.how) {
        (Some(fault), _) if matches!(fault.kind, AwsErrorKind::Refused(_)) => AwsError {
            kind: AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied),
            ..fault
        },
        (_, How::NotBuilt) => own_fault(AwsErrorKind::NotSent, "RequestNotBuilt"),
        // Credentials are the one thing that is waited for before a call is sent.
        _ => own_fault(AwsErrorKind::NotSent, "CredentialsUnavailable"),
    }
}

/// What STS said, where a call had no credentials because of it.
fn sts_answer<'a>(error: &'a (dyn Error + 'static)) -> Option<Answer<'a>> {
    answer_to::<AssumeRoleError>(error).or_else(|| answer_to::<AssumeRoleWithWebIdentityError>(error))
}

fn answer_to<'a, E>(error: &'a (dyn Error + 'static)) -> Option<Answer<'a>>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match Failed::new(text::cause::<SdkError<E, HttpResponse>>(error)?).how {
        How::Answer(answer) => Some(answer),
        _ => None,
    }
}

/// Not sent only where the HTTP client says that it was still connecting. Everything else may have arrived.
fn no_answer(error: &(dyn Error + 'static), failure: &DispatchFailure) -> AwsError {
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
    own_fault(kind, code)
}

fn of_answer(answer: &Answer<'_>) -> AwsError {
    if !answer.whole {
        return own_fault(AwsErrorKind::Unknown, "TruncatedAnswer");
    }
    if answer.status < 300 {
        return own_fault(AwsErrorKind::Unknown, "UnreadableAnswer");
    }
    let code = answer
        .error
        .and_then(|error| error.code())
        .map(text::code)
        .filter(|code| !code.is_empty());
    let message = answer.error.and_then(|error| error.message()).and_then(text::message);
    let kind = match verdict(answer.status, code.as_deref()) {
        Verdict::Refused(reason) => AwsErrorKind::Refused(reason),
        Verdict::Unknown => AwsErrorKind::Unknown,
        Verdict::Throttled => AwsErrorKind::Throttled {
            retry_after: retry_after(answer.headers),
        },
    };
    let code = code.or_else(|| Some(format!("Http{}", answer.status)));
    AwsError { kind, code, message }
}

fn verdict(status: u16, code: Option<&str>) -> Verdict {
    let said = code.and_then(codes::verdict);
    match status {
        400.. if said == Some(Verdict::Throttled) => Verdict::Throttled,
        429 => Verdict::Throttled,
        408 => Verdict::Unknown,
        400..=499 => said.unwrap_or(Verdict::Refused(FailureReason::UpstreamRefused)),
        _ => Verdict::Unknown,
    }
}

/// How long AWS asks to wait: in milliseconds in its own header, in seconds or as a date in HTTP's. A date is read against
/// the answer's own, so our clock does not matter.
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
