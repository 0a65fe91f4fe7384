//! What moves a [`EndpointDispatcher`]: a task that begins what may begin, woken by new work, by work that ends, and by time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{
    clock::{Clock, MonotonicInstant},
    domain::{AccountId, Classification, Region},
    store::Leased,
};

use super::{
    Forwarder,
    dispatcher::{CallSlot, Dispatch, EndpointDispatcher, PlaceSettings, Rejection},
};

/// One account in one Region.
pub(super) struct Endpoint {
    pub(super) account: AccountId,
    pub(super) region: Region,
    place: Mutex<EndpointDispatcher<Leased>>,
    /// Something may begin.
    moved: Notify,
    /// There may be room for more, or more to look for.
    pub(super) looking: Notify,
}

impl Endpoint {
    pub(super) fn new(
        (account, region): (AccountId, Region),
        settings: PlaceSettings,
        now: MonotonicInstant,
    ) -> Arc<Self> {
        Arc::new(Self {
            account,
            region,
            place: Mutex::new(EndpointDispatcher::new(settings, now)),
            moved: Notify::new(),
            looking: Notify::new(),
        })
    }

    pub(super) fn place(&self) -> MutexGuard<'_, EndpointDispatcher<Leased>> {
        // Every method of a place leaves it whole.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something may begin.
    pub(super) fn moved(&self) {
        self.moved.notify_one();
    }

    /// There may be room to look for what there may be.
    fn look_if_wanted(&self) {
        if self.place().wants_look() {
            self.looking.notify_one();
        }
    }

    /// There may be work that nobody holds.
    pub(super) fn look(&self) {
        self.place().look();
        self.looking.notify_one();
    }
}

impl Forwarder {
    /// Begins what may begin, until stopped. What waits then is left.
    pub(super) async fn serve(self, endpoint: Arc<Endpoint>) {
        while !self.0.stop.is_cancelled() {
            let next = endpoint.place().next(self.0.clock.monotonic_now());
            let delay = match next {
                Dispatch::Begin(leased, turn) => {
                    let (forwarder, turn) = (self.clone(), SlotGuard::new(&endpoint, turn, &self.0.clock));
                    self.0
                        .tasks
                        .spawn(async move { forwarder.converge(leased, turn).await });
                    continue;
                }
                Dispatch::Reject(leased, why) => {
                    self.spawn_put_off(endpoint.clone(), leased, why);
                    endpoint.look_if_wanted();
                    continue;
                }
                Dispatch::Wait(delay) => Some(delay),
                Dispatch::Nothing => None,
            };
            endpoint.look_if_wanted();
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = endpoint.moved.notified() => {}
                () = self.0.clock.sleep(delay.unwrap_or_default()), if delay.is_some() => {}
            }
        }
    }
}

/// A turn, until it is dropped.
pub(super) struct SlotGuard {
    endpoint: Arc<Endpoint>,
    turn: CallSlot,
    clock: Clock,
}

impl SlotGuard {
    fn new(endpoint: &Arc<Endpoint>, turn: CallSlot, clock: &Clock) -> Self {
        Self {
            endpoint: endpoint.clone(),
            turn,
            clock: clock.clone(),
        }
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// May one more call be made?
    pub(super) fn go_on(&self) -> Result<(), Rejection> {
        self.endpoint.place().go_on(self.turn, self.clock.monotonic_now())
    }

    /// What was begun as one call has come to so many.
    pub(super) fn came_to(&self, calls: u32) {
        self.endpoint.place().came_to(self.turn, calls);
        self.endpoint.moved();
    }

    /// A call that was begun at this time has ended so.
    pub(super) fn called(&self, begun: MonotonicInstant, how: Classification) {
        let said = self
            .endpoint
            .place()
            .called(self.turn, begun, self.clock.monotonic_now(), how);
        if let Some(said) = said {
            let (account, region) = (&self.endpoint.account, &self.endpoint.region);
            tracing::warn!(account_id = %account, %region, "{said}");
            self.endpoint.moved();
        }
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        self.endpoint.place().ended(self.turn, self.clock.monotonic_now());
        self.endpoint.moved();
    }
}
