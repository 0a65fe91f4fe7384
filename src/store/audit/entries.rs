//! Pages of entries, and single ones.

use crate::{
    domain::{AccountId, Timestamp},
    ledger::Hash,
    store::{Database, StoreError},
};

use super::EntryFilter;

/// In which order entries are listed: by time, then by account and index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The latest first.
    NewestFirst,
    /// The earliest first.
    OldestFirst,
}

/// The place of an entry in the order: a page goes on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryPosition {
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Whose ledger it is in.
    pub account: AccountId,
    /// Its place in that ledger.
    pub log_index: u64,
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Whose ledger it is in.
    pub account: AccountId,
    /// Its place in that ledger.
    pub log_index: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The canonical text.
    pub text: String,
    /// What the tree says that the text hashes to. Not compared with the text here.
    pub leaf_hash: Hash,
}

impl StoredEntry {
    /// Its place in the order.
    pub fn position(&self) -> EntryPosition {
        EntryPosition {
            recorded_at: self.recorded_at,
            account: self.account,
            log_index: self.log_index,
        }
    }
}

/// Reads at most `limit` entries that match, those after `after` only.
///
/// # Errors
/// When Postgres does not answer.
pub async fn entries(
    database: &Database,
    filter: &EntryFilter,
    order: Order,
    after: Option<&EntryPosition>,
    limit: u32,
) -> Result<Vec<StoredEntry>, StoreError> {
    let _ = (database, filter, order, after, limit);
    Ok(Vec::new())
}

/// Reads one entry.
///
/// # Errors
/// When Postgres does not answer.
pub async fn entry(database: &Database, account: AccountId, log_index: u64) -> Result<Option<StoredEntry>, StoreError> {
    let _ = (database, account, log_index);
    Ok(None)
}

/// Reads at most `limit` entries of a ledger, from index `start` to before index `end`, in their order. Archived entries are
/// left out.
///
/// # Errors
/// When Postgres does not answer.
pub async fn range(
    database: &Database,
    account: AccountId,
    start: u64,
    end: u64,
    limit: u32,
) -> Result<Vec<StoredEntry>, StoreError> {
    let _ = (database, account, start, end, limit);
    Ok(Vec::new())
}
