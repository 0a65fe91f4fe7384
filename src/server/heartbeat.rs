//! A worker that records that this replica runs, and reads where the installation stands.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    domain::ReplicaId,
    probe::Readiness,
    store::{Database, Installation, StoreError},
    telemetry::{Instruments, SchemaUse},
    worker::{NextRound, Trigger, Worker},
};

/// A replica counts as ended after a minute, so some rounds may fail.
const EVERY: Duration = Duration::from_secs(10);

/// The worker.
pub(super) struct Heartbeat {
    pub(super) database: Database,
    pub(super) replica: ReplicaId,
    pub(super) readiness: Readiness,
    pub(super) instruments: Instruments,
}

impl Worker for Heartbeat {
    const NAME: &'static str = "heartbeat";
    const FAILURE: &'static str = "cannot record that this replica runs";
    type Error = StoreError;

    fn every(&self) -> Duration {
        EVERY
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, StoreError> {
        let installation = async {
            self.database.record_replica(self.replica).await?;
            self.database.installation().await
        };
        let installation = installation.await;
        let known = installation.as_ref().ok();
        self.instruments.set_schema_use(known.map(schema_use));
        self.readiness.set_installation(known.cloned());
        installation?;
        Ok(NextRound::Interval)
    }
}

fn schema_use(installation: &Installation) -> SchemaUse {
    let mut replicas = BTreeMap::new();
    for running in &installation.running {
        *replicas.entry(running.build.unsigned_abs()).or_default() += running.replicas;
    }
    SchemaUse {
        schema: installation.schema.unsigned_abs(),
        oldest_build: installation.oldest_build.unsigned_abs(),
        replicas,
    }
}
