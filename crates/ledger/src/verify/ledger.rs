//! Verifies the entries of one ledger, one after the other, however they come.

use super::{
    line::{Place, RecordedAt},
    printable,
    wrong::{EntryFault, LedgerFault, Wrong},
};
use crate::{
    AccountId,
    check::verify_consistency,
    checkpoint::{SignedCheckpoint, open},
    export::Header,
    key::VerifierKey,
    merkle::{Frontier, Hash, leaf_hash},
};

/// Verifies the entries of one ledger.
#[derive(Debug)]
pub struct LedgerVerifier {
    account: AccountId,
    start_index: u64,
    end_index: u64,
    checkpoint: SignedCheckpoint,
    consistency_proof: Vec<Hash>,
    older: Option<OlderCheckpoint>,
    /// The tree so far: its size is the index of the next entry.
    tree: Frontier,
    last_recorded_at: Option<RecordedAt>,
}

/// What was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whose ledger.
    pub account: AccountId,
    /// The index of the first entry.
    pub start_index: u64,
    /// One past the index of the last entry.
    pub end_index: u64,
    /// The checkpoint that the entries lead to, and who signed it.
    pub checkpoint: SignedCheckpoint,
    /// The older checkpoint, if one was given.
    pub older: Option<OlderCheckpoint>,
}

/// A checkpoint that the auditor kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderCheckpoint {
    /// What it says, and who signed it.
    pub signed: SignedCheckpoint,
    /// True when the ledger of today was seen to begin with that of then. False when this part of it cannot tell.
    pub is_prefix: bool,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// So many entries were verified.
    pub done: u64,
    /// Of so many; 0 while that is not known.
    pub total: u64,
}

impl LedgerVerifier {
    /// Begins with what comes before the entries. `older` is the note of a checkpoint that the auditor kept.
    ///
    /// # Errors
    /// When a checkpoint cannot be trusted, or what it says, the range and the older checkpoint cannot go together.
    pub fn new(header: &Header, keys: &[VerifierKey], older: Option<&str>) -> Result<Self, Wrong> {
        let account = header.account;
        let wrong = |fault| Wrong::Ledger { account, fault };
        let checkpoint =
            open(&header.checkpoint, keys, account).map_err(|error| wrong(LedgerFault::Checkpoint(error)))?;
        let older = older.map(|note| open(note, keys, account)).transpose();
        let older = older.map_err(|error| wrong(LedgerFault::Older(error)))?;
        let (start_index, end_index, size) = (header.start_index, header.end_index, checkpoint.checkpoint.size);
        if start_index > end_index || end_index > size {
            return Err(wrong(LedgerFault::Range {
                start_index,
                end_index,
                size,
            }));
        }
        if (end_index == size || end_index == 0) && !header.consistency_proof.is_empty() {
            return Err(wrong(LedgerFault::NeedlessProof { end_index, size }));
        }
        let tree = Frontier::from_hashes(start_index, header.left_hashes.clone())
            .map_err(|_| wrong(LedgerFault::LeftHashes { start_index }))?;
        let mut verifier = Self {
            account,
            start_index,
            end_index,
            checkpoint,
            consistency_proof: header.consistency_proof.clone(),
            older: older.map(|signed| OlderCheckpoint {
                signed,
                is_prefix: false,
            }),
            tree,
            last_recorded_at: None,
        };
        verifier.compare_checkpoints()?;
        verifier.compare_with_older()?;
        Ok(verifier)
    }

