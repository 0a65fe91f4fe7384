//! The readiness of the service, and the admin port that shows it.
//!
//! [`Readiness`] is the one state. A worker checks the store and sets it. gRPC health (`grpc/health.rs`), `/readyz` and a gauge
//! show it. [`Admin`] serves `/healthz`, `/readyz` and `/metrics` on a port of its own, so that probes get an answer when the
//! limits of the other port are reached.

mod admin;
mod readiness;

pub use admin::Admin;
pub use readiness::{Readiness, ReadinessState, WatchSettings};
