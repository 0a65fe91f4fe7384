//! The service end to end: gRPC in front, real Postgres and the simulator behind, all on real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

#[path = "../support/mod.rs"]
mod support;

mod callers;
mod changes;
mod crowd;
mod failures;
mod gauges;
mod grants;
mod ledger;
mod outage;
mod processes;
mod reads;
mod replicas;
mod stack;
mod throughput;
mod waking;