    /// Takes the next entry: its text, and the hash that the store has for it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn entry(&mut self, line: &[u8], recorded: &Hash) -> Result<(), Wrong> {
        let computed = self.check_line(self.next_index(), line)?;
        self.append(&computed, recorded)
    }

    /// What was verified, once all entries were given.
    ///
    /// # Errors
    /// When entries are missing at the end, or all of them together do not lead to the checkpoint.
    pub fn finish(self) -> Result<Verified, Wrong> {
        if self.next_index() < self.end_index {
            return Err(self.missing(self.next_index()));
        }
        let (size, root) = (self.checkpoint.checkpoint.size, &self.checkpoint.checkpoint.root);
        let leads_to_it = match self.end_index == size {
            true => self.tree.root() == *root,
            false => verify_consistency(self.end_index, size, &self.tree.root(), root, &self.consistency_proof),
        };
        if !leads_to_it {
            return Err(self.rewritten(size, false));
        }
        Ok(Verified {
            account: self.account,
            start_index: self.start_index,
            end_index: self.end_index,
            checkpoint: self.checkpoint,
            older: self.older,
        })
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            done: self.next_index() - self.start_index,
            total: self.end_index - self.start_index,
        }
    }

    /// The index of the entry that it waits for.
    pub fn next_index(&self) -> u64 {
        self.tree.size()
    }

    /// One past the index of the last entry.
    pub fn end_index(&self) -> u64 {
        self.end_index
    }

    /// Checks that a line is the text of the entry at `index`, and tells its hash.
    pub(super) fn check_line(&mut self, index: u64, line: &[u8]) -> Result<Hash, Wrong> {
        if index >= self.end_index {
            return Err(self.entry_fault(index, EntryFault::PastTheEnd));
        }
        self.check_place(index, line)
            .map_err(|fault| self.entry_fault(index, fault))?;
        Ok(leaf_hash(line))
    }

    fn check_place(&mut self, index: u64, line: &[u8]) -> Result<(), EntryFault> {
        let place = Place::read(line).map_err(|error| EntryFault::Unreadable(printable(&error)))?;
        if place.account_id != self.account.as_str().as_bytes() {
            let account = String::from_utf8_lossy(place.account_id);
            return Err(EntryFault::OfAccount(account.into_owned()));
        }
        if place.log_index != index {
            return Err(EntryFault::OfIndex(place.log_index));
        }
        match self.last_recorded_at.replace(place.recorded_at) {
            Some(before) if before > place.recorded_at => Err(EntryFault::BackInTime {
                recorded_at: place.recorded_at.to_string(),
                before: before.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Adds the next entry by its hash.
    pub(super) fn append(&mut self, computed: &Hash, recorded: &Hash) -> Result<(), Wrong> {
        if computed != recorded {
            return Err(self.entry_fault(self.next_index(), EntryFault::Changed));
        }
        self.tree.append(*computed);
        self.compare_with_older()
    }

    pub(super) fn entry_fault(&self, index: u64, fault: EntryFault) -> Wrong {
        Wrong::Entry {
            account: self.account,
            index,
            fault,
        }
    }

    pub(super) fn missing(&self, index: u64) -> Wrong {
        let end_index = self.end_index;
        self.entry_fault(index, EntryFault::Missing { end_index })
    }

    /// Compares what needs no entry: a ledger never shrinks, and has one root for each size.
    fn compare_checkpoints(&mut self) -> Result<(), Wrong> {
        let today = &self.checkpoint.checkpoint;
        let Some(older) = &mut self.older else {
            return Ok(());
        };
        let then = &older.signed.checkpoint;
        let fault = if then.size > today.size {
            LedgerFault::Truncated {
                older: then.size,
                size: today.size,
            }
        } else if then.size == today.size && then.root != today.root {
            LedgerFault::Forked { size: then.size }
        } else {
            older.is_prefix = then.size == today.size || then.size == 0;
            return Ok(());
        };
        Err(Wrong::Ledger {
            account: self.account,
            fault,
        })
    }

    /// Compares the tree with that of the older checkpoint, where it has come to its size.
    fn compare_with_older(&mut self) -> Result<(), Wrong> {
        let size = self.tree.size();
        match &mut self.older {
            Some(older) if older.signed.checkpoint.size == size && !older.is_prefix => {
                if older.signed.checkpoint.root != self.tree.root() {
                    return Err(self.rewritten(size, true));
                }
                older.is_prefix = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Says which entries were rewritten, as exactly as can be known: those that an older checkpoint vouches for were not.
    fn rewritten(&self, size: u64, is_older: bool) -> Wrong {
        let vouched_for = self.vouched_for();
        Wrong::Ledger {
            account: self.account,
            fault: LedgerFault::Rewritten {
                start_index: vouched_for.unwrap_or(0).max(self.start_index),
                end_index: self.next_index(),
                size,
                older: is_older,
                left: self.start_index > 0 && vouched_for.is_none(),
                right: !is_older && self.end_index < self.checkpoint.checkpoint.size,
            },
        }
    }

    /// The size of the older checkpoint, if the tree had its root when it had its size.
    fn vouched_for(&self) -> Option<u64> {
        let older = self.older.as_ref().filter(|older| older.is_prefix)?;
        let size = older.signed.checkpoint.size;
        (self.start_index..self.checkpoint.checkpoint.size)
            .contains(&size)
            .then_some(size)
    }
}
