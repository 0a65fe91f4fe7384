//! The client commands against a scripted service on a real socket: what they send, print, and exit with.
//!
//! `service` and `service_audit` are the scripted service, `harness` runs a command line against it, `ledger` makes a real ledger
//! with its proofs. The commands of the audit history are tested in the files that begin with `audit`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod answers;
mod asking;
mod audit_export;
mod audit_queries;
mod audit_show;
mod audit_summary;
mod audit_unknown;
mod audit_verify;
mod audit_watch;
mod changes;
mod errors;
mod follow;
mod harness;
mod keys;
mod ledger;
mod printing;
mod service;
mod service_audit;
