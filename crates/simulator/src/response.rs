//! Responses, encoded in the caller's protocol, complete or damaged by a fault.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use hyper::body::Frame;
use serde_json::json;

use crate::{api_error::ApiError, calls::CallEnding, sts};

/// The protocol of a call and of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AwsProtocol {
    /// AWS JSON 1.1, for WorkSpaces.
    Json,
    /// AWS Query, for STS.
    Query,
}

#[derive(Debug)]
pub(super) struct ApiResponse {
    pub(super) status: StatusCode,
    pub(super) error_code: Option<String>,
    pub(super) error_message: Option<String>,
    headers: HeaderMap,
    body: Bytes,
}

/// What is sent to the caller.
#[derive(Debug)]
pub(super) enum Delivery {
    Whole(ApiResponse),
    CutShort(ApiResponse),
    Reset,
}

/// As an extension of a response: resets the connection instead of sending it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResetConnection;

impl AwsProtocol {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Query => "text/xml",
        })
    }
}

impl ApiResponse {
    pub(super) fn ok(protocol: AwsProtocol, request_id: &str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, protocol.content_type());
        put(&mut headers, "x-amzn-requestid", request_id);
        Self {
            status: StatusCode::OK,
            error_code: None,
            error_message: None,
            headers,
            body: body.into(),
        }
    }

    pub(super) fn with_body(mut self, body: &'static [u8]) -> Self {
        self.body = Bytes::from_static(body);
        self
    }

    pub(super) fn refused(protocol: AwsProtocol, request_id: &str, error: &ApiError) -> Self {
        let mut response = Self::ok(protocol, request_id, Bytes::new());
        response.status = error.status;
        response.error_code = Some(error.code.clone().into_owned());
        response.error_message = Some(error.message.clone());
        if let Some(seconds) = error.retry_after_seconds {
            response.headers.insert(RETRY_AFTER, seconds.into());
        }
        response.body = match protocol {
            AwsProtocol::Query => sts::error_xml(error, request_id).into(),
            AwsProtocol::Json => {
                put(&mut response.headers, "x-amzn-errortype", &error.code);
                json_body(error).into()
            }
        };
        response
    }

    /// An error response of a proxy in front of AWS: without AWS's protocol or request id.
    pub(super) fn from_proxy(status: StatusCode, retry_after_seconds: Option<u64>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        if let Some(seconds) = retry_after_seconds {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        let body = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>");
        Self {
            status,
            error_code: None,
            error_message: None,
            headers,
            body: body.into(),
        }
    }
}

fn json_body(error: &ApiError) -> String {
    let mut body = json!({"__type": error.code, "message": error.message});
    if let Some((member, value)) = &error.detail {
        body[*member] = json!(value);
    }
    body.to_string()
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

impl Delivery {
    /// The ending for the call log.
    pub(super) fn ending(&self) -> CallEnding {
        match self {
            Self::Whole(_) => CallEnding::Answered,
            Self::CutShort(_) => CallEnding::CutShort,
            Self::Reset => CallEnding::Reset,
        }
    }

    /// The response that is sent, if any.
    pub(super) fn response(&self) -> Option<&ApiResponse> {
        match self {
            Self::Whole(response) | Self::CutShort(response) => Some(response),
            Self::Reset => None,
        }
    }

    pub(super) fn into_response(self) -> Response {
        match self {
            Self::Whole(response) => respond(response.status, response.headers, Body::from(response.body)),
            Self::CutShort(response) => cut_short(response),
            Self::Reset => {
                let mut response = Response::new(Body::empty());
                response.extensions_mut().insert(ResetConnection);
                response
            }
        }
    }
}

/// Announces more bytes than it sends.
fn cut_short(response: ApiResponse) -> Response {
    let mut headers = response.headers;
    headers.insert(CONTENT_LENGTH, (response.body.len() + 64).into());
    // Send half, so that even a short body is incomplete.
    let half = response.body.slice(..response.body.len() / 2);
    respond(
        response.status,
        headers,
        Body::new(TruncatedBody {
            sent: Some(half),
            flushed: false,
        }),
    )
}

fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A body that ends early. It yields once in between, so that its bytes are flushed.
struct TruncatedBody {
    sent: Option<Bytes>,
    flushed: bool,
}

impl hyper::body::Body for TruncatedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(bytes) = self.sent.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if !self.flushed {
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(None)
    }
}
