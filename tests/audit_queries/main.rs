//! The questions about the history, asked of Postgres and of a naive model in memory: both must say the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod model;
mod pages;
mod plans;
mod shares;
mod summaries;
mod support_of_these;

#[path = "../support/mod.rs"]
mod support;
