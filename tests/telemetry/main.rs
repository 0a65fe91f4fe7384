//! What is seen of a running service from outside: traces and metrics at a collector, `/metrics`, probes, and the log. The
//! program itself runs, with real Postgres and the simulator behind it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod admin;
mod collector;
mod health;
mod http;
mod log;
mod metrics;
mod program;
mod readiness;
mod traces;
