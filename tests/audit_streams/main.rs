//! End-to-end tests of watches, exports and proofs: gRPC clients, a real Postgres and the AWS simulator, all on sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod audit;
mod auditor;
mod checkpoints;
mod export;
mod policy_sets;
mod proofs;
mod rewritten_history;
mod state;
mod tampering;
mod watch;
mod watch_replicas;
mod why;
