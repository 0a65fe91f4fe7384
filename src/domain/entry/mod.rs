//! An entry: one line of an account's ledger.
//!
//! Its top members are the same for every entry and never change. What happened is in the body. [`kinds`] is the table of
//! all kinds of entries, each with the type of its body. [`change`] is the body of the `change.*` kinds. [`unknown`] is the
//! body of an entry that a newer build recorded. [`columns`] are the values of a body that entries are filtered by. [`text`] is
//! the entry as it is hashed and stored.

pub mod change;
pub mod columns;
pub mod kinds;
pub mod text;
pub mod unknown;

use super::{AccountId, Timestamp};

pub use change::ChangeBody;
pub use columns::EntryColumns;
pub use kinds::{EntryBody, EntryKind, OcsfStatus, ShareEffect};
pub use text::{RecordedEntry, decode, encode};
pub use unknown::UnknownBody;

/// One line of an account's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The account whose ledger it is in.
    pub account: AccountId,
    /// Its place in that ledger, from 0, without gaps.
    pub log_index: u64,
    /// When it was recorded, on the database's clock; never before the entry in front of it.
    pub recorded_at: Timestamp,
    /// What happened.
    pub body: EntryBody,
}

impl Entry {
    /// The values that it is filtered by.
    pub fn columns(&self) -> EntryColumns<'_> {
        EntryColumns::of(&self.body)
    }
}
