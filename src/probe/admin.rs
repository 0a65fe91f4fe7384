//! The admin port: what it answers.

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

use crate::telemetry::Metrics;

use super::{Readiness, connections};

/// Answers probes and Prometheus. It tells, and takes no orders.
#[derive(Debug, Clone)]
pub struct Admin {
    /// What readiness tells.
    pub readiness: Readiness,
    /// What is measured.
    pub metrics: Metrics,
    /// `grpc.health.v1`, for probes that speak gRPC and no TLS: Kubernetes' own.
    pub health: Router,
}

impl Admin {
    /// Answers on `listener` until cancelled.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let health = self.health.clone();
        let router = Router::new()
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(readiness))
            .route("/metrics", get(metrics))
            .with_state(self)
            .merge(health);
        connections::accept(listener, router, stop).await;
    }
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    reason: &'static str,
    message: &'static str,
}

async fn readiness(Shared(admin): Shared<Admin>) -> Response {
    let state = admin.readiness.state();
    let status = match state.is_ready() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let told = Ready {
        ready: state.is_ready(),
        reason: state.as_str(),
        message: state.explanation(),
    };
    (status, Json(told)).into_response()
}

async fn metrics(Shared(admin): Shared<Admin>) -> Response {
    match admin.metrics.text() {
        Some(text) => ([(CONTENT_TYPE, Metrics::MEDIA_TYPE)], text).into_response(),
        None => (StatusCode::NOT_FOUND, "nothing is measured\n").into_response(),
    }
}
