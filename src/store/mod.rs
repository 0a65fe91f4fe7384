//! Postgres: the only room that knows SQL.
//!
//! [`Database`] is the pool and the one door for transactions; [`trust`] says which of its connections are asked first. The [`committer`] is the only writer: it runs batches of
//! commands, each in one transaction, through the domain's transition. [`reads`] answer questions, [`audit`] those about the
//! history, [`changes`] and [`pending`] those of operators, [`due`] finds work that nobody holds, and [`outcomes`] wakes those who
//! wait for a change to end. [`growth`] tells those who follow ledgers that these have grown, [`released`] those who forward that
//! work was given back; [`hints`] carries all this between replicas. [`tiles`] and [`checkpoints`] are what proofs are made of, [`partitions`]
//! makes room for the history, [`summaries`] keeps the counts, [`archive`] takes months out of it. [`worker_lease`] has one replica at a
//! time run a worker. [`rows`] maps the domain to
//! tables and back; [`load`] reads what a batch has to know, [`save`] writes what it changed.

pub mod archive;
mod at_hand;
pub mod audit;
mod batch;
pub mod changes;
pub mod checkpoints;
pub mod committer;
mod database;
pub mod due;
mod error;
pub mod growth;
pub mod hints;
mod lane;
mod load;
pub mod outcomes;
pub mod partitions;
pub mod pending;
pub mod reads;
pub mod released;
mod rows;
mod save;
mod schema;
pub mod summaries;
pub mod tiles;
mod trust;
mod worker_lease;

pub use committer::{CommitError, Committer, Leased};
pub use database::{Database, Privileges};
pub use error::StoreError;
pub use growth::Growth;
pub use hints::Hints;
pub use outcomes::Outcomes;
pub use released::Released;
pub use worker_lease::OneAcrossReplicas;

/// What must not be logged of the driver: its pool writes the texts of the driver's errors, which can hold values of rows
/// and parts of URLs.
pub const LOG_DIRECTIVES: [&str; 1] = ["sqlx_core::pool=off"];
