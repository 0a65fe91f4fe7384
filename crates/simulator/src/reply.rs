//! Answers on their way out: written down in the caller's protocol, whole or spoilt by a fault.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use hyper::body::Frame;
use serde_json::json;

use super::calls::Ending;
use super::refusal::Refusal;
use super::sts;

/// How a caller talks to us, and so how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// AWS JSON 1.1: WorkSpaces.
    Json,
    /// The AWS query protocol: STS.
    Query,
}

/// An answer of HTTP.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) error_code: Option<String>,
    headers: HeaderMap,
    body: Bytes,
}

/// What the caller is to see.
#[derive(Debug)]
pub(super) enum Reply {
    Whole(Answer),
    CutShort(Answer),
    Reset,
}

/// Put into a response's extensions, it makes the connection end without a byte of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResetWanted;

impl Protocol {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Query => "text/xml",
        })
    }
}

impl Answer {
    /// A 200 with a body.
    pub(super) fn ok(protocol: Protocol, request_id: &str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, protocol.content_type());
        put(&mut headers, HeaderName::from_static("x-amzn-requestid"), request_id);
        Self {
            status: StatusCode::OK,
            error_code: None,
            headers,
            body: body.into(),
        }
    }

    /// The same answer with another body.
    pub(super) fn with_body(mut self, body: &'static [u8]) -> Self {
        self.body = Bytes::from_static(body);
        self
    }

    /// A refusal, in the body as well as in the headers.
    pub(super) fn refused(protocol: Protocol, request_id: &str, refusal: &Refusal) -> Self {
        let mut answer = Self::ok(protocol, request_id, Bytes::new());
        answer.status = refusal.status;
        answer.error_code = Some(refusal.code.clone().into_owned());
        if let Some(seconds) = refusal.retry_after_seconds {
            answer.headers.insert(RETRY_AFTER, seconds.into());
        }
        answer.body = match protocol {
            Protocol::Query => sts::refusal_xml(refusal, request_id).into(),
            Protocol::Json => {
                put(
                    &mut answer.headers,
                    HeaderName::from_static("x-amzn-errortype"),
                    &refusal.code,
                );
                json_body(refusal).into()
            }
        };
        answer
    }

    /// What a proxy in front of AWS says: nothing that belongs to AWS's protocols, not even a request id.
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
            headers,
            body: body.into(),
        }
    }
}

fn json_body(refusal: &Refusal) -> String {
    let mut body = json!({"__type": refusal.code, "message": refusal.message});
    if let Some((member, value)) = &refusal.detail {
        body[*member] = json!(value);
    }
    body.to_string()
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

impl Reply {
    /// How the call log names it.
    pub(super) fn ending(&self) -> Ending {
        match self {
            Self::Whole(_) => Ending::Answered,
            Self::CutShort(_) => Ending::CutShort,
            Self::Reset => Ending::Reset,
        }
    }

    /// The answer that the caller gets to see, if any.
    pub(super) fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Whole(answer) | Self::CutShort(answer) => Some(answer),
            Self::Reset => None,
        }
    }

    pub(super) fn into_response(self) -> Response {
        match self {
            Self::Whole(answer) => respond(answer.status, answer.headers, Body::from(answer.body)),
            Self::CutShort(answer) => cut_short(answer),
            Self::Reset => {
                let mut response = Response::new(Body::empty());
                response.extensions_mut().insert(ResetWanted);
                response
            }
        }
    }
}

/// Promises more bytes than will come.
fn cut_short(answer: Answer) -> Response {
    let mut headers = answer.headers;
    headers.insert(CONTENT_LENGTH, (answer.body.len() + 64).into());
    // Half of a body is sent, so that not even a short one is complete.
    let half = answer.body.slice(..answer.body.len() / 2);
    respond(
        answer.status,
        headers,
        Body::new(Broken {
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

/// A body that ends before its time. In between it waits for a turn, so that what was sent is flushed.
struct Broken {
    sent: Option<Bytes>,
    flushed: bool,
}

impl hyper::body::Body for Broken {
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
