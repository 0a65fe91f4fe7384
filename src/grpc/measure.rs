//! Measures every call: how long it took, and its code. A call ends when its answer was sent or its stream has ended; one that
//! nobody waits for any more is dropped, and counts as CANCELLED.
//!
//! It stands around all other layers that see gRPC, so that it sees the codes that are made by them, and by tonic, too.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, Request, Response};
use hyper::body::{Body, Frame, SizeHint};
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Span;

use crate::{
    clock::{Clock, Elapsed},
    telemetry::Instruments,
};

use super::{code, rpcs::Rpc};

/// The span of a call, in the extensions of its answer: it ends when the call does.
#[derive(Debug, Clone)]
pub(super) struct CallSpan(pub(super) Span);

/// Puts [`Measured`] around a service.
#[derive(Debug, Clone)]
pub(super) struct MeasureLayer {
    pub(super) instruments: Instruments,
    pub(super) clock: Clock,
}

impl<S> Layer<S> for MeasureLayer {
    type Service = Measured<S>;

    fn layer(&self, inner: S) -> Measured<S> {
        Measured {
            inner,
            measure: self.clone(),
        }
    }
}

/// A service whose calls are measured.
#[derive(Debug, Clone)]
pub(super) struct Measured<S> {
    inner: S,
    measure: MeasureLayer,
}

impl<S, Q, A> Service<Request<Q>> for Measured<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    A: Send + 'static,
{
    type Response = Response<MeasuredBody<A>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let MeasureLayer { instruments, clock } = self.measure.clone();
        let mut end = End {
            method: Rpc::at(request.uri().path()).name,
            begun: clock.elapsed(),
            code: Code::Cancelled,
            span: None,
            instruments,
            clock,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = match answer.await {
                Ok(response) => response,
                Err(error) => {
                    end.failed();
                    return Err(error);
                }
            };
            end.span = response.extensions_mut().remove();
            // Where there is nothing but a status, it is in the header.
            end.note(response.headers());
            Ok(response.map(|inner| MeasuredBody { inner, end }))
        })
    }
}

/// An answer that is measured when it has been sent.
#[derive(Debug)]
pub(super) struct MeasuredBody<A> {
    inner: A,
    end: End,
}

impl<A: Body + Unpin> Body for MeasuredBody<A> {
    type Data = A::Data;
    type Error = A::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<A::Data>, A::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.end.note(trailers);
                }
            }
            Some(Err(_)) => self.end.failed(),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Measures a call when it is dropped.
#[derive(Debug)]
struct End {
    method: &'static str,
    begun: Elapsed,
    code: Code,
    span: Option<CallSpan>,
    instruments: Instruments,
    clock: Clock,
}

impl End {
    fn failed(&mut self) {
        self.code = Code::Unknown;
    }

    fn note(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get(Status::GRPC_STATUS) {
            self.code = Code::from_bytes(status.as_bytes());
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let (name, is_server_error) = (code::name(self.code), code::is_server_error(self.code));
        let took = self.clock.elapsed().since(self.begun);
        self.instruments.call_ended(self.method, name, is_server_error, took);
        if let Some(CallSpan(span)) = &self.span {
            span.record("rpc.response.status_code", name);
            if is_server_error {
                span.record("error.type", name);
                span.record("otel.status_code", "ERROR");
            }
        }
    }
}
