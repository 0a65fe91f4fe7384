//! Old months go into files, and what they held can still be proven, asked for and gone on from.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests fail so"
)]

#[path = "../../benches/audit_queries/load.rs"]
mod load;
#[path = "../service/stack.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod stack;
#[path = "../support/mod.rs"]
mod support;

mod after;
mod deletion;
mod history;
mod refusals;
