//! Looks at what is under way and at what is not signed for, for the gauges and for whoever reads the log.

use std::{error::Error, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    store::{self, Database},
    telemetry::{Instruments, PendingChanges},
};

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks again and again, until stopped.
pub(super) struct PendingWatch {
    pub(super) database: Database,
    pub(super) clock: Clock,
    pub(super) instruments: Instruments,
    /// A change that is pending for longer is worth a warning.
    pub(super) warn_after: Duration,
}

impl PendingWatch {
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut overdue = false;
        while let Some(changes) = stop.run_until_cancelled(self.look()).await {
            self.instruments.set_pending(changes);
            let Some(unsigned_for) = stop.run_until_cancelled(self.unsigned_for()).await else {
                return;
            };
            self.instruments.set_unsigned_for(unsigned_for);
            if let Some(changes) = changes {
                overdue = self.tell(changes, overdue);
            }
            if stop.run_until_cancelled(self.clock.sleep(LOOK_EVERY)).await.is_none() {
                return;
            }
        }
    }

    async fn look(&self) -> Option<PendingChanges> {
        match store::pending::pending(&self.database).await {
            Ok(pending) => Some(PendingChanges {
                pending: pending.changes,
                in_doubt: pending.in_doubt,
                oldest_age: pending.oldest_age,
            }),
            Err(error) => {
                tracing::debug!(error = &error as &dyn Error, "cannot look at what is pending");
                None
            }
        }
    }

    async fn unsigned_for(&self) -> Option<Duration> {
        match store::checkpoints::unsigned_for(&self.database).await {
            Ok(age) => Some(age),
            Err(error) => {
                tracing::debug!(error = &error as &dyn Error, "cannot look at what is not signed for");
                None
            }
        }
    }

    /// Warns once when the oldest change has waited for too long, and tells when none does any more.
    fn tell(&self, changes: PendingChanges, was_overdue: bool) -> bool {
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
