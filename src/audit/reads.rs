//! Queries that several use cases share: sizes of ledgers, and consecutive entries of one ledger in pages.

use std::{ops::Deref, sync::Arc};

use crate::{
    domain::AccountId,
    store::{
        Database, LedgerSizes,
        audit::{self, StoredEntry},
    },
};

use super::{AuditEntry, Error};

/// Maximum entries read by one query.
const PAGE_SIZE: u32 = 256;

/// Maximum bytes of text in a page, unless it is a single entry.
pub(super) const MAX_PAGE_BYTES: usize = 256 * 1024;

/// Consecutive entries of one ledger. Clones share the entries.
#[derive(Debug, Clone)]
pub struct EntryBatch {
    entries: Arc<[AuditEntry]>,
    skipped: usize,
}

impl Deref for EntryBatch {
    type Target = [AuditEntry];

    fn deref(&self) -> &[AuditEntry] {
        &self.entries[self.skipped..]
    }
}

impl EntryBatch {
    /// The same batch without the entries before `index`.
    pub(super) fn starting_at(mut self, index: u64) -> Self {
        let before = self.iter().take_while(|entry| entry.log_index() < index).count();
        self.skipped += before;
        self
    }
}

/// The sizes of these ledgers, or of all ledgers if `accounts` is empty.
pub(super) async fn sizes(database: &Database, accounts: &[AccountId]) -> Result<LedgerSizes, Error> {
    Ok(audit::sizes(database, accounts).await?.into_iter().collect())
}

/// The first page of the entries from `start` up to `end`, exclusive, as they are stored. At least one entry, without a gap.
pub(super) async fn stored_page(
    database: &Database,
    account: AccountId,
    start: u64,
    end: u64,
) -> Result<Vec<StoredEntry<'static>>, Error> {
    let mut entries = audit::range(database, account, start, end, PAGE_SIZE, MAX_PAGE_BYTES).await?;
    let in_order = entries
        .iter()
        .zip(start..)
        .take_while(|(entry, index)| entry.log_index == *index);
    let count = in_order.count();
    entries.truncate(count);
    if entries.is_empty() {
        return Err(missing(database, account, start).await?);
    }
    Ok(entries)
}

/// The same page, verified. It ends before an entry that does not verify; if that is the first entry, it is an error.
pub(super) async fn page(database: &Database, account: AccountId, start: u64, end: u64) -> Result<EntryBatch, Error> {
    let mut checked = Vec::new();
    for stored in stored_page(database, account, start, end).await? {
        match AuditEntry::check(stored) {
            Ok(entry) => checked.push(entry),
            Err(error) if checked.is_empty() => return Err(error),
            // The entries before it are returned first. The next page then fails.
            Err(_) => break,
        }
    }
    Ok(EntryBatch {
        entries: checked.into(),
        skipped: 0,
    })
}

/// The error for an entry that is not in the table: it was archived, or it was deleted.
pub(super) async fn missing(database: &Database, account: AccountId, log_index: u64) -> Result<Error, Error> {
    Ok(match audit::archived_at(database, account, log_index).await? {
        Some(archived) => Error::EntryArchived {
            account,
            log_index,
            location: archived.location,
            sha256: archived.sha256,
        },
        None => Error::Tampered { account, log_index },
    })
}
