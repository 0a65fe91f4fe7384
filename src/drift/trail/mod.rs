//! CloudTrail: who shared an image past the service, or took a share away.
//!
//! Read in this order. This file is the worker of each replica: it claims accounts and Regions whose next round is due. `lookup`
//! reads pages at the pace that CloudTrail allows. `round` reads all events since the last round, and records those that the
//! service did not make; [`domain::trail`](crate::domain::trail) decides about that. `check` looks the other way: it counts calls
//! of the service that CloudTrail does not have.
//!
//! Events are late by minutes. So each round reads some of the time before it again, and the reading counts as complete only
//! until some minutes before a round.

mod check;
mod lookup;
mod round;

use std::time::Duration;

use tokio::task::JoinSet;

use crate::{
    domain::{AccountId, Region},
    store::{StoreError, drift::trail},
    worker::{NextRound, Trigger, Worker},
};

use super::{DriftParts, reap};
use lookup::LEASE;
use round::Round;

/// How often a replica looks for something to do.
const INTERVAL: Duration = Duration::from_secs(1);

/// The most accounts and Regions that a replica reads at the same time.
const MAX_AT_ONCE: usize = 32;

/// The worker that reads CloudTrail.
pub struct TrailWorker {
    parts: DriftParts,
    endpoints: Vec<(AccountId, Region)>,
    running: JoinSet<Result<(), StoreError>>,
    has_rows: bool,
}

impl TrailWorker {
    /// The worker for all accounts and Regions that are configured.
    pub fn new(parts: DriftParts) -> Self {
        Self {
            endpoints: parts.endpoints(),
            parts,
            running: JoinSet::new(),
            has_rows: false,
        }
    }
}

impl Worker for TrailWorker {
    const NAME: &'static str = "trail";
    const FAILURE: &'static str = "cannot compare CloudTrail with the ledger";
    type Error = StoreError;

    fn every(&self) -> Duration {
        INTERVAL
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, StoreError> {
        reap(&mut self.running)?;
        if !self.has_rows {
            self.has_rows = trail::ensure(&self.parts.database, &self.endpoints).await?;
        }
        let free = MAX_AT_ONCE.saturating_sub(self.running.len());
        if free > 0 {
            let limit = u32::try_from(free).unwrap_or(u32::MAX);
            let parts = &self.parts;
            let claimed = trail::claim(&parts.database, parts.replica, &self.endpoints, LEASE, limit).await?;
            for trail in claimed {
                self.running.spawn(Round::new(parts.clone(), trail).take());
            }
        }
        Ok(NextRound::Interval)
    }
}
