//! The client of one account and Region, and everything around a call: its credentials, span, classification and log line.

use std::{future::Future, time::Duration};

use aws_sdk_cloudtrail::Client as CloudTrailClient;
use aws_sdk_workspaces::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tracing::{Instrument, Span};

use super::{
    classify::{self, FailedCall},
    credentials::AccountCredentials,
    interceptor::{CallInterceptor, MaySend},
    own_error, text,
};
use crate::{
    domain::{AccountId, AwsError, AwsErrorKind, AwsResponse, Classification, Region},
    telemetry::trace::Origin,
};

/// The span of a call, with the name and attributes of OpenTelemetry's conventions for AWS SDKs.
macro_rules! span {
    ($operation:literal, $client:expr) => {
        $crate::workspaces::call::span!("WorkSpaces", $operation, $client)
    };
    ($service:literal, $operation:literal, $client:expr) => {
        tracing::info_span!(
            concat!($service, ".", $operation),
            otel.kind = "client",
            otel.status_code = tracing::field::Empty,
            rpc.system = "aws-api",
            rpc.service = $service,
            rpc.method = $operation,
            cloud.account.id = %$client.account(),
            cloud.region = %$client.region(),
            aws.request_id = tracing::field::Empty,
            error.type = tracing::field::Empty,
            sharewarden.classification = tracing::field::Empty,
        )
    };
}
pub(super) use span;

/// Calls WorkSpaces and CloudTrail for one account in one Region. The SDK clients inside are shared by all accounts of an
/// endpoint and have no credentials of their own: they are handed out only together with an interceptor that has them.
#[derive(Clone)]
pub(super) struct AccountClient {
    account: AccountId,
    region: Region,
    client: Client,
    cloud_trail: CloudTrailClient,
    credentials: Option<AccountCredentials>,
}

impl AccountClient {
    pub(super) fn new(
        account: AccountId,
        region: Region,
        client: Client,
        cloud_trail: CloudTrailClient,
        credentials: Option<AccountCredentials>,
    ) -> Self {
        Self {
            account,
            region,
            client,
            cloud_trail,
            credentials,
        }
    }

    pub(super) fn account(&self) -> AccountId {
        self.account
    }

    pub(super) fn region(&self) -> &Region {
        &self.region
    }

    /// Makes one call. `send` must add the interceptor to the request; without it the call has no credentials and is not sent.
    pub(super) async fn call<O, E, F>(
        &self,
        span: Span,
        send: impl FnOnce(&Client, CallInterceptor) -> F,
    ) -> AwsResponse<O>
    where
        O: RequestId,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<O, SdkError<E, HttpResponse>>>,
    {
        self.call_while(None, span, send).await
    }

    /// Makes one call, if `may_send` agrees directly before the request is sent.
    pub(super) async fn call_while<O, E, F>(
        &self,
        may_send: Option<MaySend>,
        span: Span,
        send: impl FnOnce(&Client, CallInterceptor) -> F,
    ) -> AwsResponse<O>
    where
        O: RequestId,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<O, SdkError<E, HttpResponse>>>,
    {
        let send = |interceptor| send(&self.client, interceptor);
        self.observe(may_send, span, send).await
    }

    /// Makes one call to CloudTrail, as [`call`](Self::call) does to WorkSpaces.
    pub(super) async fn call_cloud_trail<O, E, F>(
        &self,
        span: Span,
        send: impl FnOnce(&CloudTrailClient, CallInterceptor) -> F,
    ) -> AwsResponse<O>
    where
        O: RequestId,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<O, SdkError<E, HttpResponse>>>,
    {
        let send = |interceptor| send(&self.cloud_trail, interceptor);
        self.observe(None, span, send).await
    }

    async fn observe<O, E, F>(
        &self,
        may_send: Option<MaySend>,
        span: Span,
        send: impl FnOnce(CallInterceptor) -> F,
    ) -> AwsResponse<O>
    where
        O: RequestId,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<O, SdkError<E, HttpResponse>>>,
    {
        let interceptor = CallInterceptor::new(self.credentials.clone(), Origin::of(&span).traceparent(), may_send);
        // The SDK's future is large, and is not moved any more once it is boxed.
        let sent = Box::pin(send(interceptor.clone()));
        async move {
            let result = sent.await;
            let aws_request_id = result.request_id().map(text::code);
            let result = match result {
                Err(_) if interceptor.held_back() => Err(own_error(AwsErrorKind::NotSent, "LeaseEnded")),
                Ok(_) if !interceptor.readable() => Err(unreadable()),
                Ok(output) => Ok(output),
                Err(error) => Err(classified(&error, &interceptor)),
            };
            let response = AwsResponse { aws_request_id, result };
            record(&response);
            response
        }
        .instrument(span)
        .await
    }
}

