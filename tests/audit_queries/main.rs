//! The questions about the history, asked of Postgres and of a naive model in memory: both must say the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod changes;
mod model;
mod pages;
mod plans;
mod shares;
mod store;
mod summaries;
