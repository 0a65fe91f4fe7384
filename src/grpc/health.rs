//! Health, as `grpc.health.v1` tells it.

use tonic::server::NamedService;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use crate::{
    probe::{Readiness, ReadinessState},
    proto::v1::{
        audit_service_server::AuditServiceServer, share_permission_service_server::SharePermissionServiceServer,
    },
};

use super::{audit::AuditApi, service::ShareService};

/// The name under which a probe asks whether the process lives, whatever the store does. It is always SERVING.
pub const LIVENESS: &str = "liveness";

/// The name under which a probe asks whether calls are taken.
pub const READINESS: &str = "readiness";

/// The server as a whole, its readiness by name, and the services that callers use. All depend on the store.
const READY: [&str; 4] = [
    "",
    READINESS,
    <SharePermissionServiceServer<ShareService> as NamedService>::NAME,
    <AuditServiceServer<AuditApi> as NamedService>::NAME,
];

/// A question is a name.
const LARGEST_QUESTION: usize = 1024;

/// What the health service tells. Cheap to clone; clones tell the same.
#[derive(Debug, Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// Not serving, until it is told otherwise.
    pub async fn new() -> Self {
        let health = Self(HealthReporter::new());
        health.set(ServingStatus::NotServing).await;
        health.0.set_service_status(LIVENESS, ServingStatus::Serving).await;
        health
    }

    /// Tells what the service is ready for. When it stops, it is not serving, at once and for good; then this returns: begin to
    /// drain after that.
    pub async fn follow(self, readiness: Readiness) {
        let mut states = readiness.follow();
        loop {
            let state = *states.borrow_and_update();
            if state == ReadinessState::Stopping {
                break;
            }
            self.set(match state.is_ready() {
                true => ServingStatus::Serving,
                false => ServingStatus::NotServing,
            })
            .await;
            // The sender lives as long as `readiness`.
            if states.changed().await.is_err() {
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
        for name in READY.into_iter().chain([LIVENESS]) {
            reporter.clear_service_status(name).await;
        }
        self.set(ServingStatus::NotServing).await;
        reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
    }

    async fn set(&self, status: ServingStatus) {
        for name in READY {
            self.0.set_service_status(name, status).await;
        }
    }

    /// The same service for another port, where probes ask that cannot go through TLS.
    pub fn router(&self) -> axum::Router {
        let service = self.service().max_decoding_message_size(LARGEST_QUESTION);
        axum::Router::new().route_service("/grpc.health.v1.Health/{method}", service)
    }

    /// The service that tells it.
    pub(super) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.0.clone()))
    }
}