/// The error for an answer that does not belong to the call. It may come from a proxy.
pub(super) fn unreadable() -> AwsError {
    own_error(AwsErrorKind::Unknown, "UnreadableAnswer")
}

/// Sets a time limit on a read over all of its pages.
pub(super) async fn within<T>(limit: Duration, read: impl Future<Output = AwsResponse<T>>) -> AwsResponse<T> {
    tokio::time::timeout(limit, read).await.unwrap_or_else(|_| timed_out())
}

/// The answer of a read that reached its time limit.
pub(super) fn timed_out<T>() -> AwsResponse<T> {
    AwsResponse {
        aws_request_id: None,
        result: Err(own_error(AwsErrorKind::Unknown, "Timeout")),
    }
}

fn classified<E>(error: &SdkError<E, HttpResponse>, interceptor: &CallInterceptor) -> AwsError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let aws_error = classify::aws_error(FailedCall::new(error), interceptor.sent());
    let (code, error) = (aws_error.code.as_deref(), text::chain(error));
    match aws_error.kind {
        AwsErrorKind::Refused(_) => tracing::debug!(code, error, "AWS refused"),
        AwsErrorKind::Throttled { retry_after } => tracing::debug!(code, ?retry_after, error, "AWS throttled"),
        AwsErrorKind::NotSent => tracing::warn!(code, error, "the call was not sent to AWS"),
        AwsErrorKind::Unknown => tracing::warn!(code, error, "the outcome of the call is unknown"),
    }
    aws_error
}

fn record<T>(response: &AwsResponse<T>) {
    let span = Span::current();
    let classification = response.classification();
    span.record("sharewarden.classification", classification.as_str());
    if let Some(id) = &response.aws_request_id {
        span.record("aws.request_id", id.as_str());
    }
    if classification != Classification::Accepted {
        let code = response
            .result
            .as_ref()
            .err()
            .and_then(|aws_error| aws_error.code.as_deref());
        span.record("error.type", code.unwrap_or("unknown"));
        span.record("otel.status_code", "ERROR");
    }
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, net::TcpListener};

    use super::super::{BaseCredentials, WorkSpaces, WorkSpacesSettings};
    use super::*;
    use crate::{
        clock::Clock,
        config::{AccountConfig, AwsConfig, ForwarderConfig, ShareWithConfig},
        telemetry::Instruments,
    };

    #[tokio::test]
    async fn a_call_without_its_interceptor_has_no_credentials_and_is_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (account, region) = ("111122223333".parse().unwrap(), "eu-central-1".parse().unwrap());
        let settings = WorkSpacesSettings {
            accounts: vec![AccountConfig {
                id: account,
                regions: vec![Region::clone(&region)],
                share_with: ShareWithConfig::Anyone,
                on_drift: Default::default(),
                role_arn: None,
                external_id: None,
                endpoint_url: Some(format!("http://{}", listener.local_addr().unwrap())),
            }],
            aws: AwsConfig {
                verify_identity: false,
                ..AwsConfig::default()
            },
            forwarder: ForwarderConfig::default(),
            credentials: BaseCredentials::Fixed {
                access_key_id: "AKIAEXAMPLE".into(),
                secret_access_key: "secret".to_owned().into(),
            },
            clock: Clock::system(),
            instruments: Instruments::default(),
        };
        let workspaces = WorkSpaces::connect(&settings).await.unwrap();
        let client = workspaces.client(account, &region).unwrap();
        let response = client.call(Span::none(), |client, _| client.describe_workspace_images().send());
        assert_eq!(response.await.result.unwrap_err().kind, AwsErrorKind::NotSent);
        let connected = listener.accept().map_err(|error| error.kind());
        assert_eq!(connected.unwrap_err(), ErrorKind::WouldBlock, "nobody connected");
    }
}
