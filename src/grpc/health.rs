//! The health service, `grpc.health.v1`.

use tonic::{
    Request, Response, Status,
    metadata::{MetadataMap, MetadataValue},
    server::NamedService,
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, HealthCheckResponse, health_server},
    server::{HealthReporter, HealthService},
};

use crate::{
    probe::{Readiness, ReadinessState},
    proto::{
        health,
        v1::{audit_service_server::AuditServiceServer, share_permission_service_server::SharePermissionServiceServer},
    },
};

use super::{audit::AuditApi, service::ShareService};

/// The service name for liveness probes. Always SERVING, because liveness does not depend on the store.
pub const LIVENESS: &str = "liveness";

/// The service name for readiness probes.
pub const READINESS: &str = "readiness";

/// The names whose status is the readiness: the server as a whole, [`READINESS`], and the services of the API. All depend on the
/// store.
const READY: [&str; 4] = [
    "",
    READINESS,
    <SharePermissionServiceServer<ShareService> as NamedService>::NAME,
    <AuditServiceServer<AuditApi> as NamedService>::NAME,
];

/// Maximum size of a health request, which only has a name.
const MAX_REQUEST_BYTES: usize = 1024;

/// The state of the health service. Clones share all state.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    readiness: Readiness,
}

impl Health {
    /// NOT_SERVING until [`follow`](Self::follow) sees that the service is ready.
    pub async fn new(readiness: Readiness) -> Self {
        let health = Self {
            reporter: HealthReporter::new(),
            readiness,
        };
        health.set(ServingStatus::NotServing).await;
        health
            .reporter
            .set_service_status(LIVENESS, ServingStatus::Serving)
            .await;
        health
    }

    /// Sets the status by the readiness. When the service stops, sets NOT_SERVING for good and returns; start to drain after
    /// that.
    pub async fn follow(self) {
        let mut states = self.readiness.follow();
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
            // The sender lives as long as `self.readiness`.
            if states.changed().await.is_err() {
                break;
            }
        }
        self.set(ServingStatus::NotServing).await;
        self.end_watches().await;
    }

    /// Ends open health watches after they received the status, because an open watch would delay the drain. A new watch gets the
    /// same status.
    async fn end_watches(&self) {
        let mut reporter = self.reporter.clone();
        for name in READY.into_iter().chain([LIVENESS]) {
            reporter.clear_service_status(name).await;
        }
        self.set(ServingStatus::NotServing).await;
        reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
    }

    async fn set(&self, status: ServingStatus) {
        for name in READY {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// The health service as a router for the admin port, for probes that cannot use TLS.
    pub fn router(&self) -> axum::Router {
        let service = self.service().max_decoding_message_size(MAX_REQUEST_BYTES);
        axum::Router::new().route_service("/grpc.health.v1.Health/{method}", service)
    }

    /// The health service for the API port.
    pub(super) fn service(&self) -> health_server::HealthServer<ExplainedHealth> {
        health_server::HealthServer::new(ExplainedHealth {
            statuses: HealthService::from_health_reporter(self.reporter.clone()),
            readiness: self.readiness.clone(),
        })
    }
}

/// The health service. The answer to a check has metadata that explain it: the reason, the build, and the schema with the
/// builds that it admits and that run.
#[derive(Debug)]
pub(super) struct ExplainedHealth {
    statuses: HealthService,
    readiness: Readiness,
}

#[tonic::async_trait]
impl health_server::Health for ExplainedHealth {
    type WatchStream = <HealthService as health_server::Health>::WatchStream;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let mut answer = self.statuses.check(request).await?;
        explain(&self.readiness, answer.metadata_mut());
        Ok(answer)
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.statuses.watch(request).await
    }
}

fn explain(readiness: &Readiness, metadata: &mut MetadataMap) {
    let reason = readiness.state().as_str();
    metadata.insert(health::REASON, MetadataValue::from_static(reason));
    let Some(installation) = readiness.installation() else {
        return;
    };
    metadata.insert(health::BUILD, installation.build.into());
    metadata.insert(health::SCHEMA, installation.schema.into());
    metadata.insert(health::OLDEST_BUILD, installation.oldest_build.into());
    for running in installation.running {
        let value = format!("{}={}", running.build, running.replicas);
        // It consists of digits and a sign.
        if let Ok(value) = value.parse() {
            metadata.append(health::RUNNING, value);
        }
    }
}
