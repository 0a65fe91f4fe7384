//! Drift: compares what AWS holds with what the ledger says.
//!
//! Read in this order. This file is the worker of each replica: it claims accounts and Regions that have something to do. `scan`
//! takes the next steps of one of them, under a lease: it begins a scan, looks at images, and ends the scan. `look` reads one
//! image from AWS, and submits what it saw twice. `compare` decides what a look means; it is pure. `pace` reads AWS at the pace
//! that grants and revokes leave. `queries` answers callers. Two workers of their own: `revoke` revokes unrecorded shares where
//! an operator wants that, and `trail` reads who made calls past the service.
//!
//! A scan that failed, or an image whose pages were not all read, proves nothing. The committer decides again about everything
//! that is submitted ([`transition`](crate::domain::transition)).

mod compare;
mod look;
mod pace;
mod queries;
mod revoke;
mod scan;
mod trail;

use std::{collections::BTreeSet, time::Duration};

use tokio::task::JoinSet;

use crate::{
    clock::Clock,
    config::DriftConfig,
    domain::{AccountId, Region, ReplicaId},
    forwarder::Forwarder,
    store::{Background, Database, StoreError, drift::scans},
    worker::{NextRound, Trigger, Worker},
    workspaces::WorkSpaces,
};

pub use queries::{BaselineChange, DriftError, DriftQueries, FindingPage};
pub use revoke::{DriftRevokeError, DriftRevokes, KnownSize};
use scan::{LEASE, Steps};
pub use trail::TrailWorker;

/// How often a replica looks for something to do.
const INTERVAL: Duration = Duration::from_secs(1);

/// The most accounts and Regions that a replica compares at the same time.
const MAX_AT_ONCE: usize = 32;

/// How often a replica looks for accounts and Regions that are not configured any more, in rounds.
const ROUNDS_TO_UNSERVED: u32 = 300;

/// The parts of the server that the comparison uses.
#[derive(Clone)]
pub struct DriftParts {
    /// Has the progress, and what is known of images.
    pub database: Database,
    /// Records findings, and revokes unrecorded shares.
    pub commits: Background,
    /// Reads AWS.
    pub workspaces: WorkSpaces,
    /// Tells when AWS may be read.
    pub forwarder: Forwarder,
    /// Makes ids, and measures delays.
    pub clock: Clock,
    /// The replica that takes the leases.
    pub replica: ReplicaId,
    /// The interval, and the delay between two looks. The delay is not shorter than the time in which a call may take effect.
    pub settings: DriftConfig,
}

impl DriftParts {
    /// The accounts and Regions that are configured, each once.
    fn endpoints(&self) -> Vec<(AccountId, Region)> {
        let endpoints = self.workspaces.endpoints();
        let endpoints: BTreeSet<_> = endpoints.map(|(account, region)| (account, region.clone())).collect();
        endpoints.into_iter().collect()
    }
}

/// The worker that compares AWS with the ledger.
pub struct DriftWorker {
    parts: DriftParts,
    endpoints: Vec<(AccountId, Region)>,
    running: JoinSet<Result<(), StoreError>>,
    has_rows: bool,
    rounds: u32,
}

impl DriftWorker {
    /// The worker for all accounts and Regions that are configured.
    pub fn new(parts: DriftParts) -> Self {
        Self {
            endpoints: parts.endpoints(),
            parts,
            running: JoinSet::new(),
            has_rows: false,
            rounds: 0,
        }
    }

    async fn note_unserved(&self) -> Result<(), StoreError> {
        let interval = self.parts.settings.interval;
        for (account, region) in scans::note_unserved(&self.parts.database, &self.endpoints, interval).await? {
            tracing::warn!(
                account_id = %account, %region,
                "AWS is not compared with the ledger any more: no replica has this account and Region in its configuration"
            );
        }
        Ok(())
    }
}

impl Worker for DriftWorker {
    const NAME: &'static str = "drift";
    const FAILURE: &'static str = "cannot compare AWS with the ledger";
    type Error = StoreError;

    fn every(&self) -> Duration {
        INTERVAL
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, StoreError> {
        reap(&mut self.running)?;
        if !self.has_rows {
            self.has_rows = scans::ensure(&self.parts.database, &self.endpoints).await?;
        }
        if self.rounds.is_multiple_of(ROUNDS_TO_UNSERVED) {
            self.note_unserved().await?;
        }
        self.rounds = self.rounds.wrapping_add(1);
        let free = MAX_AT_ONCE.saturating_sub(self.running.len());
        if free > 0 {
            let limit = u32::try_from(free).unwrap_or(u32::MAX);
            let parts = &self.parts;
            let claimed = scans::claim(&parts.database, parts.replica, &self.endpoints, LEASE, limit).await?;
            for scan in claimed {
                let steps = Steps::new(parts.clone(), scan);
                self.running.spawn(steps.take());
            }
        }
        Ok(NextRound::Interval)
    }
}

/// The result of the tasks that have ended. A failure of any of them is one of the round.
fn reap(running: &mut JoinSet<Result<(), StoreError>>) -> Result<(), StoreError> {
    let mut result = Ok(());
    while let Some(ended) = running.try_join_next() {
        match ended {
            Ok(ended) => result = result.and(ended),
            // A panic of a task is one of the worker.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    result
}
