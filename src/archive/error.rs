//! Errors of archiving. Each message says what to do next.

use std::{io, path::PathBuf};

use crate::{audit, domain::AccountId, ledger::verify::VerifyError, store::StoreError};

use super::Month;

/// Why a month was not archived.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `before` is after the current month. Only past months can be archived.
    #[error("--before must be {current}, the current month (UTC), or earlier: only past months can be archived")]
    NotOver {
        /// The current month.
        current: Month,
    },
    /// Entries are missing.
    #[error(
        "the ledger of account {account} has {entries} entries from {start_index} up to {end_index} (exclusive): some are missing. \
         Nothing of the month was archived; `sharewarden audit verify` finds the missing entries"
    )]
    Gap {
        /// The account of the ledger.
        account: AccountId,
        /// The first expected entry: the first one of the month, or the one before it if that is missing.
        start_index: u64,
        /// One past the last expected entry: the last one of the month, or the one after it if that is missing.
        end_index: u64,
        /// The number of entries found.
        entries: u64,
    },
    /// The entries cannot be exported.
    #[error("the ledger of account {account} cannot be exported; its month was not archived")]
    Export {
        /// The account of the ledger.
        account: AccountId,
        /// The cause.
        source: audit::Error,
    },
    /// A file cannot be written or read.
    #[error("cannot read or write {}; nothing of its month was archived", file.display())]
    File {
        /// The path of the file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another file with other content has this path.
    #[error(
        "{} already exists with other content. It was not overwritten, and nothing of its month was archived; archive to another \
         folder",
        file.display()
    )]
    FileExists {
        /// The path of the file.
        file: PathBuf,
    },
    /// The file does not verify after it was written.
    #[error("{} does not verify; nothing of its month was archived", file.display())]
    Invalid {
        /// The path of the file.
        file: PathBuf,
        /// The cause.
        source: VerifyError,
    },
    /// A query of the store failed.
    #[error("a query of the store failed; archiving needs the database role that owns audit_entry")]
    Store(#[from] StoreError),
}
