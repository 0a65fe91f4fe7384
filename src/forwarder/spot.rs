//! What moves a [`Place`]: a task that begins what may begin, woken by new work, by work that ends, and by time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{
    clock::{Clock, Elapsed},
    config::ForwarderConfig,
    domain::{AccountId, Classification, Region},
    store::Leased,
};

use super::{
    Forwarder,
    place::{Next, Place, Turn, TurnedAway},
};

/// One account in one Region.
pub(super) struct Spot {
    pub(super) account: AccountId,
    pub(super) region: Region,
    place: Mutex<Place<Leased>>,
    /// Something may begin.
    moved: Notify,
    /// There may be room for more, or more to look for.
    pub(super) looking: Notify,
}

impl Spot {
    pub(super) fn new((account, region): (AccountId, Region), settings: ForwarderConfig, now: Elapsed) -> Arc<Self> {
        Arc::new(Self {
            account,
            region,
            place: Mutex::new(Place::new(settings, now)),
            moved: Notify::new(),
            looking: Notify::new(),
        })
    }

    pub(super) fn place(&self) -> MutexGuard<'_, Place<Leased>> {
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
    pub(super) async fn serve(self, spot: Arc<Spot>) {
        while !self.0.stop.is_cancelled() {
            let next = spot.place().next(self.0.clock.elapsed());
            let delay = match next {
                Next::Begin(leased, turn) => {
                    let (forwarder, turn) = (self.clone(), TurnTaken::new(&spot, turn, &self.0.clock));
                    self.0
                        .tasks
                        .spawn(async move { forwarder.converge(leased, turn).await });
                    continue;
                }
                Next::TurnAway(leased, why) => {
                    self.spawn_put_off(spot.clone(), leased, why);
                    spot.look_if_wanted();
                    continue;
                }
                Next::Wait(delay) => Some(delay),
                Next::Nothing => None,
            };
            spot.look_if_wanted();
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = spot.moved.notified() => {}
                () = self.0.clock.sleep(delay.unwrap_or_default()), if delay.is_some() => {}
            }
        }
    }
}

/// A turn, until it is dropped.
pub(super) struct TurnTaken {
    spot: Arc<Spot>,
    turn: Turn,
    clock: Clock,
}

impl TurnTaken {
    fn new(spot: &Arc<Spot>, turn: Turn, clock: &Clock) -> Self {
        Self {
            spot: spot.clone(),
            turn,
            clock: clock.clone(),
        }
    }

    pub(super) fn spot(&self) -> &Arc<Spot> {
        &self.spot
    }

    /// May one more call be made?
    pub(super) fn go_on(&self) -> Result<(), TurnedAway> {
        self.spot.place().go_on(self.turn, self.clock.elapsed())
    }

    /// What was begun as one call has come to so many.
    pub(super) fn came_to(&self, calls: u32) {
        self.spot.place().came_to(self.turn, calls);
        self.spot.moved();
    }

    /// A call that was begun at this time has ended so.
    pub(super) fn called(&self, begun: Elapsed, how: Classification) {
        let said = self.spot.place().called(self.turn, begun, self.clock.elapsed(), how);
        if let Some(said) = said {
            let (account, region) = (&self.spot.account, &self.spot.region);
            tracing::warn!(account_id = %account, %region, "{said}");
            self.spot.moved();
        }
    }
}

impl Drop for TurnTaken {
    fn drop(&mut self) {
        self.spot.place().ended(self.turn, self.clock.elapsed());
        self.spot.moved();
    }
}
