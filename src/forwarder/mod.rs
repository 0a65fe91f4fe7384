//! The only caller of mutating AWS operations. It applies changes at AWS, one permission at a time.
//!
//! Read in this order. This file sends leased work to its endpoint. `dispatcher`, with `queue`, `rate_limiter` and `circuit`,
//! decides which change may call AWS next in one account and Region; it is pure. `endpoint` starts the work that the dispatcher
//! chooses. `step` works on one change under one lease: first attempts, retries and recoveries take the same path. `settle`
//! records the outcome. `recovery` claims due changes that have no lease.

mod circuit;
mod decision;
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
    clock::{Clock, MonotonicInstant},
    config::ForwarderConfig,
    domain::{AccountId, Classification, PermissionKey, Region, convergence::RetryPolicy},
    policy::Policy,
    store::{Background, Committer, Database, Leased, ReleasedWork},
    telemetry::{ForwarderLoad, Instruments},
    worker::Supervisor,
    workspaces::WorkSpaces,
};

pub use decision::{decide, decide_for};

use endpoint::Endpoint;
use queue::QueuedItem;
use recovery::Recovery;

impl ForwarderConfig {
    /// No call starts with less than this left of the lease: the timeout of an attempt, plus a margin.
    fn lease_reserve(&self) -> Duration {
        self.attempt_timeout + self.lease_margin
    }

