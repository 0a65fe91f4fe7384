//! What surrounds every call: its span, its classification, its line in the log.

use std::{future::Future, time::Duration};

use aws_sdk_workspaces::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tracing::{Instrument, Span};

use super::{
    classify::{self, Failed},
    own_fault,
    owner::Owner,
    text,
    witness::Witness,
};
use crate::{
    domain::{AwsError, AwsErrorKind, AwsResponse, Classification},
    telemetry::trace::Origin,
};

/// The span of a call, named and filled as OpenTelemetry's conventions for the AWS SDK have it.
macro_rules! span {
    ($operation:literal, $account:expr, $region:expr) => {
        tracing::info_span!(
            concat!("WorkSpaces.", $operation),
            otel.kind = "client",
            otel.status_code = tracing::field::Empty,
            rpc.system = "aws-api",
            rpc.service = "WorkSpaces",
            rpc.method = $operation,
            cloud.account.id = %$account,
            cloud.region = %$region,
            aws.request_id = tracing::field::Empty,
            error.type = tracing::field::Empty,
            sharewarden.classification = tracing::field::Empty,
        )
    };
}
pub(super) use span;

/// Makes one call for an owner: `send` sends it, with a witness of ours among its interceptors.
pub(super) async fn call<O, E, F>(span: Span, owner: &Option<Owner>, send: impl FnOnce(Witness) -> F) -> AwsResponse<O>
where
    O: RequestId,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    F: Future<Output = Result<O, SdkError<E, HttpResponse>>>,
{
    let witness = Witness::of_a_call(owner.clone(), Origin::of(&span).traceparent());
    // The SDK's future is large: here it is moved no more.
    let sent = Box::pin(send(witness.clone()));
    async move {
        let result = sent.await;
        let aws_request_id = result.request_id().map(text::code);
        let result = match result {
            Ok(_) if !witness.readable() => Err(unreadable()),
            Ok(output) => Ok(output),
            Err(error) => Err(fault(&error, &witness)),
        };
        let reply = AwsResponse { aws_request_id, result };
        record(&reply);
        reply
    }
    .instrument(span)
    .await
}

/// An answer that is no answer to the call. It may come from something in between.
pub(super) fn unreadable() -> AwsError {
    own_fault(AwsErrorKind::Unknown, "UnreadableAnswer")
}

/// Bounds a read over all of its pages. Reading has no effect; the outcome is just not known.
pub(super) async fn within<T>(limit: Duration, read: impl Future<Output = AwsResponse<T>>) -> AwsResponse<T> {
    tokio::time::timeout(limit, read).await.unwrap_or_else(|_| timed_out())
}

/// Stands for an answer that took too long.
pub(super) fn timed_out<T>() -> AwsResponse<T> {
    AwsResponse {
        aws_request_id: None,
        result: Err(own_fault(AwsErrorKind::Unknown, "Timeout")),
    }
}

fn fault<E>(error: &SdkError<E, HttpResponse>, witness: &Witness) -> AwsError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let fault = classify::fault(Failed::new(error), witness.sent());
    let (code, error) = (fault.code.as_deref(), text::chain(error));
    match fault.kind {
        AwsErrorKind::Refused(_) => tracing::debug!(code, error, "AWS refused"),
        AwsErrorKind::Throttled { retry_after } => tracing::debug!(code, ?retry_after, error, "AWS throttled"),
        AwsErrorKind::NotSent => tracing::warn!(code, error, "the call never reached AWS"),
        AwsErrorKind::Unknown => tracing::warn!(code, error, "the outcome of the call is unknown"),
    }
    fault
}

fn record<T>(reply: &AwsResponse<T>) {
    let span = Span::current();
    let classification = reply.classification();
    span.record("sharewarden.classification", classification.as_str());
    if let Some(id) = &reply.aws_request_id {
        span.record("aws.request_id", id.as_str());
    }
    if classification != Classification::Accepted {
        let code = reply.result.as_ref().err().and_then(|fault| fault.code.as_deref());
        span.record("error.type", code.unwrap_or("unknown"));
        span.record("otel.status_code", "ERROR");
    }
}
