//! The service end to end: gRPC in front, real Postgres and the simulator behind, all on real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

#[path = "../support/mod.rs"]
mod support;

mod callers;
mod changes;
#[path = "../grpc_edges/credentials.rs"]
#[allow(dead_code, reason = "another test uses the rest of it")]
mod credentials;
mod crowd;
mod database_trouble;
mod ending;
mod failures;
mod fairness;
mod gauges;
mod grants;
mod joining;
mod landing;
mod ledger;
mod outage;
mod pending;
mod policy;
mod processes;
mod reads;
mod replays;
mod replicas;
mod roles;
mod secrets;
#[allow(dead_code, reason = "other tests use the rest of it")]
mod stack;
mod throughput;
mod waking;
