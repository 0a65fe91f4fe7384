//! What happens around every call of ours: a span with what is known of it, the moment it came in, and one line in the
//! log when it ends, whichever way. Of calls of health and reflection only the status is looked at.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::sync::watch;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Instrument, Span};

use crate::clock::{Clock, Elapsed};

use super::{protocol, status};

/// The paths of our methods begin so.
const OURS: &str = "/sharewarden.";

/// When a call came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival(pub(super) Elapsed);

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
pub(super) struct CallLayer(pub(super) Clock, pub(super) UnderWay);

impl<S> Layer<S> for CallLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls {
            inner,
            clock: self.0.clone(),
            under_way: self.1.clone(),
        }
    }
}

/// A service whose calls are watched.
#[derive(Debug, Clone)]
pub(super) struct Calls<S> {
    inner: S,
    clock: Clock,
    under_way: UnderWay,
}

impl<S, Q, A> Service<Request<Q>> for Calls<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    A: Default + Send + 'static,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        if let Some(refusal) = protocol::refusal(&request) {
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        if !request.uri().path().starts_with(OURS) {
            let answer = self.inner.call(request);
            return Box::pin(async {
                let mut response = answer.await?;
                complete(&mut response);
                Ok(response)
            });
        }
        let span = span(request.uri().path());
        let end = End::of_a_call(self.clock.clone(), self.under_way.clone());
        request.extensions_mut().insert(Arrival(end.arrival));
        let answer = span.in_scope(|| self.inner.call(request));
        Box::pin(
            async move {
                let mut end = end;
                let mut response = answer.await?;
                complete(&mut response);
                end.code = response.extensions().get::<Status>().map_or(Code::Ok, Status::code);
                Ok(response)
            }
            .instrument(span),
        )
    }
}

fn span(path: &str) -> Span {
    tracing::info_span!(
        "call",
        rpc.method = path.trim_start_matches('/'),
        principal = tracing::field::Empty,
        account_id = tracing::field::Empty,
        change_id = tracing::field::Empty,
    )
}

/// Sees to it that a status of tonic's own carries a reason too.
fn complete<A>(response: &mut Response<A>) {
    let status = response.extensions().get::<Status>().and_then(status::completed);
    if let Some(status) = status
        && status.add_header(response.headers_mut()).is_ok()
    {
        response.extensions_mut().insert(status);
    }
}

/// Logs how a call ended, when it is dropped: a call that nobody waits for any more is dropped in the middle.
struct End {
    clock: Clock,
    under_way: UnderWay,
    arrival: Elapsed,
    code: Code,
}

impl End {
    fn of_a_call(clock: Clock, under_way: UnderWay) -> Self {
        let arrival = clock.elapsed();
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
        let seconds = self.clock.elapsed().since(self.arrival).as_secs_f64();
        tracing::info!(code = name(self.code), seconds, "the call ended");
        self.under_way.0.send_modify(|calls| *calls -= 1);
    }
}

/// The name of a code in the gRPC specification; tonic prints another one.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
