//! The telemetry of a running service: traces and metrics at a collector, `/metrics`, probes, and the log. The tests run
//! the real program with a real Postgres and the simulator.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod admin;
mod collector;
mod health;
mod http;
mod log;
mod metrics;
mod policy;
mod program;
mod readiness;
mod traces;
