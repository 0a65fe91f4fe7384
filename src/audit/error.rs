//! Why an auditor's question has no answer. Knows nothing of gRPC.

use crate::{domain::AccountId, store::StoreError};

/// Why an auditor's question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the store holds is not what was recorded.
    #[error("entry {log_index} of the ledger of account {account} is not what was recorded")]
    Tampered {
        /// Whose ledger.
        account: AccountId,
        /// Which entry, the first one found.
        log_index: u64,
    },
    /// The ledger has no such entry.
    #[error("the ledger of account {account} has {tree_size} entries; there is no {log_index}")]
    EntryNotFound {
        /// Whose ledger.
        account: AccountId,
        /// Which entry.
        log_index: u64,
        /// How many it has.
        tree_size: u64,
    },
    /// The entry is in a file.
    #[error("entry {log_index} of the ledger of account {account} is archived")]
    EntryArchived {
        /// Whose ledger.
        account: AccountId,
        /// Which entry.
        log_index: u64,
        /// The file, as it was named when it was written.
        location: String,
        /// The SHA-256 of the file.
        sha256: [u8; 32],
    },
    /// There are more counts than an answer may hold.
    #[error("there are more than {} counts", super::MAX_COUNTS)]
    TooManyCounts,
    /// There is no ledger, or no checkpoint of this size.
    #[error("account {account} has no such checkpoint")]
    CheckpointNotFound {
        /// Whose ledger.
        account: AccountId,
        /// Of which size; none where the latest was asked for.
        tree_size: Option<u64>,
    },
    /// What is asked about is on record, but not under a checkpoint yet.
    #[error("the ledger of account {account} has {tree_size} entries under a checkpoint")]
    NotYetCovered {
        /// Whose ledger.
        account: AccountId,
        /// How many entries are covered; 0 where no checkpoint was signed yet.
        tree_size: u64,
    },
    /// No signature of a configured witness verifies.
    #[error("no signature of a configured witness verifies")]
    InvalidSignature {
        /// Whose checkpoint.
        account: AccountId,
    },
    /// The server stops, and this with it.
    #[error("the server stops")]
    Stopping,
    /// The store did not answer a question.
    #[error(transparent)]
    Store(#[from] StoreError),
}
