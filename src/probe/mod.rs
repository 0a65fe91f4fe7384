//! How others see whether the service is well: the state that all of them are told, and the admin port.
//!
//! [`Readiness`] is that state. One task asks the store and sets it; gRPC health (`grpc/health.rs`), `/readyz` and a gauge tell it.
//! [`Admin`] is the port of `/healthz`, `/readyz` and `/metrics`, apart from the port of the calls: a service whose calls are
//! exhausted can still be asked how it is.

mod admin;
mod readiness;

pub use admin::Admin;
pub use readiness::{Readiness, ReadinessState, WatchSettings};
