//! What auditors are promised, end to end: gRPC in front, real Postgres and the simulator behind, all on real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod archive;
mod auditor;
mod browsers;
mod fields;
mod lists;
mod past;
mod summaries;
mod tampering;
