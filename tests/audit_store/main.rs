//! The stored history (tiles, counts, intervals, checkpoints and partitions) and the roles that may change it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod append_only;
mod checkpoints;
mod installation;
mod ledgers;
mod migrations;
mod partitions;
mod recount;
mod roles;
mod roles_sql;
mod store;
mod summaries;
mod views;
mod workers;
