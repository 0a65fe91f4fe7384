//! Maximum concurrent calls and streams. Further ones are refused at once and not queued: a queue would have no bound.
//!
//! An admitted call takes a place after its principal is known. Health and reflection need no credential. Their calls take
//! places of their own connection, so that no client takes the places of another one.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;

use super::{
    holder_limit::{HolderLimit, HolderPermit},
    listener::Peer,
    refusal_log::RefusalLog,
};

/// Maximum concurrent health checks of one connection.
const MAX_CHECKS: usize = 64;

/// Maximum open streams of health and reflection of one connection.
const MAX_OPEN_TO_ALL_STREAMS: usize = 16;

/// Maximum open streams of reflection. Their answers are large.
const MAX_REFLECTIONS: usize = 64;

/// Maximum open streams of reflection of one network.
const MAX_REFLECTIONS_PER_NETWORK: usize = 16;

/// The kinds of limits. A call counts against one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Unary calls of admitted callers.
    Calls,
    /// Server streams of admitted callers. They may stay open for days.
    Streams,
    /// Unary health checks.
    Checks,
    /// Health watches.
    Watches,
    /// Reflection.
    Reflections,
}

/// The places of all calls. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    reflections: HolderLimit<IpAddr>,
    clock: Clock,
    refusals: Arc<Mutex<RefusalLog>>,
}

/// The places of one connection for calls without a credential. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimits {
    checks: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            checks: Arc::new(Semaphore::new(MAX_CHECKS)),
            streams: Arc::new(Semaphore::new(MAX_OPEN_TO_ALL_STREAMS)),
        }
    }
}

/// The limit is reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LimitReached;

impl Limits {
    /// `calls` and `streams` are the maximum numbers at the same time.
    pub(crate) fn new(calls: usize, streams: usize, clock: &Clock) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            calls: semaphore(calls),
            streams: semaphore(streams),
            reflections: HolderLimit::new(MAX_REFLECTIONS, MAX_REFLECTIONS_PER_NETWORK),
            clock: clock.clone(),
            refusals: Arc::default(),
        }
    }

    /// Takes a permit for one call on a connection.
    pub(crate) fn acquire(&self, limit: Limit, peer: &Peer) -> Result<Permit, LimitReached> {
        self.permit(limit, peer).ok_or_else(|| {
            self.note_refusal();
            LimitReached
        })
    }

    fn permit(&self, limit: Limit, peer: &Peer) -> Option<Permit> {
        let of_connection = &peer.connection.limits;
        let semaphore = match limit {
            Limit::Calls => &self.calls,
            Limit::Streams => &self.streams,
            Limit::Checks => &of_connection.checks,
            Limit::Watches | Limit::Reflections => &of_connection.streams,
        };
        Some(Permit {
            _place: semaphore.clone().try_acquire_owned().ok()?,
            _share: match limit {
                Limit::Reflections => Some(self.reflections.take(&peer.connection.network)?),
                _ => None,
            },
        })
    }

    fn note_refusal(&self) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(calls) = refusals.count(self.clock.monotonic_now()) {
            tracing::warn!(
                calls,
                "too many concurrent calls or streams, of all callers (server.max_calls, server.max_open_streams) or of health and reflection: \
                 further ones are refused as OVERLOADED"
            );
        }
    }
}

/// The permit of one call. Dropping it makes room for another call.
#[derive(Debug)]
pub(crate) struct Permit {
    _place: OwnedSemaphorePermit,
    _share: Option<HolderPermit<IpAddr>>,
}

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

#[cfg(test)]
mod tests {
    use crate::edge::listener::connection_for_tests;

    use super::*;

    /// A new connection from this address.
    fn peer(address: &str) -> Peer {
        let address = address.parse().unwrap();
        Peer {
            address,
            certificate: None,
            connection: connection_for_tests(address),
        }
    }

    /// The permits that a connection gets.
    fn take(limits: &Limits, limit: Limit, peer: &Peer) -> Vec<Permit> {
        let permits = (0..1000).map_while(|_| limits.acquire(limit, peer).ok());
        permits.collect()
    }

    #[test]
    fn a_connection_has_places_of_its_own_for_health_and_no_other_one_can_take_them() {
        let limits = Limits::new(1, 1, &Clock::system());
        let (greedy, modest) = (peer("192.0.2.1:1"), peer("192.0.2.1:2"));
        for (limit, places) in [(Limit::Checks, 64), (Limit::Watches, 16)] {
            let taken = take(&limits, limit, &greedy);
            assert_eq!(taken.len(), places, "{limit:?}");
            assert_eq!(take(&limits, limit, &modest).len(), places);
            drop(taken);
            assert_eq!(take(&limits, limit, &greedy).len(), places);
        }
    }

    #[test]
    fn reflection_is_limited_in_total_and_for_each_network() {
        let limits = Limits::new(1, 1, &Clock::system());
        let mut taken = Vec::new();
        for network in 0..5 {
            for port in 1..4 {
                let peer = peer(&format!("192.0.2.{network}:{port}"));
                let permits = take(&limits, Limit::Reflections, &peer);
                assert_eq!(permits.len(), if port == 1 && network < 4 { 16 } else { 0 });
                taken.extend(permits);
            }
        }
        taken.clear();
        assert_eq!(limits.reflections.holders(), 0);
    }
}
