//! Verifies the entries of one ledger in order, from any source.

use std::collections::BTreeMap;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{
    error::{EntryError, LedgerError, VerifyError},
    line::{EntryParseError, LinePosition, ReadEntry, RecordedAt},
    printable,
};
use crate::{
    AccountId,
    check::verify_consistency,
    checkpoint::{SignedCheckpoint, open},
    export::{Header, PolicySetText},
    key::VerifierKey,
    merkle::{Frontier, Hash, hex},
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
    /// The tree so far. Its size is the index of the next entry.
    tree: Frontier,
    last_recorded_at: Option<RecordedAt>,
    /// The policy sets that the entries name, each with whether its text was verified.
    policy_sets: BTreeMap<Hash, bool>,
    /// The last policy set whose text was verified.
    last_policy_set: Option<Hash>,
}

/// Maximum policy sets that the entries of one export name. It bounds the memory for a hostile file.
const MAX_POLICY_SETS: usize = 1 << 16;

/// A range of entries that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRange {
    /// Whose ledger.
    pub account: AccountId,
    /// The index of the first entry.
    pub start_index: u64,
    /// One past the index of the last entry.
    pub end_index: u64,
    /// The checkpoint that the entries lead to, with its signers.
    pub checkpoint: SignedCheckpoint,
    /// The older checkpoint, if one was given.
    pub older: Option<OlderCheckpoint>,
    /// The policy sets that the entries name and whose texts were not among the lines.
    pub missing_policy_sets: Vec<Hash>,
}

/// The older checkpoint that the auditor kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderCheckpoint {
    /// The checkpoint, with its signers.
    pub signed: SignedCheckpoint,
    /// True if the ledger was verified to extend this checkpoint. False if the range does not reach it.
    pub is_prefix: bool,
}

/// Verified and expected entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// The number of verified entries.
    pub done: u64,
    /// The number of entries in the range. 0 before the header was read.
    pub total: u64,
}

