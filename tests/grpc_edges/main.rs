//! The edge of the server over real sockets: TLS, tokens, roles, limits, unreadable messages, panics, gRPC-Web, health
//! and reflection. The service behind it has no store.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod calls;
mod cors;
mod health_and_reflection;
mod limits;
mod protocol;
mod roles;
mod server;
mod tls;
mod tokens;
