//! The admin port: `/healthz`, `/readyz`, `/metrics` and gRPC health.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::State as Shared,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    edge::{
        answers::Answers,
        listener::{HttpListener, ListenerSettings},
    },
    store::Installation,
    telemetry::{Instruments, Metrics},
};

use super::Readiness;

/// The answers of this port are small and quick, so its limits are low. Nobody is authenticated here, so each connection gives
/// way to newer ones, and a probe always gets through.
const LIMITS: ListenerSettings = ListenerSettings {
    max_connections: 64,
    handshake_timeout: Duration::from_secs(5),
    head_timeout: Duration::from_secs(5),
    max_head_bytes: 16 * 1024,
    max_concurrent_streams: 16,
    keepalive_interval: Duration::from_secs(20),
    keepalive_timeout: Duration::from_secs(20),
    unread_timeout: Duration::from_secs(15),
    // Bounds a client that reads its answer too slowly.
    max_age: Some(Duration::from_secs(60)),
};

/// How long requests may continue after the stop.
const GRACE: Duration = Duration::from_secs(1);

/// Serves probes and Prometheus. The port is read-only.
#[derive(Debug, Clone)]
pub struct Admin {
    /// For `/readyz`.
    pub readiness: Readiness,
    /// For `/metrics`.
    pub metrics: Metrics,
    /// For the log.
    pub clock: Clock,
    /// `grpc.health.v1` without TLS, for the gRPC probes of Kubernetes.
    pub health: Router,
}

impl Admin {
    /// Serves `socket` until `stop` is cancelled.
    pub async fn run(self, socket: TcpListener, stop: CancellationToken) {
        let (health, clock) = (self.health.clone(), self.clock.clone());
        let router = Router::new()
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(readiness))
            .route("/metrics", get(metrics))
            .with_state(self)
            .merge(health);
        let listener = HttpListener {
            socket,
            settings: LIMITS,
            tls: None,
            clock,
            // These answers are few and small, so they are not measured.
            answers: Answers::new(0, &Instruments::default()),
        };
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            () = listener.serve(router, stop.clone()) => {}
            // A client that does not read cannot delay the stop.
            () = overdue => {}
        }
    }
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    reason: &'static str,
    message: &'static str,
    /// Unset until the installation was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    installation: Option<Installation>,
    /// What is wrong with the policy. It does not make the service unready.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'static str>,
}

async fn readiness(Shared(admin): Shared<Admin>) -> Response {
    let state = admin.readiness.state();
    let status = match state.is_ready() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = Ready {
        ready: state.is_ready(),
        reason: state.as_str(),
        message: state.explanation(),
        installation: admin.readiness.installation(),
        policy: admin.readiness.policy_note(),
    };
    (status, Json(body)).into_response()
}

async fn metrics(Shared(admin): Shared<Admin>) -> Response {
    match admin.metrics.text() {
        Some(text) => ([(CONTENT_TYPE, Metrics::MEDIA_TYPE)], text).into_response(),
        None => (StatusCode::NOT_FOUND, "metrics are not enabled\n").into_response(),
    }
}
