//! Health, as `grpc.health.v1` tells it: whether the store answers.

use std::{error::Error as StdError, time::Duration};

use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use crate::{
    clock::Clock,
    proto::v1::{
        audit_service_server::AuditServiceServer, share_permission_service_server::SharePermissionServiceServer,
    },
    store::{Database, StoreError},
};

use super::{audit::AuditApi, service::ShareService};

/// The name under which a probe asks whether the process lives, whatever the store does. It is always SERVING.
pub const LIVENESS: &str = "liveness";

/// The server as a whole, and the services that callers use. All depend on the store.
const READINESS: [&str; 3] = [
    "",
    <SharePermissionServiceServer<ShareService> as NamedService>::NAME,
    <AuditServiceServer<AuditApi> as NamedService>::NAME,
];

/// How the store is watched.
#[derive(Debug, Clone, Copy)]
pub struct HealthSettings {
    /// How often to ask it.
    pub check_every: Duration,
    /// How long it may take to answer.
    pub check_timeout: Duration,
}

/// What the health service tells. Cheap to clone; clones tell the same.
#[derive(Debug, Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// Not serving, until the store was seen to answer.
    pub async fn new() -> Self {
        let health = Self(HealthReporter::new());
        health.set(ServingStatus::NotServing).await;
        health.0.set_service_status(LIVENESS, ServingStatus::Serving).await;
        health
    }

    /// Asks the store again and again. When `stop` is cancelled, it is not serving, at once and for good; then this returns:
    /// begin to drain after that.
    pub async fn watch(self, database: Database, clock: Clock, settings: HealthSettings, stop: CancellationToken) {
        let mut answers = None;
        while let Some(result) = stop.run_until_cancelled(check(&database, settings.check_timeout)).await {
            self.tell(result, &mut answers).await;
            if stop
                .run_until_cancelled(clock.sleep(settings.check_every))
                .await
                .is_none()
            {
                break;
            }
        }
        self.set(ServingStatus::NotServing).await;
        self.end_watches().await;
    }

    /// Ends the streams of those who watch, after they were told: one that never ends would hold up the drain. Who asks
    /// again is told the same.
    async fn end_watches(&self) {
        let mut reporter = self.0.clone();
        for name in READINESS.into_iter().chain([LIVENESS]) {
            reporter.clear_service_status(name).await;
        }
        self.set(ServingStatus::NotServing).await;
        reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
    }

    /// Tells, and logs when it has changed.
    async fn tell(&self, result: Result<(), StoreError>, answers: &mut Option<bool>) {
        let changed = answers.replace(result.is_ok()) != Some(result.is_ok());
        match result {
            Ok(()) => {
                self.set(ServingStatus::Serving).await;
                if changed {
                    tracing::info!("serving: the audit store answers");
                }
            }
            Err(error) => {
                self.set(ServingStatus::NotServing).await;
                if changed {
                    let error = &error as &dyn StdError;
                    tracing::error!(error, "not serving: the audit store does not answer as it should");
                }
            }
        }
    }

    async fn set(&self, status: ServingStatus) {
        for name in READINESS {
            self.0.set_service_status(name, status).await;
        }
    }

    /// The service that tells it.
    pub(super) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.0.clone()))
    }
}

async fn check(database: &Database, timeout: Duration) -> Result<(), StoreError> {
    match tokio::time::timeout(timeout, database.check()).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Timeout(timeout)),
    }
}
