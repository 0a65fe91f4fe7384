//! The client commands against a scripted service on a real socket: what they send, print, and exit with.
//!
//! `service` is the scripted service, `harness` runs a command line against it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod answers;
mod asking;
mod errors;
mod follow;
mod harness;
mod printing;
mod service;
