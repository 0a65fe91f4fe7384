//! An entry: one line of an account's ledger.
//!
//! Every entry has the same top members, which never change, and a body that says what happened. [`kinds`] is the table of
//! entry kinds, each with the type of its body. [`change`] is the body of most `change.*` kinds, [`change_denials`] that of
//! `change.denials`, [`confirmation`] that of `checkpoint.confirmed`, [`drift`] and [`drift_observed`] those of `drift.*`.
//! [`unknown`] is the body of an entry that a newer build recorded. [`columns`] are the values of a body that entries are
//! filtered by. [`text`] is the entry as it is hashed and stored.

pub mod change;
pub mod change_denials;
pub mod columns;
pub mod confirmation;
pub mod drift;
pub mod drift_observed;
pub mod kinds;
pub mod text;
pub mod unknown;

use super::{AccountId, Timestamp};

pub use change::ChangeBody;
pub use change_denials::DenialsBody;
pub use columns::EntryColumns;
pub use confirmation::ConfirmationBody;
pub use drift::{DriftBaselineBody, DriftFoundBody, DriftResolvedBody};
pub use drift_observed::DriftObservedBody;
pub use kinds::{EntryBody, EntryKind, OcsfStatus, ShareEffect};
pub use text::{RecordedEntry, decode, encode};
pub use unknown::UnknownBody;

/// One line of an account's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The account that owns the ledger.
    pub account: AccountId,
    /// The position in the ledger. Starts at 0, without gaps.
    pub log_index: u64,
    /// The time of recording, on the database's clock. Never earlier than the previous entry.
    pub recorded_at: Timestamp,
    /// What happened.
    pub body: EntryBody,
}

impl Entry {
    /// The values that entries are filtered by.
    pub fn columns(&self) -> EntryColumns<'_> {
        EntryColumns::of(&self.body)
    }
}
