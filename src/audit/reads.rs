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

/// The first page of the entries from `start` up to `end`, exclusive, each mapped by `make`. At least one entry, without a gap.
pub(super) async fn mapped_page<T: Send>(
    database: &Database,
    account: AccountId,
    start: u64,
    end: u64,
    mut make: impl FnMut(StoredEntry<'_>) -> T + Send,
) -> Result<Vec<T>, Error> {
    let indexed = |stored: StoredEntry<'_>| (stored.log_index, make(stored));
    let entries = audit::range(database, account, start, end, PAGE_SIZE, MAX_PAGE_BYTES, indexed).await?;
    let in_order = entries.into_iter().zip(start..);
    let in_order = in_order.take_while(|((log_index, _), index)| log_index == index);
    let page: Vec<_> = in_order.map(|((_, entry), _)| entry).collect();
    match page.is_empty() {
        true => Err(missing(database, account, start).await?),
        false => Ok(page),
    }
}

/// The same page, verified. It ends before an entry that does not verify; if that is the first entry, it is an error.
pub(super) async fn page(database: &Database, account: AccountId, start: u64, end: u64) -> Result<EntryBatch, Error> {
    let mut checked = Vec::new();
    for entry in mapped_page(database, account, start, end, AuditEntry::check).await? {
        match entry {
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
