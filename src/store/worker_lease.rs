//! Workers that run on one replica at a time: the one that holds the lease in the worker's row of `worker_lease`.
//!
//! The lease saves work and guards nothing: what a round writes must be right when two replicas run it (see [`super::summaries`]).
//! The lease is on the database's clock; the replica counts it from before the statement that took it. A round is dropped when the
//! lease has only as much time left as a statement may take, so that no statement of the round is under way when the lease ends.

use std::time::Duration;

use crate::{
    clock::Clock,
    domain::ReplicaId,
    worker::{NextRound, Trigger, Worker},
};

use super::{Database, StoreError};

/// A worker that runs on one replica at a time. It needs a row in `worker_lease`, with its name.
#[derive(Debug)]
pub struct OneAcrossReplicas<W> {
    worker: W,
    database: Database,
    clock: Clock,
    owner: ReplicaId,
    /// The epoch of the lease that this replica took last.
    epoch: Option<i64>,
}

impl<W: Worker<Error = StoreError>> OneAcrossReplicas<W> {
    /// The worker as `owner` runs it.
    pub fn new(worker: W, database: Database, clock: Clock, owner: ReplicaId) -> Self {
        Self {
            worker,
            database,
            clock,
            owner,
            epoch: None,
        }
    }

    /// Takes the lease, or renews it. False while another replica holds it, and while a transaction locks the row.
    /// A row that is missing is an error: no replica would ever run the worker, and nothing would tell.
    async fn take(&mut self, lease: Duration) -> Result<bool, StoreError> {
        let query = sqlx::query!(
            r#"WITH taken AS (UPDATE worker_lease SET owner = $2, epoch = epoch + (owner IS DISTINCT FROM $2)::integer,
                 expires_at = statement_timestamp() + make_interval(secs => $3)
             WHERE worker = (
                 SELECT worker FROM worker_lease
                 WHERE worker = $1 AND (owner = $2 OR expires_at <= statement_timestamp()) FOR UPDATE SKIP LOCKED)
             RETURNING epoch)
             SELECT (SELECT epoch FROM taken) AS epoch, EXISTS (SELECT FROM worker_lease WHERE worker = $1) AS "exists!""#,
            W::NAME,
            self.owner.0,
            lease.as_secs_f64(),
        );
        let found = self
            .database
            .run(async |connection| query.fetch_one(connection).await)
            .await?;
        if !found.exists {
            return Err(StoreError::corrupt("worker_lease", "there is no row for the worker"));
        }
        let epoch = found.epoch;
        if epoch.is_some() && self.epoch != epoch {
            tracing::info!(worker = W::NAME, epoch, "this replica took the lease of the worker");
            self.epoch = epoch;
        }
        Ok(epoch.is_some())
    }
}

impl<W: Worker<Error = StoreError>> Worker for OneAcrossReplicas<W> {
    const NAME: &'static str = W::NAME;
    const FAILURE: &'static str = W::FAILURE;
    const AT_ONCE: bool = W::AT_ONCE;
    type Error = StoreError;

    fn every(&self) -> Duration {
        self.worker.every()
    }

    async fn round(&mut self, cause: Trigger) -> Result<NextRound, StoreError> {
        // The lease outlasts the interval: a replica that is well keeps it.
        let statement = self.database.patience();
        let lease = self.every() + 3 * statement;
        let since = self.clock.monotonic_now();
        if !self.take(lease).await? {
            return Ok(NextRound::Interval);
        }
        let took = self.clock.monotonic_now().since(since);
        tokio::select! {
            biased;
            () = self.clock.sleep((lease - statement).saturating_sub(took)) => Err(StoreError::LeaseEnds),
            done = self.worker.round(cause) => done,
        }
    }

    async fn woken(&mut self) {
        self.worker.woken().await;
    }
}
