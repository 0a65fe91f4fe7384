//! Why history was not archived. Each says what to do about it.

use std::{io, path::PathBuf};

use crate::{audit, domain::AccountId, ledger::verify::VerifyError, store::StoreError};

use super::Month;

/// Why history was not archived.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A month is archived when it is over.
    #[error(
        "--before: must be {current}, the current month (UTC), or a month before it: only months that are over are archived"
    )]
    NotOver {
        /// The current month.
        current: Month,
    },
    /// Entries are missing.
    #[error(
        "the ledger of account {account} has {entries} entries from {start_index} to {end_index} (excluded): some are missing, \
         and nothing was archived; `sharewarden audit verify` tells which"
    )]
    Gap {
        /// Whose ledger.
        account: AccountId,
        /// The first entry that should be there: of the month, or the one before it.
        start_index: u64,
        /// One past the last entry that should be there: of the month, or the one after it.
        end_index: u64,
        /// So many are there.
        entries: u64,
    },
    /// The entries cannot be exported.
    #[error("the ledger of account {account} cannot be exported; its month was not archived")]
    Export {
        /// Whose ledger.
        account: AccountId,
        /// Why.
        source: audit::Error,
    },
    /// A file cannot be written or read.
    #[error("{}: nothing of its month was archived", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of another content has the name.
    #[error(
        "{} is there already and holds something else: it was not overwritten, and nothing of its month was archived; \
         archive to another folder",
        file.display()
    )]
    Taken {
        /// Which file.
        file: PathBuf,
    },
    /// What was written does not verify.
    #[error("{} does not verify; nothing of its month was archived", file.display())]
    Wrong {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: VerifyError,
    },
    /// The store did not do what was asked.
    #[error("the store did not do it; archiving needs the rights of the owner of audit_entry")]
    Store(#[from] StoreError),
}
