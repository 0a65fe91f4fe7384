//! Looks at what is under way and at what is not signed for, for the gauges and for whoever reads the log.

use std::time::Duration;

use crate::{
    store::{self, Database, StoreError},
    telemetry::{Instruments, PendingChanges},
    worker::{NextRound, Trigger, Worker},
};

/// How often to look.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The worker that looks.
pub(super) struct PendingWatch {
    pub(super) database: Database,
    pub(super) instruments: Instruments,
    /// A change that is pending for longer is worth a warning.
    pub(super) warn_after: Duration,
    /// It was warned of one.
    pub(super) overdue: bool,
}

impl Worker for PendingWatch {
    const NAME: &'static str = "pending";
    const FAILURE: &'static str = "cannot look at what is pending and what is not signed for";
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
    /// Warns once when the oldest change has waited for too long, and tells when none does any more.
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
                "a change is pending for too long: `sharewarden changes --pending --oldest-first` tells more"
            );
        }
        if was_overdue && !overdue {
            tracing::info!(pending, in_doubt, "no change is pending for too long any more");
        }
        overdue
    }
}
