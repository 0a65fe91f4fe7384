//! Measures every call: its duration and its status. A call ends when its answer is sent, when its stream ends, or when its
//! caller abandons it.
//!
//! This layer is outside all other layers of the protocol, so it sees every status that they produce.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, Request, Response};
use hyper::body::{Body, Frame, SizeHint};
use tower::{Layer, Service};
use tracing::Span;

use crate::{
    clock::{Clock, MonotonicInstant},
    telemetry::Instruments,
};

/// The parts of the observation that depend on the protocol.
#[derive(Debug)]
pub(crate) struct Protocol {
    /// The method name of a path. The number of names is bounded.
    pub(crate) method: fn(path: &str) -> &'static str,
    /// The ending in the headers or trailers of an answer, if they have one.
    pub(crate) ending: fn(&HeaderMap) -> Option<Ending>,
    /// The ending of a call whose caller disconnected.
    pub(crate) abandoned: Ending,
    /// The ending of a call whose answer failed midway.
    pub(crate) broken: Ending,
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    /// The status, as in metrics and traces.
    pub(crate) status: &'static str,
    /// True if the status counts as an error of the server.
    pub(crate) is_server_error: bool,
}

/// The span of a call. It is in the extensions of the answer, so that it lasts as long as the call.
#[derive(Debug, Clone)]
pub(crate) struct CallSpan(pub(crate) Span);

/// Wraps a service in [`Observed`].
#[derive(Debug, Clone)]
pub(crate) struct ObservationLayer {
    pub(crate) protocol: &'static Protocol,
    pub(crate) instruments: Instruments,
    pub(crate) clock: Clock,
}

impl<S> Layer<S> for ObservationLayer {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed {
            inner,
            observation: self.clone(),
        }
    }
}

/// A service with measured calls.
#[derive(Debug, Clone)]
pub(crate) struct Observed<S> {
    inner: S,
    observation: ObservationLayer,
}

impl<S, Q, A> Service<Request<Q>> for Observed<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    A: Send + 'static,
{
    type Response = Response<ObservedBody<A>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let observation = self.observation.clone();
        let mut call = Call {
            method: (observation.protocol.method)(request.uri().path()),
            begun: observation.clock.monotonic_now(),
            ending: observation.protocol.abandoned,
            span: None,
            observation,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = match answer.await {
                Ok(response) => response,
                Err(error) => {
                    call.broke_off();
                    return Err(error);
                }
            };
            call.span = response.extensions_mut().remove();
            // An answer without a body has its status in the headers.
            call.note(response.headers());
            Ok(response.map(|inner| ObservedBody { inner, call }))
        })
    }
}

/// The body of an answer. Dropping it ends the call.
#[derive(Debug)]
pub(crate) struct ObservedBody<A> {
    inner: A,
    call: Call,
}

impl<A: Body + Unpin> Body for ObservedBody<A> {
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
                    self.call.note(trailers);
                }
            }
            Some(Err(_)) => self.call.broke_off(),
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

/// A running call. Dropping it records the call.
#[derive(Debug)]
struct Call {
    method: &'static str,
    begun: MonotonicInstant,
    ending: Ending,
    span: Option<CallSpan>,
    observation: ObservationLayer,
}

impl Call {
    fn broke_off(&mut self) {
        self.ending = self.observation.protocol.broken;
    }

    fn note(&mut self, headers: &HeaderMap) {
        if let Some(ending) = (self.observation.protocol.ending)(headers) {
            self.ending = ending;
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let ObservationLayer { instruments, clock, .. } = &self.observation;
        let Ending {
            status,
            is_server_error,
        } = self.ending;
        let took = clock.monotonic_now().since(self.begun);
        instruments.call_ended(self.method, status, is_server_error, took);
        if let Some(CallSpan(span)) = &self.span {
            span.record("rpc.response.status_code", status);
            if is_server_error {
                span.record("error.type", status);
                span.record("otel.status_code", "ERROR");
            }
        }
    }
}
