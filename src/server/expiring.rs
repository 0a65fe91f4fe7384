//! A worker that counts the shares that end soon, for gauges.

use std::time::Duration;

use crate::{
    store::{Database, StoreError, ends},
    telemetry::{ExpiringCounts, Instruments},
    worker::{NextRound, Trigger, Worker},
};

const COUNT_INTERVAL: Duration = Duration::from_mins(1);

/// The worker.
pub(super) struct ExpiringWatch {
    pub(super) database: Database,
    pub(super) instruments: Instruments,
}

impl Worker for ExpiringWatch {
    const NAME: &'static str = "expiring";
    const FAILURE: &'static str = "cannot count the shares that end soon";
    type Error = StoreError;

    fn every(&self) -> Duration {
        COUNT_INTERVAL
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, StoreError> {
        let counted = ends::expiring(&self.database).await;
        let counts = counted.as_ref().ok().map(|shares| ExpiringCounts {
            within: [
                ("1d", shares.within_1d),
                ("7d", shares.within_7d),
                ("30d", shares.within_30d),
            ],
            overdue_for: shares.overdue_for,
        });
        self.instruments.set_expiring(counts);
        counted.map(|_| NextRound::Interval)
    }
}
