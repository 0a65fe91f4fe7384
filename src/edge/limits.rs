//! How many calls and streams may be under way at once. The next one is refused at once, so that no queue grows without a bound.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::{Clock, MonotonicInstant};

/// Maximum concurrent streams of tools and platforms.
const MAX_AUXILIARY: usize = 256;

/// Refusals are logged together, once in this time: a line for each would be an overload of its own.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The limits that there are. A call counts against one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Calls with one answer.
    Calls,
    /// Calls that are answered by a stream, which may stay open for days.
    Streams,
    /// Streams that tools and platforms open beside the service's own calls.
    Auxiliary,
}

/// All limits. Cheap to clone; clones share them.
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
    /// At most this many calls and streams at once.
    pub(crate) fn new(calls: usize, streams: usize) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            calls: semaphore(calls),
            streams: semaphore(streams),
            auxiliary: semaphore(MAX_AUXILIARY),
            refusals: Arc::default(),
        }
    }

    /// A permit for one more call.
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
                "more calls at once than are taken: refused as OVERLOADED"
            );
            *refusals = Refusals {
                unlogged: 0,
                logged_at: Some(now),
            };
        }
    }
}

/// One call is under way, until this is dropped.
#[derive(Debug)]
pub(crate) struct Permit(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

/// A body that holds a permit until it was sent: a client that does not read makes no room for more calls.
#[derive(Debug)]
pub(crate) struct PermitBody<B, P = Permit> {
    body: B,
    _permit: Option<P>,
}

/// An empty body, for an answer without a permit.
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
