//! The service end to end: gRPC in front, real Postgres and the simulator behind, all on real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod callers;
mod changes;
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
mod policy;
mod processes;
mod reads;
mod replays;
mod replicas;
mod roles;
mod secrets;
mod throughput;
mod waking;
