//! Workers that run on one replica at a time: on the replica that holds the lease in the worker's row of `worker_lease`.
//!
//! The lease only saves work. It is no lock: a round must be correct when two replicas run it (see
//! [`super::summaries`]). The lease is on the database's clock. The replica counts it from a time before the statement
//! that took it. A round is dropped one statement timeout before the lease ends, so that none of its statements
//! outlives the lease.

use std::time::Duration;

use crate::{
    clock::Clock,
    domain::ReplicaId,
    store::{
        connection::{BUILD, Database},
        error::StoreError,
    },
    worker::{NextRound, Trigger, Worker},
};

/// A worker that runs on one replica at a time. It needs a row in `worker_lease` with its name.
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
    /// The worker on the replica `owner`.
    pub fn new(worker: W, database: Database, clock: Clock, owner: ReplicaId) -> Self {
        Self {
            worker,
            database,
            clock,
            owner,
            epoch: None,
        }
    }

    /// Takes or renews the lease. False while another replica holds it, while a transaction locks the row, or if the schema
    /// does not admit this build.
    /// A missing row is an error: otherwise no replica would run the worker, and nobody would notice.
    async fn take(&mut self, lease: Duration) -> Result<bool, StoreError> {
        let query = sqlx::query!(
            r#"WITH taken AS (UPDATE worker_lease SET owner = $2, epoch = epoch + (owner IS DISTINCT FROM $2)::integer,
                 expires_at = statement_timestamp() + make_interval(secs => $3)
             WHERE worker = (
                 SELECT worker FROM worker_lease
                 WHERE worker = $1 AND (owner = $2 OR expires_at <= statement_timestamp())
                   AND (SELECT oldest_build FROM build_admission) <= $4 FOR UPDATE SKIP LOCKED)
             RETURNING epoch)
             SELECT (SELECT epoch FROM taken) AS epoch, EXISTS (SELECT FROM worker_lease WHERE worker = $1) AS "exists!""#,
            W::NAME,
            self.owner.0,
            lease.as_secs_f64(),
            *BUILD,
        );
        let found = self.database.run(async |conn| query.fetch_one(conn).await).await?;
        if !found.exists {
            return Err(StoreError::corrupt("worker_lease", "the row of the worker is missing"));
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

    async fn round(&mut self, trigger: Trigger) -> Result<NextRound, StoreError> {
        // The lease is longer than the interval, so a healthy replica keeps it.
        let statement = self.database.timeout();
        let lease = self.every() + 3 * statement;
        let since = self.clock.monotonic_now();
        if !self.take(lease).await? {
            return Ok(NextRound::Interval);
        }
        let took = self.clock.monotonic_now().since(since);
        tokio::select! {
            biased;
            () = self.clock.sleep((lease - statement).saturating_sub(took)) => Err(StoreError::LeaseEnds),
            done = self.worker.round(trigger) => done,
        }
    }

    async fn woken(&mut self) {
        self.worker.woken().await;
    }
}
