//! The use cases of auditors: what the audit API means, apart from gRPC. Nothing here changes a ledger.
//!
//! Whatever is read of a ledger is compared with its hash before it is shown: [`entry`] does that. [`list`] has pages of
//! entries and single ones, [`shares`] what was shared at a moment, [`summary`] counts and rankings. [`watch`] follows
//! ledgers, by what the [`tail`] reads once for all who watch; [`export`] copies them; [`proofs`] answers with what the
//! [`tree`] proves, under the checkpoints that the [`signer`] signs with the [`keys`].

mod entry;
mod error;
mod export;
mod keys;
mod list;
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

pub use entry::AuditEntry;
pub use error::Error;
pub use export::{Export, ExportRange};
pub use keys::CheckpointKeys;
pub use list::{EntryPage, NextPage};
pub use proofs::{ConsistencyProof, InclusionProof, VerifiedCheckpoint};
pub use reads::EntryBatch;
pub use shares::SharePage;
pub use signer::Signer;
pub use summary::{MAX_COUNTS, Summary, SummaryQuery};
pub use tail::{Follower, Tail};
pub use watch::{Watch, WatchEvent, WatchFrom};

/// The use cases, and what they need.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Where the ledgers are.
    pub database: Database,
    /// Tells the time.
    pub clock: Clock,
    /// The end of the ledgers, for those who watch.
    pub tail: Tail,
    /// What checkpoints are signed and verified with.
    pub keys: CheckpointKeys,
    /// Ends what would go on for ever.
    pub stop: CancellationToken,
}
