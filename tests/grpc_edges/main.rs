//! What the edge of the server does by itself, over real sockets: TLS, tokens, roles, who may call, what cannot be
//! read, panics, gRPC-Web, health and reflection. Behind it stands a service that knows no store.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod around;
mod calls;
mod cors;
mod limits;
mod protocol;
mod roles;
mod server;
mod tls;
mod tokens;
