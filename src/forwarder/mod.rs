//! The only caller of mutating AWS operations: it makes AWS hold what is desired, one permission at a time.
//!
//! Read in this order: this file (work that commits hand out finds its place), `place` with `queue`, `pace` and `circuit` (pure:
//! who may call AWS next in one account and Region), `spot` (what moves a place), `step` (what is done under one lease: the same
//! for a first attempt, a retry and a recovery), `settle` (how it is recorded), `recovery` (claiming work that nobody holds).

mod circuit;
mod pace;
mod place;
mod queue;
mod recovery;
mod settle;
mod spot;
mod step;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::Clock,
    config::ForwarderConfig,
    domain::{AccountId, PermissionKey, Region, convergence::RetryPolicy},
    policy::Policy,
    store::{Committer, Database, Leased, ReleasedWork},
    telemetry::{Forwarding, Instruments},
    worker::Supervisor,
    workspaces::WorkSpaces,
};

use queue::Waiting;
use recovery::Recovery;
use spot::Spot;

impl ForwarderConfig {
    /// No call is begun with less than this left of its lease.
    fn lease_reserve(&self) -> Duration {
        self.attempt_timeout + self.lease_margin
    }

    /// No more is claimed than can be begun in this time: before half of what a lease has for calls is over.
    fn claim_ahead(&self) -> Duration {
        self.lease.saturating_sub(self.lease_reserve()) / 2
    }

    fn retry(&self) -> RetryPolicy {
        RetryPolicy {
            base: self.backoff_base,
            cap: self.backoff_cap,
            give_up_after: self.give_up_after,
        }
    }
}

/// What the forwarder works with.
pub struct Dependencies {
    /// Where due work is found.
    pub database: Database,
    /// Through which leases are taken and outcomes recorded.
    pub committer: Committer,
    /// What calls AWS.
    pub workspaces: WorkSpaces,
    /// Asked directly before a call that grants.
    pub policy: Policy,
    /// The clock.
    pub clock: Clock,
    /// Tells other replicas of work that was given back.
    pub released_work: ReleasedWork,
}

/// The forwarder. Cheap to clone; clones are the same forwarder.
#[derive(Clone)]
pub struct Forwarder(Arc<Inner>);

struct Inner {
    database: Database,
    committer: Committer,
    workspaces: WorkSpaces,
    policy: Policy,
    clock: Clock,
    released_work: ReleasedWork,
    instruments: Instruments,
    settings: ForwarderConfig,
    spots: Mutex<HashMap<(AccountId, Region), Arc<Spot>>>,
    stop: CancellationToken,
    /// Nobody waits for what is left any more.
    end: CancellationToken,
    tasks: TaskTracker,
}

impl Forwarder {
    /// A forwarder that stops taking up work when `stop` is cancelled.
    pub fn new(dependencies: Dependencies, settings: ForwarderConfig, stop: CancellationToken) -> Self {
        let inner = Arc::new(Inner {
            instruments: dependencies.database.instruments().clone(),
            database: dependencies.database,
            committer: dependencies.committer,
            workspaces: dependencies.workspaces,
            policy: dependencies.policy,
            clock: dependencies.clock,
            released_work: dependencies.released_work,
            settings,
            spots: Mutex::default(),
            stop,
            end: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let looked_at = Arc::downgrade(&inner);
        inner
            .instruments
            .look_at_forwarder(move || Some(Self(looked_at.upgrade()?).seen()));
        Self(inner)
    }

    /// What there is to do, in all places.
    fn seen(&self) -> Forwarding {
        let spots: Vec<_> = self.spots().values().cloned().collect();
        spots.iter().fold(Forwarding::default(), |seen, spot| {
            let place = spot.place();
            Forwarding {
                backlog: seen.backlog + place.backlog() as u64,
                circuits_open: seen.circuits_open + u64::from(place.is_left_alone()),
            }
        })
    }

    /// True while a new change of this permission may be accepted.
    pub fn has_room(&self, key: &PermissionKey) -> bool {
        let spots = self.spots();
        let spot = spots.get(&(key.account, key.region.clone()));
        spot.is_none_or(|spot| spot.place().accepts())
    }

    /// Receives work and does it, and recovers work that nobody holds, until stopped. Then what is under way is finished, and
    /// the rest is given back, so that another replica takes it up at once. Returns when nothing is left. Whoever drops it
    /// sooner ends what is left.
    pub async fn run(self, mut work: mpsc::UnboundedReceiver<Leased>) {
        let _end = self.0.end.clone().drop_guard();
        let supervisor = Supervisor::new(&self.0.clock, &self.0.instruments, &self.0.stop);
        let recovery = Recovery {
            forwarder: self.clone(),
            unserved: HashSet::new(),
        };
        tokio::join!(self.receive(&mut work), supervisor.run(recovery));
        for spot in self.spots().values() {
            for leased in spot.place().empty() {
                self.spawn_give_back(leased);
            }
        }
        self.0.committer.stop_claiming().await;
        self.0.tasks.close();
        loop {
            tokio::select! {
                biased;
                // A change that waited behind one that is settled now.
                Some(leased) = work.recv() => self.spawn_give_back(leased),
                () = self.0.tasks.wait() => {
                    if work.is_empty() {
                        return;
                    }
                }
            }
        }
    }

    async fn receive(&self, work: &mut mpsc::UnboundedReceiver<Leased>) {
        while let Some(Some(leased)) = self.0.stop.run_until_cancelled(work.recv()).await {
            let key = &leased.work.change.intent.key;
            let (spot, image) = (self.spot(key.account, &key.region), key.image.clone());
            let for_calls = leased.work.lease_for.saturating_sub(self.0.settings.lease_reserve());
            let begin_by = leased.since.plus(for_calls);
            let waiting = Waiting {
                begin_by,
                reads: leased.work.in_doubt,
                item: leased,
            };
            let turned_away = spot.place().put(self.0.clock.elapsed(), image, waiting);
            match turned_away {
                Some((leased, why)) => self.spawn_put_off(spot, leased, why),
                None => spot.moved(),
            }
        }
    }

    /// Where an account is called in a Region. From its first change on, tasks move it.
    fn spot(&self, account: AccountId, region: &Region) -> Arc<Spot> {
        let mut spots = self.spots();
        let key = (account, region.clone());
        if let Some(spot) = spots.get(&key) {
            return spot.clone();
        }
        let spot = Spot::new(key.clone(), self.0.settings, self.0.clock.elapsed());
        spots.insert(key, spot.clone());
        self.0.tasks.spawn(self.clone().serve(spot.clone()));
        self.0.tasks.spawn(self.clone().look_after(spot.clone()));
        spot
    }

    fn spots(&self) -> MutexGuard<'_, HashMap<(AccountId, Region), Arc<Spot>>> {
        // A map of spots is whole between any two statements that hold the lock.
        self.0.spots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
