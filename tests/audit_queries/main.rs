//! Queries of the history. Each result from Postgres must be equal to that of a simple model in memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod changes;
mod model;
mod pages;
mod plans;
mod shares;
mod store;
mod summaries;
