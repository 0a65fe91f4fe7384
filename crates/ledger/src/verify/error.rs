//! What can be wrong with an export or its ledger, and where.

use std::ops::Range;

use crate::{AccountId, checkpoint::CheckpointError};

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The first line is not a header, so the account is unknown.
    #[error("not an export of a ledger: {0}")]
    Header(String),
    /// The ledger as a whole.
    #[error("account {account}: {error}")]
    Ledger {
        /// The account that owns the ledger.
        account: AccountId,
        /// What is wrong with the ledger.
        error: LedgerError,
    },
    /// One entry.
    #[error("account {account}, entry {index}: {error}")]
    Entry {
        /// The account that owns the ledger.
        account: AccountId,
        /// The index of the entry.
        index: u64,
        /// What is wrong with the entry.
        error: EntryError,
    },
}

/// What is wrong with one entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The line is not an entry.
    #[error("its line is not a valid entry: {0}")]
    Unreadable(String),
    /// The line is an entry of another account.
    #[error("an entry of account {0:?} is in its place")]
    OfAccount(String),
    /// The line is another entry of this ledger.
    #[error("entry {0} is in its place: this entry was removed or moved")]
    OfIndex(u64),
    /// Its time is before that of the previous entry.
    #[error("it was recorded at {recorded_at}, which is before the previous entry ({before})")]
    BackInTime {
        /// Its time.
        recorded_at: String,
        /// The time of the previous entry.
        before: String,
    },
    /// Its text does not match its recorded hash.
    #[error("its text does not match its recorded hash: one of them was changed")]
    Changed,
    /// The entry is missing.
    #[error("it is missing; the export should have entries up to {}", .end_index.saturating_sub(1))]
    Missing {
        /// One past the last entry that should be there.
        end_index: u64,
    },
    /// There is an entry after the end of the header's range.
    #[error("the export has more lines than its header says: it should end before this entry")]
    PastTheEnd,
    /// A hash line is where the entry should be.
    #[error("a line of recorded hashes is in its place")]
    HashesInItsPlace,
    /// The hash line that should follow the entry is missing, or is of other entries.
    #[error("the line of recorded hashes that should follow it is missing, or is of other entries")]
    NoHashes,
    /// The hash line that should follow the entry is malformed.
    #[error("the line of recorded hashes that should follow it cannot be read: {0}")]
    UnreadableHashes(String),
}

/// What is wrong with a ledger as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The checkpoint of the export is malformed or not trusted.
    #[error("the checkpoint cannot be trusted: {0}")]
    Checkpoint(CheckpointError),
    /// The older checkpoint is malformed or not trusted.
    #[error("the older checkpoint cannot be trusted: {0}")]
    Older(CheckpointError),
    /// The text of a policy set is wrong.
    #[error("policy set {digest}: {what}")]
    PolicySet {
        /// The digest of the line.
        digest: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The range is empty, so that nothing was verified.
    #[error("the export has no entries: nothing was verified")]
    NoEntries,
    /// The range exceeds the checkpoint's tree.
    #[error("the range {start_index}..{end_index} is not within the {size} entries of the checkpoint")]
    Range {
        /// The first entry.
        start_index: u64,
        /// One past the last entry.
        end_index: u64,
        /// The checkpoint's size.
        size: u64,
    },
    #[error(
        "the header must not have a consistency proof: its range ends before entry {end_index}, and the checkpoint has {size} entries"
    )]
    /// There is a consistency proof although the range ends at the checkpoint's size, or at 0.
    NeedlessProof {
        /// One past the last entry.
        end_index: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The number of left hashes does not fit `start_index`.
    #[error("the header has the wrong number of left hashes for a start index of {start_index}")]
    LeftHashes {
        /// The first entry.
        start_index: u64,
    },
    #[error(
        "every entry matches its recorded hash, but their root differs from that of the {} of {size} entries; rewritten: {}",
        if *.older { "older checkpoint" } else { "checkpoint" },
        suspects(*.start_index..*.end_index, *.left, *.right)
    )]
    /// Each entry matches its recorded hash, but the root is not the signed one.
    Rewritten {
        /// The first entry that may be rewritten.
        start_index: u64,
        /// One past the last entry that may be rewritten.
        end_index: u64,
        /// The size of the checkpoint whose root differs from theirs.
        size: u64,
        /// True if the older checkpoint is the one that does not match.
        older: bool,
        /// True if the left hashes, which stand for entries before the export, may be wrong.
        left: bool,
        /// True if the consistency proof may be wrong.
        right: bool,
    },
    #[error(
        "truncated: the older checkpoint has {older} entries, this ledger has {size}; entry {size} and all later entries are missing"
    )]
    /// The ledger is shorter than the older checkpoint.
    Truncated {
        /// The older checkpoint's size.
        older: u64,
        /// The size now.
        size: u64,
    },
    #[error(
        "rewritten: the older checkpoint also covers {size} entries, but its root differs: at least one of the entries 0 to {} was changed",
        size.saturating_sub(1)
    )]
    /// Two different roots were signed for one size.
    Forked {
        /// The size.
        size: u64,
    },
}

impl VerifyError {
    /// The account, unless the header was malformed.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Header(_) => None,
            Self::Ledger { account, .. } | Self::Entry { account, .. } => Some(*account),
        }
    }

    /// The index of the wrong entry, or of the first one that may be wrong.
    pub fn index(&self) -> Option<u64> {
        match self {
            Self::Header(_) => None,
            Self::Entry { index, .. } => Some(*index),
            Self::Ledger { error, .. } => error.index(),
        }
    }
}

impl LedgerError {
    fn index(&self) -> Option<u64> {
        match self {
            Self::Checkpoint(_)
            | Self::Older(_)
            | Self::NoEntries
            | Self::PolicySet { .. }
            | Self::Range { .. }
            | Self::NeedlessProof { .. } => None,
            Self::LeftHashes { start_index } | Self::Rewritten { start_index, .. } => Some(*start_index),
            Self::Truncated { size, .. } => Some(*size),
            Self::Forked { .. } => Some(0),
        }
    }
}

/// Lists everything that may be wrong if the error cannot be narrowed down.
fn suspects(entries: Range<u64>, left: bool, right: bool) -> String {
    let first = entries.start;
    let entries = match entries.end.saturating_sub(first) {
        0 => None,
        1 => Some(format!("entry {first} and its hash")),
        _ => Some(format!(
            "at least one of the entries {first} to {}, and its hash",
            entries.end - 1
        )),
    };
    let left = left.then(|| "entries before the export, or their left hashes".to_owned());
    let right = right.then(|| "the consistency proof".to_owned());
    [entries, left, right]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; or ")
}
