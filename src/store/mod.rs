//! Postgres: the only room that knows SQL.
//!
//! The rooms inside, from the bottom up; `tests/rooms.rs` holds the direction:
//!
//! - [`error`]: what can go wrong, without the driver's texts.
//! - [`connection`]: the pool, its connection cache, and the schema check. [`Database`] is the one way to a connection.
//! - [`rows`]: the columns of the tables, and the conversion of rows to the domain's types and back.
//! - [`reads`]: queries on permissions and changes: single ones, lists, pending and due work.
//! - [`tree`]: the tiles and the checkpoints that proofs are built from.
//! - [`drift`]: the progress of the comparison of AWS with the ledger, and its findings.
//! - [`policy_sets`]: the texts of policy sets.
//! - [`audit`]: queries on the history.
//! - [`notifications`]: signals within this process and between replicas (`LISTEN`/`NOTIFY`).
//! - [`commit`]: the committer, the only writer of changes. It runs batches of commands through the domain's transition.
//! - [`upkeep`]: partitions, counts, the archive, and workers that run on one replica at a time.

pub mod audit;
mod commit;
mod connection;
pub mod drift;
mod error;
mod notifications;
pub mod policy_sets;
pub mod reads;
mod rows;
mod tree;
mod upkeep;

pub use commit::{Background, CommitError, Committer, Leased};
pub use connection::{Database, Installation, MigrationStep, Privileges, RunningBuild};
pub use error::StoreError;
pub use notifications::{
    Beginnings, LedgerGrowth, LedgerGrowthReceiver, LedgerSizes, Notifications, OutcomeWaiter, Outcomes,
    PeerCheckpoints, Received, ReleasedWork,
};
pub use reads::{changes, due, ends, pending};
pub use tree::{checkpoints, tiles};
pub use upkeep::{OneAcrossReplicas, archive, partitions, summaries};

/// Log targets that stay off. The driver's pool logs the texts of its errors, which can hold values of rows and parts of URLs.
pub const LOG_DIRECTIVES: [&str; 1] = ["sqlx_core::pool=off"];
