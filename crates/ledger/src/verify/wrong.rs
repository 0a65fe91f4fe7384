//! What can be wrong with an export or with the ledger behind it, and where.

use std::ops::Range;

use crate::{AccountId, checkpoint::CheckpointError};

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The first line cannot be read: nothing is known.
    #[error("not an export of a ledger: {0}")]
    Header(String),
    /// Something about the whole ledger.
    #[error("account {account}: {fault}")]
    Ledger {
        /// Whose ledger.
        account: AccountId,
        /// What.
        fault: LedgerFault,
    },
    /// Something about one entry.
    #[error("account {account}, entry {index}: {fault}")]
    Entry {
        /// Whose ledger.
        account: AccountId,
        /// Which entry, by its place.
        index: u64,
        /// What.
        fault: EntryFault,
    },
}

/// What is wrong with one entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// Its line is not the text of an entry.
    #[error("its line cannot be read: {0}")]
    Unreadable(String),
    /// Its line is another account's.
    #[error("an entry of account {0:?} is in its place")]
    OfAccount(String),
    /// Its line is another entry's.
    #[error("it was removed or moved: entry {0} is in its place")]
    OfIndex(u64),
    /// It says that it was recorded before the entry in front of it.
    #[error("it says that it was recorded at {recorded_at}, before the entry in front of it ({before})")]
    BackInTime {
        /// What it says.
        recorded_at: String,
        /// What the entry in front of it says.
        before: String,
    },
    /// Its text does not have the hash that was recorded for it.
    #[error("its text does not match its recorded hash: one of them was changed")]
    Changed,
    /// It is not there.
    #[error("it is missing; entries up to {} were promised", .end_index.saturating_sub(1))]
    Missing {
        /// One past the last entry that should be there.
        end_index: u64,
    },
    /// It, or any other line, is past the end that was promised.
    #[error("there should be no such entry and no line in its place: the export ends in front of it")]
    PastTheEnd,
    /// A line of hashes is where it should be.
    #[error("a line of recorded hashes is in its place")]
    HashesInItsPlace,
    /// The hashes that should follow it do not.
    #[error("the line of recorded hashes that should follow it is missing or does not fit")]
    NoHashes,
    /// The line that follows it is not a line of hashes.
    #[error("the line of recorded hashes that should follow it cannot be read: {0}")]
    UnreadableHashes(String),
}

/// What is wrong with a ledger as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerFault {
    /// The checkpoint of the export.
    #[error("the checkpoint cannot be trusted: {0}")]
    Checkpoint(CheckpointError),
    /// The checkpoint that the auditor kept.
    #[error("the older checkpoint cannot be used: {0}")]
    Older(CheckpointError),
    /// The range is not one of the checkpoint's tree.
    #[error("entries {start_index} to {end_index} cannot be under a checkpoint of {size} entries")]
    Range {
        /// The first entry.
        start_index: u64,
        /// One past the last entry.
        end_index: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// There is a consistency proof where nothing is to be proven.
    #[error(
        "there must be no consistency proof: the export ends in front of entry {end_index}, and the checkpoint has {size} entries"
    )]
    NeedlessProof {
        /// One past the last entry.
        end_index: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The hashes left of the range are too few or too many.
    #[error("the hashes left of entry {start_index} are not those of a tree of {start_index} entries")]
    LeftHashes {
        /// The first entry.
        start_index: u64,
    },
    /// Each entry has its recorded hash, and all of them do not have the root that was signed.
    #[error(
        "every entry matches its recorded hash, but together they do not lead to the {} of {size} entries. Rewritten was {}",
        if *.older { "older checkpoint" } else { "checkpoint" },
        suspects(*.start_index..*.end_index, *.left, *.right)
    )]
    Rewritten {
        /// The first of the entries that may be it.
        start_index: u64,
        /// One past the last of the entries that may be it.
        end_index: u64,
        /// The size of the checkpoint that they do not lead to.
        size: u64,
        /// It is the older checkpoint.
        older: bool,
        /// Hashes of entries on the left, which are not in the export, may be it too.
        left: bool,
        /// So may the proof that leads from the last entry to the checkpoint.
        right: bool,
    },
    /// The ledger was longer once.
    #[error(
        "truncated: the older checkpoint has {older} entries, this ledger has {size}; entry {size} and those after it are gone"
    )]
    Truncated {
        /// The older checkpoint's size.
        older: u64,
        /// The size now.
        size: u64,
    },
    /// Two roots were signed for one size.
    #[error(
        "rewritten: the older checkpoint has the same {size} entries and another root: at least one of the entries 0 to {} differs",
        size.saturating_sub(1)
    )]
    Forked {
        /// The size.
        size: u64,
    },
}

impl Wrong {
    /// Whose ledger, as far as that is known.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Header(_) => None,
            Self::Ledger { account, .. } | Self::Entry { account, .. } => Some(*account),
        }
    }

    /// The entry, or the first of those of which one or more are wrong.
    pub fn index(&self) -> Option<u64> {
        match self {
            Self::Header(_) => None,
            Self::Entry { index, .. } => Some(*index),
            Self::Ledger { fault, .. } => fault.index(),
        }
    }
}

impl LedgerFault {
    fn index(&self) -> Option<u64> {
        match self {
            Self::Checkpoint(_) | Self::Older(_) | Self::Range { .. } | Self::NeedlessProof { .. } => None,
            Self::LeftHashes { start_index } | Self::Rewritten { start_index, .. } => Some(*start_index),
            Self::Truncated { size, .. } => Some(*size),
            Self::Forked { .. } => Some(0),
        }
    }
}

/// What may be it, where it cannot be told which.
fn suspects(entries: Range<u64>, left: bool, right: bool) -> String {
    let first = entries.start;
    let entries = match entries.end.saturating_sub(first) {
        0 => None,
        1 => Some(format!("entry {first}, together with its hash")),
        _ => Some(format!(
            "at least one of the entries {first} to {}, together with its hash",
            entries.end - 1
        )),
    };
    let left = left.then(|| "something left of these entries".to_owned());
    let right = right.then(|| "the proof that joins them to it".to_owned());
    [entries, left, right]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; or ")
}
