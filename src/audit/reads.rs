//! Entries of one ledger, one after the other, a page at a time.

use std::{ops::Deref, sync::Arc};

use crate::{
    domain::AccountId,
    store::{
        Database, LedgerSizes,
        audit::{self, StoredEntry},
    },
};

use super::{AuditEntry, Error};

/// At most so many entries are read at once.
const PAGE: u32 = 256;

/// What is passed on at once has at most so many bytes of text, or is a single entry.
pub(super) const MAX_BATCH_BYTES: usize = 256 * 1024;

/// Entries of one ledger, one after the other; they share what they are read into.
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
    /// Without the entries in front of `index`.
    pub(super) fn from(mut self, index: u64) -> Self {
        let before = self.iter().take_while(|entry| entry.log_index() < index).count();
        self.skipped += before;
        self
    }
}

/// How long the ledgers are: all of them, if none is named.
pub(super) async fn sizes(database: &Database, accounts: &[AccountId]) -> Result<LedgerSizes, Error> {
    Ok(audit::sizes(database, accounts).await?.into_iter().collect())
}

/// The first page of the entries from `start` to before `end`, as they are stored; at least one. They follow each other
/// without a gap.
pub(super) async fn stored_page(
    database: &Database,
    account: AccountId,
    start: u64,
    end: u64,
) -> Result<Vec<StoredEntry<'static>>, Error> {
    let mut entries = audit::range(database, account, start, end, PAGE).await?;
    let in_order = entries
        .iter()
        .zip(start..)
        .take_while(|(entry, index)| entry.log_index == *index);
    let whole = in_order.count();
    entries.truncate(whole);
    if entries.is_empty() {
        return Err(missing(database, account, start).await?);
    }
    Ok(entries)
}

/// The same, checked. An entry that is not what was recorded is told of when it is the first.
pub(super) async fn page(
    database: &Database,
    account: AccountId,
    start: u64,
    end: u64,
) -> Result<Vec<EntryBatch>, Error> {
    let mut checked = Vec::new();
    for stored in stored_page(database, account, start, end).await? {
        match AuditEntry::check(stored) {
            Ok(entry) => checked.push(entry),
            Err(error) if checked.is_empty() => return Err(error),
            // What is in front of it is told first.
            Err(_) => break,
        }
    }
    Ok(batches(checked))
}

/// Why an entry is not in the table: it was archived, or it is gone.
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

/// Cuts entries into batches that are not too large to pass on.
fn batches(entries: Vec<AuditEntry>) -> Vec<EntryBatch> {
    let (mut batches, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
    let whole = |entries: Vec<AuditEntry>| EntryBatch {
        entries: entries.into(),
        skipped: 0,
    };
    for entry in entries {
        if !batch.is_empty() && bytes + entry.text.len() > MAX_BATCH_BYTES {
            batches.push(whole(std::mem::take(&mut batch)));
            bytes = 0;
        }
        bytes += entry.text.len();
        batch.push(entry);
    }
    if !batch.is_empty() {
        batches.push(whole(batch));
    }
    batches
}
