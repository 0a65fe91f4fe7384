//! Periodic work on the tables, and the archive command.

pub mod archive;
pub mod partitions;
pub mod summaries;
mod worker_lease;

pub use worker_lease::OneAcrossReplicas;
