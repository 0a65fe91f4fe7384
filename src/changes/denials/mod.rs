//! The budget of each principal for refusals on record. A refusal within the budget is an entry of its own, `change.denied`.
//! Further ones are counted in memory. A worker records the counts as `change.denials` entries, and so does the shutdown.
//!
//! So a caller that is always refused cannot make a ledger grow at the rate of its calls. The counts of a process that crashes
//! are lost.

mod table;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;

use crate::{
    clock::Clock,
    config::DenialsConfig,
    domain::{AccountId, DenialsBody, Intent, transition::Command},
    store::{CommitError, Committer},
    telemetry::Instruments,
    worker::{NextRound, Trigger, Worker},
};

use table::Table;

/// Maximum counts in the committer's queue. Callers need the rest of the queue.
const QUEUED_AT_ONCE: usize = 64;

/// A count that is to be recorded in the ledger of the account.
type UnrecordedCount = (AccountId, Arc<DenialsBody>);

/// The budgets and counts of all principals, and the worker that records the counts. Clones share them.
#[derive(Debug, Clone)]
pub struct Denials {
    committer: Committer,
    clock: Clock,
    instruments: Instruments,
    summary_every: Duration,
    table: Arc<Mutex<Table>>,
    /// Counts that left the table and are not known to be recorded. One that is committed twice makes two equal bodies, so that
    /// readers recognize it. The lock keeps the worker and the shutdown apart.
    unrecorded: Arc<tokio::sync::Mutex<Vec<UnrecordedCount>>>,
}

impl Denials {
    /// The budgets of this replica, all full.
    pub fn new(settings: &DenialsConfig, committer: &Committer, clock: &Clock, instruments: &Instruments) -> Self {
        Self {
            committer: committer.clone(),
            clock: clock.clone(),
            instruments: instruments.clone(),
            summary_every: settings.summary_every,
            table: Arc::new(Mutex::new(Table::new(settings, clock.monotonic_now()))),
            unrecorded: Arc::default(),
        }
    }

    /// Takes one refusal from the budget of the intent's principal. False if the budget is spent.
    pub(super) fn take(&self, intent: &Intent) -> bool {
        self.table().take(&intent.principal, self.clock.monotonic_now())
    }

    /// Gives back what [`take`](Self::take) took: nothing was recorded, because the request was accepted before.
    pub(super) fn give_back(&self, intent: &Intent) {
        self.table().give_back(&intent.principal);
    }

    /// Counts a refusal over the budget. `rule` is the message of the rule that refused.
    pub(super) fn count(&self, intent: &Intent, rule: &str) {
        self.instruments.denial_counted(intent.action);
        let at = self.clock.now();
        self.table().count(&intent.principal, intent.key.account, rule, at);
    }

    /// Records the counts: one entry for each principal and account.
    ///
    /// # Errors
    /// [`CommitError`] if some counts were not recorded. They are kept for the next call, except those that a ledger refuses.
    pub async fn record(&self) -> Result<(), CommitError> {
        let mut unrecorded = self.unrecorded.lock().await;
        // New counts stay in the table until the older ones are recorded, so that memory is bounded while Postgres is away.
        self.commit(&mut unrecorded).await?;
        *unrecorded = self.table().drain(self.clock.monotonic_now());
        self.commit(&mut unrecorded).await
    }

    /// Commits counts, and removes those that need no further try.
    async fn commit(&self, unrecorded: &mut Vec<UnrecordedCount>) -> Result<(), CommitError> {
        let (mut result, mut left) = (Ok(()), Vec::new());
        for counts in unrecorded.chunks(QUEUED_AT_ONCE) {
            let commits = counts.iter().map(|(account, body)| {
                let command = Command::RecordDenials(*account, body.clone());
                self.committer.commit_with_backpressure(command)
            });
            for (count, answer) in counts.iter().zip(join_all(commits).await) {
                // A ledger that was tampered with, or that rejects the entry, would do so again. The committer has logged it.
                if !matches!(
                    answer,
                    Ok(_) | Err(CommitError::Rejected | CommitError::Tampered { .. })
                ) {
                    left.push(count.clone());
                }
                result = result.and(answer.map(drop));
            }
        }
        *unrecorded = left;
        result
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic cannot leave the table half written.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker for Denials {
    const NAME: &'static str = "denials";
    const FAILURE: &'static str = "cannot record the counted denials";
    const AT_ONCE: bool = false;
    type Error = CommitError;

    fn every(&self) -> Duration {
        self.summary_every
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, CommitError> {
        self.record().await?;
        Ok(NextRound::Interval)
    }
}
