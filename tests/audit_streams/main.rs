//! Following, exporting and proving, end to end: gRPC in front, real Postgres and the simulator behind, on real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

#[path = "../service/stack.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod stack;
#[path = "../support/mod.rs"]
mod support;

mod audit;
mod auditor;
mod checkpoints;
mod export;
mod proofs;
mod tampering;
mod watch;
mod watch_replicas;
