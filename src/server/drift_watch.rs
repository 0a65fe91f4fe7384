//! A worker that counts the open findings of drift, and the age of the comparison with AWS, for gauges.

use std::time::Duration;

use crate::{
    domain::{AccountId, Region},
    store::{Database, StoreError, drift::overview},
    telemetry::{DriftCounts, Instruments},
    worker::{NextRound, Trigger, Worker},
};

const COUNT_INTERVAL: Duration = Duration::from_secs(15);

/// The worker.
pub(super) struct DriftWatch {
    pub(super) database: Database,
    pub(super) instruments: Instruments,
    /// The configured accounts and Regions. The age of others says nothing.
    pub(super) endpoints: Vec<(AccountId, Region)>,
}

impl Worker for DriftWatch {
    const NAME: &'static str = "drift_watch";
    const FAILURE: &'static str = "cannot count the differences between AWS and the ledger";
    type Error = StoreError;

    fn every(&self) -> Duration {
        COUNT_INTERVAL
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, StoreError> {
        let read = overview::read(&self.database, &self.endpoints).await;
        let counts = read.as_ref().ok().map(|overview| DriftCounts {
            findings: [
                ("UNRECORDED_SHARE", overview.unrecorded),
                ("MISSING_SHARE", overview.missing),
            ],
            age: overview.oldest,
            calls_without_event: overview.calls_without_event,
        });
        self.instruments.set_drift(counts);
        read.map(|_| NextRound::Interval)
    }
}
