//! Maximum concurrent calls and streams. Further ones are refused at once and not queued: a queue would have no bound.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::{Clock, MonotonicInstant};

/// Maximum concurrent auxiliary streams.
const MAX_AUXILIARY: usize = 256;

/// Refusals are counted, and logged at most once in this time. One line for each would be a load of its own.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The kinds of limits. A call counts against one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Unary calls.
    Calls,
    /// Server streams of the service's own methods. They may stay open for days.
    Streams,
    /// Streams of other services on the same port, such as health and reflection.
    Auxiliary,
}

/// The semaphores of all limits. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    auxiliary: Arc<Semaphore>,
    refusals: Arc<Mutex<Refusals>>,
}

/// The limit is reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LimitReached;

#[derive(Debug, Default)]
struct Refusals {
    unlogged: u64,
    logged_at: Option<MonotonicInstant>,
}

impl Limits {
    /// `calls` and `streams` are the maximum numbers at the same time.
    pub(crate) fn new(calls: usize, streams: usize) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            calls: semaphore(calls),
            streams: semaphore(streams),
            auxiliary: semaphore(MAX_AUXILIARY),
            refusals: Arc::default(),
        }
    }

    /// Takes a permit for one call.
    pub(crate) fn acquire(&self, limit: Limit, clock: &Clock) -> Result<Permit, LimitReached> {
        let semaphore = match limit {
            Limit::Calls => &self.calls,
            Limit::Streams => &self.streams,
            Limit::Auxiliary => &self.auxiliary,
        };
        let permit = semaphore.clone().try_acquire_owned();
        permit.map(Permit).map_err(|_| {
            self.note_refusal(clock.monotonic_now());
            LimitReached
        })
    }

    fn note_refusal(&self, now: MonotonicInstant) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.unlogged += 1;
        if refusals.logged_at.is_none_or(|logged| now.since(logged) >= LOG_EVERY) {
            tracing::warn!(
                calls = refusals.unlogged,
                "too many concurrent calls: further ones are refused as OVERLOADED (server.max_calls, server.max_open_streams)"
            );
            *refusals = Refusals {
                unlogged: 0,
                logged_at: Some(now),
            };
        }
    }
}

/// The permit of one call. Dropping it makes room for another call.
#[derive(Debug)]
pub(crate) struct Permit(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

/// A body that holds a permit until it is sent, so that a client that does not read keeps its permit.
#[derive(Debug)]
pub(crate) struct PermitBody<B, P = Permit> {
    body: B,
    _permit: Option<P>,
}

/// An empty body without a permit.
impl<B: Default, P> Default for PermitBody<B, P> {
    fn default() -> Self {
        Self::new(B::default(), None)
    }
}

impl<B, P> PermitBody<B, P> {
    pub(crate) fn new(body: B, permit: Option<P>) -> Self {
        Self { body, _permit: permit }
    }
}

impl<B: Body + Unpin, P: Unpin> Body for PermitBody<B, P> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
