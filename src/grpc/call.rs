//! The layer around every call of this API. It applies the response timeout, opens the span, records the arrival, and writes one
//! line to the log when the call ends or is dropped. Admission applies the concurrency limit after it has found the principal.
//!
//! Calls of health and reflection only get their limit, the timeout and the completed status.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, Response};
use tokio::sync::watch;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Instrument, Span};

use crate::{
    clock::{Clock, MonotonicInstant},
    edge::{
        limits::{Limits, PermitBody},
        listener::Peer,
        observation::CallSpan,
        trace_context,
    },
};

use super::{code, deadline, protocol, rpcs::Rpc, status};

/// When a call arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival(pub(super) MonotonicInstant);

/// The number of calls without a response. A stream counts until it starts. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(super) struct CallsInProgress(Arc<watch::Sender<usize>>);

impl CallsInProgress {
    /// Waits until the number is 0.
    pub(super) async fn wait_for_none(&self) {
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|calls| *calls == 0).await;
    }
}

/// Puts [`CallService`] around a service.
#[derive(Debug, Clone)]
pub(super) struct CallLayer {
    pub(super) clock: Clock,
    pub(super) in_progress: CallsInProgress,
    pub(super) limits: Limits,
    /// The maximum response timeout.
    pub(super) max_duration: Duration,
}

impl<S> Layer<S> for CallLayer {
    type Service = CallService<S>;

    fn layer(&self, inner: S) -> CallService<S> {
        CallService {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service that [`CallLayer`] makes.
#[derive(Debug, Clone)]
pub(super) struct CallService<S> {
    inner: S,
    layer: CallLayer,
}

type CallFuture<A, E> = Pin<Box<dyn Future<Output = Result<Response<PermitBody<A>>, E>> + Send>>;

impl<S, Q, A> Service<Request<Q>> for CallService<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    A: Default + Send + 'static,
{
    type Response = Response<PermitBody<A>>;
    type Error = S::Error;
    type Future = CallFuture<A, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        if let Some(refusal) = protocol::refusal(&request) {
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        let CallLayer {
            clock,
            in_progress,
            limits,
            max_duration,
        } = &self.layer;
        let rpc = Rpc::at(request.uri().path());
        let response_timeout = deadline::response_timeout(request.headers(), *max_duration);
        if !rpc.is_ours() {
            let peer = request.extensions().get::<Peer>();
            let permit = rpc.limit.zip(peer).map(|(limit, peer)| limits.acquire(limit, peer));
            let Ok(permit) = permit.transpose() else {
                return refused();
            };
            let answer = with_timeout(response_timeout, self.inner.call(request));
            return Box::pin(async move {
                let response = answer.await?;
                Ok(response.map(|answer| PermitBody::new(answer, permit)))
            });
        }
        let span = span(rpc.name);
        if let Some(trace_id) = trace_context::enter(&span, request.headers()) {
            request.extensions_mut().insert(trace_id);
        }
        let call_span = CallSpan(span.clone());
        let guard = CallGuard::start(clock.clone(), in_progress.clone());
        request.extensions_mut().insert(Arrival(guard.arrival));
        let answer = with_timeout(response_timeout, span.in_scope(|| self.inner.call(request)));
        Box::pin(
            async move {
                let mut guard = guard;
                let mut response = answer.await?;
                response.extensions_mut().insert(call_span);
                guard.code = response.extensions().get::<Status>().map_or(Code::Ok, Status::code);
                Ok(response.map(|answer| PermitBody::new(answer, None)))
            }
            .instrument(span),
        )
    }
}

/// The response of a handler, or CALL_TIMED_OUT after the response timeout.
async fn with_timeout<A: Default, E>(
    response_timeout: Duration,
    answer: impl Future<Output = Result<Response<A>, E>>,
) -> Result<Response<A>, E> {
    match tokio::time::timeout(response_timeout, answer).await {
        Ok(response) => Ok(completed(response?)),
        Err(_) => Ok(status::timed_out().into_status().into_http()),
    }
}

fn refused<A: Default + Send + 'static, E: Send + 'static>() -> CallFuture<A, E> {
    let refused = status::overloaded().into_status().into_http();
    Box::pin(async { Ok(refused) })
}

fn span(method: &'static str) -> Span {
    tracing::info_span!(
        "call",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = tracing::field::Empty,
        error.type = tracing::field::Empty,
        trace_id = tracing::field::Empty,
        principal = tracing::field::Empty,
        account_id = tracing::field::Empty,
        change_id = tracing::field::Empty,
    )
}

/// Adds a reason to a status that tonic made itself.
fn completed<A>(mut response: Response<A>) -> Response<A> {
    let known = response.extensions().get::<Status>();
    let status = match known {
        Some(status) => status::completed(status),
        // For an unknown method of a known service, tonic sets only the header.
        None if response.headers().get(Status::GRPC_STATUS) == Some(&HeaderValue::from(Code::Unimplemented as i32)) => {
            Some(status::unimplemented().into_status())
        }
        None => None,
    };
    if let Some(status) = status
        && status.add_header(response.headers_mut()).is_ok()
    {
        response.extensions_mut().insert(status);
    }
    response
}

/// Logs the end of a call when it is dropped. The future of a call is dropped before its end if the caller disconnects.
struct CallGuard {
    clock: Clock,
    in_progress: CallsInProgress,
    arrival: MonotonicInstant,
    code: Code,
}

impl CallGuard {
    fn start(clock: Clock, in_progress: CallsInProgress) -> Self {
        let arrival = clock.monotonic_now();
        in_progress.0.send_modify(|calls| *calls += 1);
        Self {
            clock,
            in_progress,
            arrival,
            code: Code::Cancelled,
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let seconds = self.clock.monotonic_now().since(self.arrival).as_secs_f64();
        tracing::info!(code = code::name(self.code), seconds, "the call ended");
        self.in_progress.0.send_modify(|calls| *calls -= 1);
    }
}
