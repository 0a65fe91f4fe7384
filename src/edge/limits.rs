//! How much is under way at once, and what is refused beyond that: at once, so that nothing queues without a bound.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::{Clock, Elapsed};

/// Calls that are answered by a stream, which may stay open for days.
const STREAMS: [&str; 2] = [
    "/sharewarden.v1.AuditService/WatchAuditEntries",
    "/sharewarden.v1.AuditService/ExportAuditEntries",
];

/// Streams that tools and platforms open, beside the service's own calls. One question of health takes no place.
const STREAMS_BESIDE: [&str; 3] = [
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// So many of these at once.
const MOST_BESIDE: usize = 256;

/// Refusals are logged together, once in so long: a line for each would be an overload of its own.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Room for calls and streams. Cheap to clone; clones are the same room.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    beside: Arc<Semaphore>,
    refusals: Arc<Mutex<Refusals>>,
}

/// There is no place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

#[derive(Debug, Default)]
struct Refusals {
    unlogged: u64,
    logged_at: Option<Elapsed>,
}

impl Room {
    pub(crate) fn new(calls: usize, streams: usize) -> Self {
        let semaphore = |places: usize| Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self {
            calls: semaphore(calls),
            streams: semaphore(streams),
            beside: semaphore(MOST_BESIDE),
            refusals: Arc::default(),
        }
    }

    /// A place for a call of ours, if there is one.
    pub(crate) fn enter(&self, path: &str, clock: &Clock) -> Result<Place, Full> {
        let kind = if STREAMS.contains(&path) {
            &self.streams
        } else {
            &self.calls
        };
        self.enter_into(kind, clock)
    }

    /// A place for a call of another service, if it needs one and there is one.
    pub(crate) fn enter_beside(&self, path: &str, clock: &Clock) -> Result<Option<Place>, Full> {
        if !STREAMS_BESIDE.contains(&path) {
            return Ok(None);
        }
        self.enter_into(&self.beside, clock).map(Some)
    }

    fn enter_into(&self, kind: &Arc<Semaphore>, clock: &Clock) -> Result<Place, Full> {
        let place = kind.clone().try_acquire_owned();
        place.map(Place).map_err(|_| {
            self.note_refusal(clock.elapsed());
            Full
        })
    }

    fn note_refusal(&self, now: Elapsed) {
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

/// The place of one call, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

/// An answer that keeps the place of its call until it is sent: who does not read does not make room for more.
#[derive(Debug)]
pub(crate) struct Placed<A, P = Place> {
    answer: A,
    _place: Option<P>,
}

/// An answer without a body, for a call that has no place.
impl<A: Default, P> Default for Placed<A, P> {
    fn default() -> Self {
        Self::new(A::default(), None)
    }
}

impl<A, P> Placed<A, P> {
    pub(crate) fn new(answer: A, place: Option<P>) -> Self {
        Self { answer, _place: place }
    }
}

impl<A: Body + Unpin, P: Unpin> Body for Placed<A, P> {
    type Data = A::Data;
    type Error = A::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<A::Data>, A::Error>>> {
        Pin::new(&mut self.answer).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}