impl LedgerVerifier {
    /// Verifies the header. `older` is the note of an older checkpoint that the auditor kept.
    ///
    /// # Errors
    /// If a checkpoint is not trusted, or the checkpoint, the range and the older checkpoint contradict each other.
    pub fn new(header: &Header, keys: &[VerifierKey], older: Option<&str>) -> Result<Self, VerifyError> {
        let account = header.account;
        let wrong = |error| VerifyError::Ledger { account, error };
        let checkpoint =
            open(&header.checkpoint, keys, account).map_err(|error| wrong(LedgerError::Checkpoint(error)))?;
        let older = older.map(|note| open(note, keys, account)).transpose();
        let older = older.map_err(|error| wrong(LedgerError::Older(error)))?;
        let (start_index, end_index, size) = (header.start_index, header.end_index, checkpoint.checkpoint.size);
        if start_index > end_index || end_index > size {
            return Err(wrong(LedgerError::Range {
                start_index,
                end_index,
                size,
            }));
        }
        if (end_index == size || end_index == 0) && !header.consistency_proof.is_empty() {
            return Err(wrong(LedgerError::NeedlessProof { end_index, size }));
        }
        let tree = Frontier::from_hashes(start_index, header.left_hashes.clone())
            .map_err(|_| wrong(LedgerError::LeftHashes { start_index }))?;
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
            policy_sets: BTreeMap::new(),
            last_policy_set: None,
        };
        verifier.compare_checkpoints()?;
        verifier.compare_with_older()?;
        Ok(verifier)
    }

    /// Verifies the next entry: its text and its recorded hash.
    ///
    /// # Errors
    /// What is wrong with the entry.
    pub fn entry(&mut self, line: &[u8], recorded: &Hash) -> Result<(), VerifyError> {
        self.read(ReadEntry::of(line), recorded)
    }

    /// Verifies the next entries, on all processors.
    ///
    /// # Errors
    /// What is wrong with the first wrong entry.
    pub fn entries(&mut self, entries: &[(String, Hash)]) -> Result<(), VerifyError> {
        let read = entries.par_iter().map(|(line, _)| ReadEntry::of(line.as_bytes()));
        let read = read.collect::<Vec<_>>().into_iter().zip(entries);
        read.into_iter()
            .try_for_each(|(entry, (_, recorded))| self.read(entry, recorded))
    }

    fn read(&mut self, entry: ReadEntry<'_>, recorded: &Hash) -> Result<(), VerifyError> {
        let computed = self.check(self.next_index(), entry)?;
        self.append(&computed, recorded)
    }

    /// The verified range, after the last entry.
    ///
    /// # Errors
    /// If there are no entries, entries are missing at the end, or their root differs from the checkpoint's.
    pub fn finish(self) -> Result<VerifiedRange, VerifyError> {
        if self.next_index() < self.end_index {
            return Err(self.missing(self.next_index()));
        }
        if self.start_index == self.end_index {
            return Err(VerifyError::Ledger {
                account: self.account,
                error: LedgerError::NoEntries,
            });
        }
        let (size, root) = (self.checkpoint.checkpoint.size, &self.checkpoint.checkpoint.root);
        let leads_to_it = match self.end_index == size {
            true => self.tree.root() == *root,
            false => verify_consistency(self.end_index, size, &self.tree.root(), root, &self.consistency_proof),
        };
        if !leads_to_it {
            return Err(self.rewritten(size, false));
        }
        let missing = self.policy_sets.iter().filter(|(_, is_verified)| !**is_verified);
        Ok(VerifiedRange {
            account: self.account,
            start_index: self.start_index,
            end_index: self.end_index,
            checkpoint: self.checkpoint,
            older: self.older,
            missing_policy_sets: missing.map(|(digest, _)| *digest).collect(),
        })
    }

    /// Verifies the text of a policy set, after the last entry. Entries must name it, and the digests must be in order.
    ///
    /// # Errors
    /// If it is not the text that the entries name, or is out of order.
    pub fn policy_set(&mut self, set: &PolicySetText) -> Result<(), VerifyError> {
        let wrong = |what| VerifyError::Ledger {
            account: self.account,
            error: LedgerError::PolicySet {
                digest: hex(&set.digest),
                what,
            },
        };
        if self.last_policy_set.is_some_and(|last| last >= set.digest) {
            return Err(wrong("it is repeated, or out of order"));
        }
        if <Hash>::from(Sha256::digest(&set.text)) != set.digest {
            return Err(wrong("its text does not match its digest: one of them was changed"));
        }
        let Some(is_verified) = self.policy_sets.get_mut(&set.digest) else {
            return Err(wrong("no entry names it"));
        };
        *is_verified = true;
        self.last_policy_set = Some(set.digest);
        Ok(())
    }

    /// The policy sets that the entries so far name, in the order of their digests.
    pub fn policy_sets(&self) -> impl Iterator<Item = Hash> {
        self.policy_sets.keys().copied()
    }

    /// Verified and expected entries.
    pub fn progress(&self) -> VerifyProgress {
        VerifyProgress {
            done: self.next_index() - self.start_index,
            total: self.end_index - self.start_index,
        }
    }

    /// The index of the next entry.
    pub fn next_index(&self) -> u64 {
        self.tree.size()
    }

    /// One past the index of the last entry.
    pub fn end_index(&self) -> u64 {
        self.end_index
    }

    /// Checks that a line is the entry at `index`. Returns its hash.
    pub(super) fn check(&mut self, index: u64, entry: ReadEntry<'_>) -> Result<Hash, VerifyError> {
        if index >= self.end_index {
            return Err(self.entry_error(index, EntryError::PastTheEnd));
        }
        self.check_position(index, entry.position)
            .map_err(|error| self.entry_error(index, error))?;
        Ok(entry.hash)
    }

    fn check_position(
        &mut self,
        index: u64,
        position: Result<LinePosition<'_>, EntryParseError>,
    ) -> Result<(), EntryError> {
        let position = position.map_err(|error| EntryError::Unreadable(printable(&error)))?;
        if position.account_id != self.account.as_str().as_bytes() {
            let account = String::from_utf8_lossy(position.account_id);
            return Err(EntryError::OfAccount(account.into_owned()));
        }
        if position.log_index != index {
            return Err(EntryError::OfIndex(position.log_index));
        }
        if let Some(digest) = position.policy_set
            && self.policy_sets.len() < MAX_POLICY_SETS
        {
            self.policy_sets.entry(digest).or_insert(false);
        }
        match self.last_recorded_at.replace(position.recorded_at) {
            Some(before) if before > position.recorded_at => Err(EntryError::BackInTime {
                recorded_at: position.recorded_at.to_string(),
                before: before.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Adds the next entry to the tree, by its hash.
    pub(super) fn append(&mut self, computed: &Hash, recorded: &Hash) -> Result<(), VerifyError> {
        if computed != recorded {
            return Err(self.entry_error(self.next_index(), EntryError::Changed));
        }
        self.tree.append(*computed);
        self.compare_with_older()
    }

    pub(super) fn entry_error(&self, index: u64, error: EntryError) -> VerifyError {
        VerifyError::Entry {
            account: self.account,
            index,
            error,
        }
    }

    pub(super) fn missing(&self, index: u64) -> VerifyError {
        let end_index = self.end_index;
        self.entry_error(index, EntryError::Missing { end_index })
    }

    /// Compares both checkpoints without entries: a ledger never shrinks, and has one root for each size.
    fn compare_checkpoints(&mut self) -> Result<(), VerifyError> {
        let current = &self.checkpoint.checkpoint;
        let Some(older) = &mut self.older else {
            return Ok(());
        };
        let kept = &older.signed.checkpoint;
        let error = if kept.size > current.size {
            LedgerError::Truncated {
                older: kept.size,
                size: current.size,
            }
        } else if kept.size == current.size && kept.root != current.root {
            LedgerError::Forked { size: kept.size }
        } else {
            older.is_prefix = kept.size == current.size || kept.size == 0;
            return Ok(());
        };
        Err(VerifyError::Ledger {
            account: self.account,
            error,
        })
    }

    /// Compares the tree with the older checkpoint once it has the same size.
    fn compare_with_older(&mut self) -> Result<(), VerifyError> {
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

    /// The error for a wrong root. Entries that the older checkpoint covers are excluded.
    fn rewritten(&self, size: u64, is_older: bool) -> VerifyError {
        let verified_older_size = self.verified_older_size();
        VerifyError::Ledger {
            account: self.account,
            error: LedgerError::Rewritten {
                start_index: verified_older_size.unwrap_or(0).max(self.start_index),
                end_index: self.next_index(),
                size,
                older: is_older,
                left: self.start_index > 0 && verified_older_size.is_none(),
                right: !is_older && self.end_index < self.checkpoint.checkpoint.size,
            },
        }
    }

    /// The size of the older checkpoint, if the tree was verified against it.
    fn verified_older_size(&self) -> Option<u64> {
        let older = self.older.as_ref().filter(|older| older.is_prefix)?;
        let size = older.signed.checkpoint.size;
        (self.start_index..self.checkpoint.checkpoint.size)
            .contains(&size)
            .then_some(size)
    }
}
