//! The places of replicas. Faults ask a place before they hit it, so that one ready replica can be kept out of their reach.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use tokio::{
    sync::{OwnedRwLockWriteGuard, RwLock, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::history::{Build, PolicyReplica};
use crate::proxy::Proxy;

/// Where a replica runs, one process after another, and what may be done to it.
#[derive(Debug)]
pub struct ReplicaPlace {
    pub build: Build,
    /// The way of its processes to Postgres.
    pub proxy: Proxy,
    /// The way of its processes to AWS.
    pub aws: Proxy,
    /// Whether a process should run.
    pub wanted: watch::Sender<bool>,
    /// The channel to its process, if one runs.
    pub channel: watch::Sender<Option<Channel>>,
    pub health: watch::Sender<PolledHealth>,
    /// What its log says about policy sets.
    pub policies: watch::Sender<PolicyReplica>,
    /// A fault holds it for reading. While it is held for writing, no fault hits this place, and its process is not stopped.
    pub shield: Arc<RwLock<()>>,
}

/// The last answer of a replica's health service.
#[derive(Clone, Copy, Debug, Default)]
pub struct PolledHealth {
    /// The number of answers and failures, with this one.
    pub polls: u64,
    pub is_ready: bool,
}

/// All places of a trial.
pub type Fleet = Arc<Vec<ReplicaPlace>>;

/// While it is held, no fault hits this place.
pub type Shield = OwnedRwLockWriteGuard<()>;

/// How long the last fault of a place may take to show in its readiness: a check of Postgres has 2 s and comes every 2 s.
const SETTLE: Duration = Duration::from_secs(5);

/// Maximum time until a place without faults is ready. A process that was just killed has to start first.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

impl ReplicaPlace {
    pub fn new(build: Build, proxy: Proxy, aws: Proxy, wanted: bool) -> Self {
        let policies = PolicyReplica {
            host: aws.address().to_string(),
            events: Vec::new(),
        };
        Self {
            build,
            proxy,
            aws,
            wanted: watch::Sender::new(wanted),
            channel: watch::Sender::new(None),
            health: watch::Sender::default(),
            policies: watch::Sender::new(policies),
            shield: Arc::default(),
        }
    }

    pub fn is_wanted(&self) -> bool {
        *self.wanted.borrow()
    }

    // The value of a watch is locked while it is borrowed, so these return nothing. An error needs a dropped sender.

    /// Waits until a process is wanted here, or is not.
    pub async fn until_wanted(&self, is_wanted: bool) {
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted == is_wanted).await;
    }

    /// Waits until the process is ready.
    pub async fn until_ready(&self) {
        let _ = self.health.subscribe().wait_for(|health| health.is_ready).await;
    }

    /// Waits until no process runs here.
    pub async fn until_gone(&self) {
        let _ = self.channel.subscribe().wait_for(Option::is_none).await;
    }

    pub fn is_ready(&self) -> bool {
        self.health.borrow().is_ready
    }

    /// Waits for the end of the faults of this place and for its readiness. None if it is not wanted, or not ready in time.
    pub async fn shielded(&self) -> Option<Shield> {
        let shield = Arc::clone(&self.shield).write_owned().await;
        if !self.is_wanted() {
            return None;
        }
        self.proxy.clear_commit_faults();
        tokio::time::sleep(SETTLE).await;
        // A poll that is under way can be of a process that was killed before the shield was taken.
        let first = self.health.borrow().polls + 2;
        let mut health = self.health.subscribe();
        let ready = health.wait_for(|health| health.is_ready && health.polls >= first);
        let is_ready = timeout(READY_TIMEOUT, ready).await.is_ok();
        is_ready.then_some(shield)
    }
}

/// Keeps one ready place after another out of the reach of faults, until `stop`. `kept` is true from the first one on.
pub async fn keep_one_ready(fleet: Fleet, mut rng: Rng, kept: watch::Sender<bool>, stop: CancellationToken) {
    let mut current: Option<(usize, Shield)> = None;
    loop {
        let stays = Duration::from_millis(rng.u64(100..4_000));
        tokio::select! {
            next = next(&fleet, current.as_ref().map(|(number, _)| *number), &mut rng) => {
                // The shield of the one before is dropped now.
                current = Some(next);
                kept.send_replace(true);
            }
            () = stop.cancelled() => return,
        }
        let number = current.as_ref().map_or(0, |(number, _)| *number);
        tokio::select! {
            () = tokio::time::sleep(stays) => {}
            () = fleet[number].until_wanted(false) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// The next place to keep ready, with its shield.
async fn next(fleet: &Fleet, current: Option<usize>, rng: &mut Rng) -> (usize, Shield) {
    loop {
        let others = (0..fleet.len()).filter(|number| current != Some(*number));
        let ready: Vec<_> = others
            .filter(|number| fleet[*number].is_wanted() && fleet[*number].is_ready())
            .collect();
        if let Some(number) = rng.choice(ready)
            && let Some(shield) = fleet[number].shielded().await
        {
            return (number, shield);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
