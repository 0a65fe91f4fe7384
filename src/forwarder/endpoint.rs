//! One endpoint as the forwarder's tasks share it: an account in a Region, its dispatcher, and the signals that wake its tasks.
//!
//! The dispatch task starts queued work. It wakes for new work, for work that ends, and when the rate limiter allows the next
//! call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{
    clock::{Clock, MonotonicInstant},
    config::ForwarderConfig,
    domain::{AccountId, Classification, Region},
    store::Leased,
};

use super::{
    Forwarder,
    dispatcher::{CallSlot, Dispatch, EndpointDispatcher, Rejection},
};

pub(super) struct Endpoint {
    pub(super) account: AccountId,
    pub(super) region: Region,
    dispatcher: Mutex<EndpointDispatcher<Leased>>,
    /// Wakes the dispatch task: an item may be ready to start.
    dispatch: Notify,
    /// Wakes the claim task: more may be claimed, or a scan was requested.
    pub(super) scan: Notify,
}

impl Endpoint {
    pub(super) fn new(
        (account, region): (AccountId, Region),
        settings: ForwarderConfig,
        now: MonotonicInstant,
    ) -> Arc<Self> {
        Arc::new(Self {
            account,
            region,
            dispatcher: Mutex::new(EndpointDispatcher::new(settings, now)),
            dispatch: Notify::new(),
            scan: Notify::new(),
        })
    }

    pub(super) fn dispatcher(&self) -> MutexGuard<'_, EndpointDispatcher<Leased>> {
        // A poisoned lock is safe to use: no method of the dispatcher leaves it half changed.
        self.dispatcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_dispatch(&self) {
        self.dispatch.notify_one();
    }

    fn wake_requested_scan(&self) {
        if self.dispatcher().is_scan_requested() {
            self.scan.notify_one();
        }
    }

    pub(super) fn request_scan(&self) {
        self.dispatcher().request_scan();
        self.scan.notify_one();
    }
}

impl Forwarder {
    /// Starts queued work until the forwarder stops. Work that is still queued then stays in the queue.
    pub(super) async fn run_dispatch(self, endpoint: Arc<Endpoint>) {
        while !self.0.stop.is_cancelled() {
            let next = endpoint.dispatcher().next(self.0.clock.monotonic_now());
            let delay = match next {
                Dispatch::Begin(leased, slot) => {
                    let (forwarder, slot) = (self.clone(), SlotGuard::new(&endpoint, slot, &self.0.clock));
                    self.0
                        .tasks
                        .spawn(async move { forwarder.converge(leased, slot).await });
                    continue;
                }
                Dispatch::Reject(leased, rejection) => {
                    self.spawn_defer(endpoint.clone(), leased, rejection);
                    endpoint.wake_requested_scan();
                    continue;
                }
                Dispatch::Wait(delay) => Some(delay),
                Dispatch::Nothing => None,
            };
            endpoint.wake_requested_scan();
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = endpoint.dispatch.notified() => {}
                () = self.0.clock.sleep(delay.unwrap_or_default()), if delay.is_some() => {}
            }
        }
    }
}

/// Holds a slot of an endpoint, and releases it when dropped.
pub(super) struct SlotGuard {
    endpoint: Arc<Endpoint>,
    slot: CallSlot,
    clock: Clock,
}

impl SlotGuard {
    fn new(endpoint: &Arc<Endpoint>, slot: CallSlot, clock: &Clock) -> Self {
        Self {
            endpoint: endpoint.clone(),
            slot,
            clock: clock.clone(),
        }
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// See [`EndpointDispatcher::permit_call`].
    pub(super) fn permit_call(&self) -> Result<(), Rejection> {
        let now = self.clock.monotonic_now();
        self.endpoint.dispatcher().permit_call(self.slot, now)
    }

    /// See [`EndpointDispatcher::correct_charge`].
    pub(super) fn correct_charge(&self, calls: u32) {
        self.endpoint.dispatcher().correct_charge(self.slot, calls);
        self.endpoint.wake_dispatch();
    }

    /// See [`EndpointDispatcher::record_call`].
    pub(super) fn record_call(&self, begun: MonotonicInstant, classification: Classification) {
        let now = self.clock.monotonic_now();
        let message = self
            .endpoint
            .dispatcher()
            .record_call(self.slot, begun, now, classification);
        if let Some(message) = message {
            let (account, region) = (&self.endpoint.account, &self.endpoint.region);
            tracing::warn!(account_id = %account, %region, "{message}");
            self.endpoint.wake_dispatch();
        }
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        self.endpoint
            .dispatcher()
            .release(self.slot, self.clock.monotonic_now());
        self.endpoint.wake_dispatch();
    }
}
