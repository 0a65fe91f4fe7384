//! The only caller of mutating AWS operations: it makes AWS hold what is desired, one permission at a time.
//!
//! Read in this order: this file (work that commits hand out finds its place), `place` with `queue`, `pace` and `circuit` (pure:
//! who may call AWS next in one account and Region), `endpoint` (what moves a place), `step` (what is done under one lease: the same
//! for a first attempt, a retry and a recovery), `settle` (how it is recorded), `recovery` (claiming work that nobody holds).

mod circuit;
mod dispatcher;
mod endpoint;
mod queue;
mod rate_limiter;
mod recovery;
mod settle;
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
    domain::{AccountId, PermissionKey, Region, convergence::RetryPolicy},
    policy::Policy,
    store::{Committer, Database, Leased, Released},
    telemetry::{Forwarding, Instruments},
    worker::Supervisor,
    workspaces::WorkSpaces,
};

use endpoint::Endpoint;
use queue::QueuedItem;
use recovery::Recovery;

pub use circuit::CircuitSettings;
pub use dispatcher::PlaceSettings;
pub use rate_limiter::PaceSettings;

/// How changes are forwarded.
#[derive(Debug, Clone)]
pub struct ForwarderSettings {
    /// When to try again, and until when.
    pub retry: RetryPolicy,
    /// No call is begun with less than this left of the lease: the time-out of an attempt, and a margin.
    pub lease_reserve: Duration,
    /// After a call AWS is not read back with less than this left of the lease: how long that may take.
    pub read_reserve: Duration,
    /// How each account is called in each Region.
    pub place: PlaceSettings,
    /// How often to look for work that nobody holds.
    pub recover_every: Duration,
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
    pub released: Released,
}

/// The forwarder. Cheap to clone; clones are the same forwarder.
#[derive(Clone)]
pub struct Forwarder(Arc<ForwarderState>);

struct ForwarderState {
    database: Database,
    committer: Committer,
    workspaces: WorkSpaces,
    policy: Policy,
    clock: Clock,
    released: Released,
    instruments: Instruments,
    settings: ForwarderSettings,
    endpoints: Mutex<HashMap<(AccountId, Region), Arc<Endpoint>>>,
    stop: CancellationToken,
    /// Nobody waits for what is left any more.
    end: CancellationToken,
    tasks: TaskTracker,
}

impl Forwarder {
    /// A forwarder that stops taking up work when `stop` is cancelled.
    pub fn new(dependencies: Dependencies, settings: ForwarderSettings, stop: CancellationToken) -> Self {
        let Dependencies {
            database,
            committer,
            workspaces,
            policy,
            clock,
            released,
        } = dependencies;
        let inner = Arc::new(ForwarderState {
            instruments: database.instruments().clone(),
            database,
            committer,
            workspaces,
            policy,
            clock,
            released,
            settings,
            endpoints: Mutex::default(),
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
        let endpoints: Vec<_> = self.endpoints().values().cloned().collect();
        endpoints.iter().fold(Forwarding::default(), |seen, endpoint| {
            let place = endpoint.place();
            Forwarding {
                backlog: seen.backlog + place.backlog() as u64,
                circuits_open: seen.circuits_open + u64::from(place.is_left_alone()),
            }
        })
    }

    /// True while a new change of this permission may be accepted.
    pub fn accepts_changes(&self, key: &PermissionKey) -> bool {
        let endpoints = self.endpoints();
        let endpoint = endpoints.get(&(key.account, key.region.clone()));
        endpoint.is_none_or(|endpoint| endpoint.place().accepts())
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
        for endpoint in self.endpoints().values() {
            for leased in endpoint.place().empty() {
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
            let (endpoint, image) = (self.endpoint(key.account, &key.region), key.image.clone());
            let for_calls = leased.work.lease_for.saturating_sub(self.0.settings.lease_reserve);
            let begin_by = leased.since.plus(for_calls);
            let waiting = QueuedItem {
                begin_by,
                reads: leased.work.in_doubt,
                item: leased,
            };
            let turned_away = endpoint.place().put(self.0.clock.monotonic_now(), image, waiting);
            match turned_away {
                Some((leased, why)) => self.spawn_put_off(endpoint, leased, why),
                None => endpoint.moved(),
            }
        }
    }

    /// Where an account is called in a Region. From its first change on, tasks move it.
    fn endpoint(&self, account: AccountId, region: &Region) -> Arc<Endpoint> {
        let mut endpoints = self.endpoints();
        let key = (account, region.clone());
        if let Some(endpoint) = endpoints.get(&key) {
            return endpoint.clone();
        }
        let endpoint = Endpoint::new(key.clone(), self.0.settings.place, self.0.clock.monotonic_now());
        endpoints.insert(key, endpoint.clone());
        self.0.tasks.spawn(self.clone().serve(endpoint.clone()));
        self.0.tasks.spawn(self.clone().look_after(endpoint.clone()));
        endpoint
    }

    fn endpoints(&self) -> MutexGuard<'_, HashMap<(AccountId, Region), Arc<Endpoint>>> {
        // A map of endpoints is whole between any two statements that hold the lock.
        self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
