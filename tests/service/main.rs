//! The service end to end: gRPC in front, real Postgres and the simulator behind, all on real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

#[path = "../support/mod.rs"]
mod support;

mod failures;
mod grants;
mod ledger;
mod processes;
mod reads;
mod stack;
mod throughput;
