//! A worker that reads the pending changes and the unsigned checkpoints, for gauges and a warning in the log.

use std::time::Duration;

use crate::{
    store::{self, Database, StoreError},
    telemetry::{Instruments, PendingChanges},
    worker::{NextRound, Trigger, Worker},
};

const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The worker.
pub(super) struct PendingWatch {
    pub(super) database: Database,
    pub(super) instruments: Instruments,
    /// The log warns if the oldest pending change is older than this.
    pub(super) warn_after: Duration,
    /// True after a warning, until no change is overdue.
    pub(super) overdue: bool,
}

impl Worker for PendingWatch {
    const NAME: &'static str = "pending";
    const FAILURE: &'static str = "cannot read the pending changes and unsigned checkpoints";
    type Error = StoreError;

    fn every(&self) -> Duration {
        CHECK_INTERVAL
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, StoreError> {
        let pending = store::pending::pending(&self.database).await;
        let pending = pending.map(|pending| PendingChanges {
            pending: pending.changes,
            in_doubt: pending.in_doubt,
            oldest_age: pending.oldest_age,
        });
        self.instruments.set_pending(pending.as_ref().ok().copied());
        let unsigned_for = store::checkpoints::unsigned_for(&self.database).await;
        self.instruments.set_unsigned_for(unsigned_for.as_ref().ok().copied());
        self.overdue = self.report_overdue(pending?, self.overdue);
        unsigned_for?;
        Ok(NextRound::Interval)
    }
}

impl PendingWatch {
    /// Warns once when a change becomes overdue, and logs when none is overdue any more. Returns whether one is.
    fn report_overdue(&self, changes: PendingChanges, was_overdue: bool) -> bool {
        let PendingChanges {
            pending,
            in_doubt,
            oldest_age,
        } = changes;
        let overdue = oldest_age > self.warn_after;
        if overdue && !was_overdue {
            let seconds = oldest_age.as_secs();
            tracing::warn!(
                pending,
                in_doubt,
                seconds,
                "a change has been pending for too long: see `sharewarden change list --pending --oldest-first`"
            );
        }
        if was_overdue && !overdue {
            tracing::info!(pending, in_doubt, "no change is overdue any more");
        }
        overdue
    }
}
