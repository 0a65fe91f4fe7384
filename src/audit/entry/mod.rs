//! A verified entry. A row of the store becomes one only if its text matches its hash and its columns.

use crate::{
    domain::{
        AccountId, Timestamp,
        entry::{RecordedEntry, decode},
    },
    ledger::{Hash, merkle::leaf_hash},
    store::audit::{EntryPosition, StoredEntry},
};

use super::Error;

/// An entry whose text matches its leaf hash.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// The decoded text.
    pub recorded: RecordedEntry,
    /// The canonical JSON, as it was hashed.
    pub text: String,
    /// The hash of `text` as a leaf of the Merkle tree.
    pub leaf_hash: Hash,
}

impl AuditEntry {
    /// Compares the text of a row with its hash, and the other columns with the text. Covers every kind of entry, also unknown
    /// ones.
    ///
    /// # Errors
    /// [`Error::Tampered`].
    pub fn check(stored: StoredEntry<'_>) -> Result<Self, Error> {
        let tampered = Error::Tampered {
            account: stored.account,
            log_index: stored.log_index,
        };
        if leaf_hash(stored.text.as_bytes()) != stored.leaf_hash {
            return Err(tampered);
        }
        let Ok(recorded) = decode(&stored.text) else {
            return Err(tampered);
        };
        let entry = &recorded.entry;
        let has_same_identity = entry.account == stored.account
            && entry.log_index == stored.log_index
            && entry.recorded_at == stored.recorded_at;
        // Filters and dashboards read the columns, so these must agree with the text.
        if !has_same_identity || stored.columns != entry.columns() {
            return Err(tampered);
        }
        Ok(Self {
            recorded,
            text: stored.text.into_owned(),
            leaf_hash: stored.leaf_hash,
        })
    }

    /// The account of the ledger.
    pub fn account(&self) -> AccountId {
        self.recorded.entry.account
    }

    /// When it was recorded, on the clock of the database.
    pub fn recorded_at(&self) -> Timestamp {
        self.recorded.entry.recorded_at
    }

    /// The index in that ledger.
    pub fn log_index(&self) -> u64 {
        self.recorded.entry.log_index
    }

    /// The position in the order of pages.
    pub fn position(&self) -> EntryPosition {
        EntryPosition {
            recorded_at: self.recorded_at(),
            account: self.account(),
            log_index: self.log_index(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