    /// Recovery claims at most the changes that can start within this time: half of the lease time that is left for calls.
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

/// The most due changes that are claimed at the same time, apart from those in doubt. Each is then called and settled, so this is
/// the pace of changes for which no caller waits.
const CLAIMS_AT_ONCE: usize = 16;

/// The parts of the server that the forwarder uses.
pub struct Dependencies {
    /// Finds due changes.
    pub database: Database,
    /// Takes leases and records outcomes.
    pub committer: Committer,
    /// Calls AWS.
    pub workspaces: WorkSpaces,
    /// Decides again directly before each call that grants.
    pub policy: Policy,
    /// Stamps attempts, and measures leases and delays.
    pub clock: Clock,
    /// Tells other replicas that work was given back.
    pub released_work: ReleasedWork,
}

/// The forwarder. Cheap to clone; clones are the same forwarder.
#[derive(Clone)]
pub struct Forwarder(Arc<ForwarderState>);

struct ForwarderState {
    database: Database,
    /// Claims due changes.
    claims: Background,
    committer: Committer,
    workspaces: WorkSpaces,
    policy: Policy,
    clock: Clock,
    released_work: ReleasedWork,
    instruments: Instruments,
    settings: ForwarderConfig,
    endpoints: Mutex<HashMap<(AccountId, Region), Arc<Endpoint>>>,
    stop: CancellationToken,
    /// Cancelled when the caller no longer waits for the rest of the work.
    end: CancellationToken,
    tasks: TaskTracker,
}

impl Forwarder {
    /// A forwarder that stops taking up work when `stop` is cancelled.
    pub fn new(dependencies: Dependencies, settings: ForwarderConfig, stop: CancellationToken) -> Self {
        let inner = Arc::new(ForwarderState {
            instruments: dependencies.database.instruments().clone(),
            database: dependencies.database,
            claims: dependencies.committer.in_background(CLAIMS_AT_ONCE),
            committer: dependencies.committer,
            workspaces: dependencies.workspaces,
            policy: dependencies.policy,
            clock: dependencies.clock,
            released_work: dependencies.released_work,
            settings,
            endpoints: Mutex::default(),
            stop,
            end: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let observed = Arc::downgrade(&inner);
        inner
            .instruments
            .observe_forwarder(move || Some(Self(observed.upgrade()?).totals()));
        Self(inner)
    }

    /// Totals over all endpoints, for the gauges.
    fn totals(&self) -> ForwarderLoad {
        let endpoints: Vec<_> = self.endpoints().values().cloned().collect();
        endpoints.iter().fold(ForwarderLoad::default(), |totals, endpoint| {
            let dispatcher = endpoint.dispatcher();
            ForwarderLoad {
                backlog: totals.backlog + dispatcher.backlog() as u64,
                circuits_open: totals.circuits_open + u64::from(dispatcher.is_circuit_open()),
            }
        })
    }

    /// True while a new change of this permission may be accepted.
    pub fn accepts_changes(&self, key: &PermissionKey) -> bool {
        let endpoints = self.endpoints();
        let endpoint = endpoints.get(&(key.account, key.region.clone()));
        endpoint.is_none_or(|endpoint| endpoint.dispatcher().accepts_changes())
    }

    /// Looks for due changes of an account and Region now, and not only at the next round of recovery.
    pub fn look_for_due(&self, account: AccountId, region: &Region) {
        if !self.0.stop.is_cancelled() && self.0.workspaces.serves(account, region) {
            self.endpoint(account, region).request_scan();
        }
    }

    /// Permits a read of AWS that is not for a change, at a share of the pace that changes leave. Tell the end of the read to
    /// [`end_spare_call`](Self::end_spare_call).
    ///
    /// # Errors
    /// The time after which to ask again.
    pub fn begin_spare_call(&self, account: AccountId, region: &Region) -> Result<MonotonicInstant, Duration> {
        let now = self.0.clock.monotonic_now();
        let endpoint = self.endpoint(account, region);
        endpoint.dispatcher().permit_spare_call(now)?;
        Ok(now)
    }

    /// Records the end of a read that began at `begun`.
    pub fn end_spare_call(
        &self,
        account: AccountId,
        region: &Region,
        begun: MonotonicInstant,
        classification: Classification,
    ) {
        let now = self.0.clock.monotonic_now();
        let endpoint = self.endpoint(account, region);
        endpoint.dispatcher().record_spare_call(begun, now, classification);
    }

    /// Works on received changes, and claims due changes without a lease, until the forwarder is stopped. Then it finishes the
    /// calls in progress, and gives back the rest so that another replica claims it at once. Returns when no work is left.
    /// Dropping the future ends the work that is left.
    pub async fn run(self, mut work: mpsc::UnboundedReceiver<Leased>) {
        let _end = self.0.end.clone().drop_guard();
        let supervisor = Supervisor::new(&self.0.clock, &self.0.instruments, &self.0.stop);
        let recovery = Recovery {
            forwarder: self.clone(),
            unserved: HashSet::new(),
        };
        tokio::join!(self.receive(&mut work), supervisor.run(recovery));
        for endpoint in self.endpoints().values() {
            for leased in endpoint.dispatcher().drain() {
                self.spawn_give_back(leased);
            }
        }
        self.0.committer.stop_claiming().await;
        self.0.tasks.close();
        loop {
            tokio::select! {
                biased;
                // A change that waited behind one that has just been settled.
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
            let for_calls = leased.work.lease_for.saturating_sub(self.0.settings.lease_reserve());
            let begin_by = leased.since.plus(for_calls);
            let item = QueuedItem {
                begin_by,
                reads: leased.work.in_doubt,
                item: leased,
            };
            let now = self.0.clock.monotonic_now();
            let rejected = endpoint.dispatcher().enqueue(now, image, item);
            match rejected {
                Some((leased, rejection)) => self.spawn_defer(endpoint, leased, rejection),
                None => endpoint.wake_dispatch(),
            }
        }
    }

    /// The endpoint of an account in a Region. Its tasks start with its first change.
    fn endpoint(&self, account: AccountId, region: &Region) -> Arc<Endpoint> {
        let mut endpoints = self.endpoints();
        let key = (account, region.clone());
        if let Some(endpoint) = endpoints.get(&key) {
            return endpoint.clone();
        }
        let endpoint = Endpoint::new(key.clone(), self.0.settings, self.0.clock.monotonic_now());
        endpoints.insert(key, endpoint.clone());
        self.0.tasks.spawn(self.clone().run_dispatch(endpoint.clone()));
        self.0.tasks.spawn(self.clone().run_claims(endpoint.clone()));
        endpoint
    }

    fn endpoints(&self) -> MutexGuard<'_, HashMap<(AccountId, Region), Arc<Endpoint>>> {
        // A poisoned lock is safe to use: each holder changes the map in one statement.
        self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
