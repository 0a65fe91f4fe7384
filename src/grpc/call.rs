//! What happens around every call of ours: the limit that it counts against, a span with what is known of it, the moment it
//! came in, the last moment of its answer, and one line in the log when it ends, whichever way. Of calls of health and
//! reflection only the end and the status are looked at, and whether there are too many streams.

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
        observation::CallSpan,
        trace_context,
    },
};

use super::{code, deadline, protocol, rpcs::Rpc, status};

/// When a call came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival(pub(super) MonotonicInstant);

/// How many calls were not answered yet. A stream counts until it begins. Cheap to clone; clones count the same.
#[derive(Debug, Clone, Default)]
pub(super) struct UnderWay(Arc<watch::Sender<usize>>);

impl UnderWay {
    /// Waits until there is none.
    pub(super) async fn none(&self) {
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|calls| *calls == 0).await;
    }
}

/// Puts [`Calls`] around a service.
#[derive(Debug, Clone)]
pub(super) struct CallLayer {
    pub(super) clock: Clock,
    pub(super) under_way: UnderWay,
    pub(super) limits: Limits,
    /// No call is without an answer longer than this.
    pub(super) longest: Duration,
}

impl<S> Layer<S> for CallLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls {
            inner,
            around: self.clone(),
        }
    }
}

/// A service whose calls are watched.
#[derive(Debug, Clone)]
pub(super) struct Calls<S> {
    inner: S,
    around: CallLayer,
}

/// An answer to come.
type Answering<A, E> = Pin<Box<dyn Future<Output = Result<Response<PermitBody<A>>, E>> + Send>>;

impl<S, Q, A> Service<Request<Q>> for Calls<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    A: Default + Send + 'static,
{
    type Response = Response<PermitBody<A>>;
    type Error = S::Error;
    type Future = Answering<A, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        if let Some(refusal) = protocol::refusal(&request) {
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        let CallLayer {
            clock,
            under_way,
            limits,
            longest,
        } = &self.around;
        let rpc = Rpc::at(request.uri().path());
        let Ok(permit) = rpc.limit.map(|limit| limits.acquire(limit, clock)).transpose() else {
            return refused();
        };
        let last_moment = deadline::last_moment(request.headers(), *longest);
        if !rpc.is_ours() {
            let answer = answered(last_moment, self.inner.call(request));
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
        let end = End::of_a_call(clock.clone(), under_way.clone());
        request.extensions_mut().insert(Arrival(end.arrival));
        let answer = answered(last_moment, span.in_scope(|| self.inner.call(request)));
        Box::pin(
            async move {
                let mut end = end;
                let mut response = answer.await?;
                response.extensions_mut().insert(call_span);
                end.code = response.extensions().get::<Status>().map_or(Code::Ok, Status::code);
                Ok(response.map(|answer| PermitBody::new(answer, permit)))
            }
            .instrument(span),
        )
    }
}

/// The answer to a call, which is there at the last moment.
async fn answered<A: Default, E>(
    last_moment: Duration,
    answer: impl Future<Output = Result<Response<A>, E>>,
) -> Result<Response<A>, E> {
    match tokio::time::timeout(last_moment, answer).await {
        Ok(response) => Ok(completed(response?)),
        Err(_) => Ok(status::timed_out().into_status().into_http()),
    }
}

fn refused<A: Default + Send + 'static, E: Send + 'static>() -> Answering<A, E> {
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

/// Sees to it that a status of tonic's own carries a reason too.
fn completed<A>(mut response: Response<A>) -> Response<A> {
    let known = response.extensions().get::<Status>();
    let status = match known {
        Some(status) => status::completed(status),
        // For an unknown method of a known service tonic writes the header alone.
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

/// Logs how a call ended, when it is dropped: a call that nobody waits for any more is dropped in the middle.
struct End {
    clock: Clock,
    under_way: UnderWay,
    arrival: MonotonicInstant,
    code: Code,
}

impl End {
    fn of_a_call(clock: Clock, under_way: UnderWay) -> Self {
        let arrival = clock.monotonic_now();
        under_way.0.send_modify(|calls| *calls += 1);
        Self {
            clock,
            under_way,
            arrival,
            code: Code::Cancelled,
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let seconds = self.clock.monotonic_now().since(self.arrival).as_secs_f64();
        tracing::info!(code = code::name(self.code), seconds, "the call ended");
        self.under_way.0.send_modify(|calls| *calls -= 1);
    }
}
