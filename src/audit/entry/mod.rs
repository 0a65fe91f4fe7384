//! Entries as they were recorded. A row of the store becomes one only if it is what its hash says.

use crate::{
    domain::{
        AccountId, Timestamp,
        entry::{RecordedEntry, decode},
    },
    ledger::{Hash, merkle::leaf_hash},
    store::audit::{EntryPosition, StoredEntry},
};

use super::Error;

/// An entry whose text is what the tree has a hash of.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// What it says.
    pub recorded: RecordedEntry,
    /// The canonical text, which is hashed.
    pub text: String,
    /// Its hash.
    pub leaf_hash: Hash,
}

impl AuditEntry {
    /// Compares a row's text with its hash, and the rest of the row with what the text says, whatever its kind.
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
        let is_in_its_place = entry.account == stored.account
            && entry.log_index == stored.log_index
            && entry.recorded_at == stored.recorded_at;
        // Filters and dashboards look at the columns: they must say the same.
        if !is_in_its_place || stored.columns != entry.columns() {
            return Err(tampered);
        }
        Ok(Self {
            recorded,
            text: stored.text.into_owned(),
            leaf_hash: stored.leaf_hash,
        })
    }

    /// Whose ledger it is in.
    pub fn account(&self) -> AccountId {
        self.recorded.entry.account
    }

    /// When it was recorded, on the database's clock.
    pub fn recorded_at(&self) -> Timestamp {
        self.recorded.entry.recorded_at
    }

    /// Its place in that ledger.
    pub fn log_index(&self) -> u64 {
        self.recorded.entry.log_index
    }

    /// Its place in the order of pages.
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
