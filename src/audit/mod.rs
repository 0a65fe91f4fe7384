//! The use cases of the audit API without gRPC: query, follow, export and prove. Only [`confirm`] changes a ledger.
//!
//! [`entry`] compares each entry with its hash before it is returned. [`list`] reads pages of entries and single ones, [`shares`]
//! what was shared at a time, and [`summary`] counts and rankings. [`watch`] follows ledgers; the [`tail`] reads new entries once
//! for all watches. [`export`] copies ledgers. [`proofs`] returns the proofs that the [`tree`] makes, under the checkpoints that
//! the [`signer`] signs with the [`keys`] and remembers as [`known`]. [`confirm`] is the first checkpoint of a ledger that no
//! running process began. [`reads`] has the queries that several of them share.
//!
//! `Audit` is also the name of the gRPC client of this API in `crates/client`. The two are the two ends of one API, and no module
//! uses both.

mod confirm;
mod entry;
mod error;
mod export;
mod keys;
mod known;
mod list;
mod policy_sets;
mod proofs;
mod reads;
mod shares;
mod signer;
mod summary;
mod tail;
mod tree;
mod watch;

use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, store::Database};

pub use confirm::{ConfirmError, Confirmation};
pub use entry::AuditEntry;
pub use error::Error;
pub use export::{Export, ExportRange, ExportedEntry};
pub use keys::CheckpointKeys;
pub use known::KnownCheckpoints;
pub use list::{EntryPage, NextPage};
pub use proofs::{ConsistencyProof, InclusionProof, VerifiedCheckpoint};
pub use reads::EntryBatch;
pub use shares::{PastBasis, PastShare, SharePage};
pub use signer::Signer;
pub use summary::{MAX_COUNTS, Summary, SummaryQuery};
pub use tail::{Follower, Tail};
pub use watch::{Watch, WatchEvent, WatchFrom};

/// The use cases, with the parts of the server that they use.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Holds the ledgers.
    pub database: Database,
    /// The clock of the server.
    pub clock: Clock,
    /// Publishes new entries to the watches.
    pub tail: Tail,
    /// Sign and verify checkpoints.
    pub keys: CheckpointKeys,
    /// The checkpoints that this process knows.
    pub known: KnownCheckpoints,
    /// Cancelled at shutdown, to end watches and exports.
    pub stop: CancellationToken,
}
