//! Following, exporting and proving, end to end: gRPC in front, real Postgres and the simulator behind, on real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod audit;
mod auditor;
mod checkpoints;
mod export;
mod proofs;
mod tampering;
mod watch;
mod watch_replicas;
