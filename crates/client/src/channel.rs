//! A channel that reads an HTTP response without gRPC as a gRPC status. Such a response comes from a proxy, or from a server of
//! another kind.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use tonic::{Code, Status, body::Body, transport::Channel};
use tower::Service;

/// A connection to the service, which clones share.
#[derive(Debug, Clone)]
pub struct ServiceChannel(Channel);

impl From<Channel> for ServiceChannel {
    fn from(channel: Channel) -> Self {
        Self(channel)
    }
}

impl Service<Request<Body>> for ServiceChannel {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = self.0.call(request);
        Box::pin(async move {
            let response = response.await?;
            Ok(match status_of(&response) {
                None => response,
                Some(status) => status.into_http(),
            })
        })
    }
}

/// The status for a response that is not gRPC; `None` for one that is.
fn status_of(response: &Response<Body>) -> Option<Status> {
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type.map_or("", |value| value.to_str().unwrap_or_default());
    let has_grpc_status = response.headers().contains_key("grpc-status");
    match response.status() {
        StatusCode::OK if has_grpc_status || content_type.starts_with("application/grpc") => None,
        StatusCode::OK => Some(Status::unknown(format!(
            "the server is not a gRPC service: it answered with the content type {content_type:?}"
        ))),
        _ if has_grpc_status => None,
        http => Some(Status::new(code_of(http), message_of(http))),
    }
}

/// The code for an HTTP status without a gRPC status: `http-grpc-status-mapping.md` of gRPC. One status is ours: 431 means that
/// the metadata is too large, and only a token makes it large.
fn code_of(http: StatusCode) -> Code {
    match http {
        StatusCode::BAD_REQUEST => Code::Internal,
        StatusCode::UNAUTHORIZED | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    }
}

fn message_of(http: StatusCode) -> String {
    match http {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            "the metadata of the call is larger than the service allows (HTTP 431): the token is too long".to_owned()
        }
        _ => format!("a proxy on the way answered {http}"),
    }
}
