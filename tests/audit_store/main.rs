//! What the store keeps of the history: tiles, counts, intervals, checkpoints and partitions, and who may touch it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod append_only;
mod checkpoints;
mod ledgers;
mod partitions;
mod recount;
mod roles;
mod roles_sql;
mod store;
mod summaries;
mod views;
mod workers;
