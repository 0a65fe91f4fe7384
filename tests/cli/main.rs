//! The client commands against a scripted service on a real socket: requests, output and exit codes.
//!
//! `service` and `service_audit` are the scripted service. `harness` runs a command line against it. `ledger` makes a real ledger
//! with proofs. `requests` tests what the commands send. The files that begin with `audit` test the commands under `audit`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

mod access;
mod adopt;
mod answers;
mod audit_denials;
mod audit_export;
mod audit_queries;
mod audit_show;
mod audit_summary;
mod audit_unknown;
mod audit_verify;
mod audit_watch;
mod changes;
mod closed_outputs;
mod completions;
mod contexts;
mod drift;
mod empty_variables;
mod errors;
mod follow;
mod harness;
mod jobs;
mod json_errors;
mod keys;
mod ledger;
mod policies;
mod printing;
mod progress;
mod proxies;
mod reference;
mod requests;
mod service;
mod service_audit;
mod shares;
mod tables;
mod terminal;
mod wrong_servers;
