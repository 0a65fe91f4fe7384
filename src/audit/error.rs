//! Errors of the audit use cases. They do not depend on gRPC.

use crate::{
    domain::{AccountId, PolicyDigest},
    store::StoreError,
};

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not hold what was recorded.
    #[error("entry {log_index} of the ledger of account {account} does not match what was recorded")]
    Tampered {
        /// The account of the ledger.
        account: AccountId,
        /// The first such entry that was found.
        log_index: u64,
    },
    /// The ledger has no such entry.
    #[error("the ledger of account {account} has {tree_size} entries; there is no entry {log_index}")]
    EntryNotFound {
        /// The account of the ledger.
        account: AccountId,
        /// The index of the entry.
        log_index: u64,
        /// The number of entries.
        tree_size: u64,
    },
    /// The entry was moved into an archive file.
    #[error("entry {log_index} of the ledger of account {account} is archived")]
    EntryArchived {
        /// The account of the ledger.
        account: AccountId,
        /// The index of the entry.
        log_index: u64,
        /// The location of the file, as recorded when it was archived.
        location: String,
        /// The SHA-256 of the file.
        sha256: [u8; 32],
    },
    /// The summary has more counts than a response may hold.
    #[error("the summary has more than {} counts", super::MAX_COUNTS)]
    TooManyCounts,
    /// The account has no ledger, or no checkpoint of this size.
    #[error("account {account} has no such checkpoint")]
    CheckpointNotFound {
        /// The account of the ledger.
        account: AccountId,
        /// The requested size. None if the latest checkpoint was requested.
        tree_size: Option<u64>,
    },
    /// The entries exist, but no checkpoint covers them yet.
    #[error("the latest checkpoint of account {account} covers {tree_size} entries only")]
    NotYetCovered {
        /// The account of the ledger.
        account: AccountId,
        /// The number of covered entries; 0 if no checkpoint was signed yet.
        tree_size: u64,
    },
    /// No signature of a configured witness verifies.
    #[error("no signature of a configured witness verifies")]
    InvalidSignature {
        /// The account of the checkpoint.
        account: AccountId,
    },
    /// The text of the policy set is not kept.
    #[error("the text of the policy set {0} is not kept")]
    PolicySetNotFound(PolicyDigest),
    /// The server is shutting down, which ends every watch and export.
    #[error("the server is shutting down")]
    Stopping,
    /// A query of the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
