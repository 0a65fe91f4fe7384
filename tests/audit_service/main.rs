//! End-to-end tests of the queries for auditors: gRPC clients, a real Postgres and the AWS simulator, all on sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod archive;
mod auditor;
mod browsers;
mod fields;
mod lists;
mod past;
mod summaries;
mod tampering;
