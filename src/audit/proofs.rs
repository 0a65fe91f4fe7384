//! Checkpoints and proofs. Each proof is verified before it is returned. A proof that does not verify is reported as tampering.

use crate::{
    domain::AccountId,
    ledger::{Checkpoint, Hash, Note, checkpoint},
    store::checkpoints::{self, StoredCheckpoint},
};

use super::{Audit, Error, reads, tree::Tree};

/// A stored checkpoint whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    /// The row, with the signed note.
    pub stored: StoredCheckpoint,
    /// The parsed note.
    pub signed: Checkpoint,
}

/// The proof that an entry is in a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The index of the proven entry.
    pub log_index: u64,
    /// The number of entries in the tree that the proof is for.
    pub tree_size: u64,
    /// The leaf hash of the entry.
    pub leaf_hash: Hash,
    /// The audit path, from the leaf to the root (RFC 6962).
    pub hashes: Vec<Hash>,
    /// The root hash at `tree_size`.
    pub root: Hash,
    /// The checkpoint of this size, if there is one.
    pub checkpoint: Option<VerifiedCheckpoint>,
}

/// The proof that a ledger only grew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The size of the older tree.
    pub first_size: u64,
    /// The size of the newer tree.
    pub second_size: u64,
    /// The nodes of the proof (RFC 6962).
    pub hashes: Vec<Hash>,
    /// The root hash at `first_size`.
    pub first_root: Hash,
    /// The root hash at `second_size`.
    pub second_root: Hash,
}

impl Audit {
    /// The checkpoint of a size, or the latest.
    ///
    /// # Errors
    /// When there is none, the ledger is shorter than the checkpoint, or no known key signed it.
    pub async fn checkpoint(&self, account: AccountId, size: Option<u64>) -> Result<VerifiedCheckpoint, Error> {
        let stored = match size {
            None => checkpoints::latest(&self.database, account).await?,
            Some(size) => checkpoints::of_size(&self.database, account, size).await?,
        };
        // Read after the checkpoint, because a ledger may grow and be signed between the two reads.
        let tree_size = self.tree_size(account).await?;
        match stored {
            Some(stored) if stored.size > tree_size => Err(Error::Tampered {
                account,
                log_index: tree_size,
            }),
            Some(stored) => self.verified(stored),
            None if size.is_none() && tree_size > 0 => Err(Error::NotYetCovered { account, tree_size: 0 }),
            None => Err(Error::CheckpointNotFound {
                account,
                tree_size: size,
            }),
        }
    }

    /// Proves that an entry is in the tree of a size, or of the latest checkpoint.
    ///
    /// # Errors
    /// When there is no such entry, no checkpoint covers it yet, or the tree was tampered with.
    pub async fn inclusion(&self, account: AccountId, index: u64, size: Option<u64>) -> Result<InclusionProof, Error> {
        let tree_size = self.proof_size(account, size, index + 1).await?;
        let mut proof = self.tree(account, tree_size).inclusion(index).await?;
        proof.checkpoint = self.check_root(account, tree_size, proof.root).await?;
        Ok(proof)
    }

    /// Proves that the tree of a size begins with the tree of `first` entries.
    ///
    /// # Errors
    /// When the ledger has fewer entries, no checkpoint covers them yet, or the tree was tampered with.
    pub async fn consistency(
        &self,
        account: AccountId,
        first: u64,
        second: Option<u64>,
    ) -> Result<ConsistencyProof, Error> {
        let second_size = self.proof_size(account, second, first).await?;
        let proof = self.tree(account, second_size).consistency(first).await?;
        self.check_root(account, first, proof.first_root).await?;
        self.check_root(account, second_size, proof.second_root).await?;
        Ok(proof)
    }

    /// Adds the signatures of configured witnesses in `note` to the stored checkpoint.
    ///
    /// # Errors
    /// [`Error::InvalidSignature`] if there is none. [`Error::CheckpointNotFound`] if `note` is not a checkpoint of this ledger.
    pub async fn add_signatures(&self, account: AccountId, note: &Note) -> Result<VerifiedCheckpoint, Error> {
        let size = note.text().parse().map(|checkpoint: Checkpoint| checkpoint.size).ok();
        loop {
            let kept = self.checkpoint(account, Some(size.unwrap_or_default())).await?;
            let Some(more) = self.with_witnesses(&kept.stored, note) else {
                return Err(Error::InvalidSignature { account });
            };
            let old = &kept.stored.note;
            if more == *old {
                return Ok(kept);
            }
            // Optimistic locking: if another call added a signature since the read, this one starts again from the new note.
            if checkpoints::countersign(&self.database, account, kept.stored.size, old, &more).await? {
                return self.verified(StoredCheckpoint {
                    note: more,
                    ..kept.stored
                });
            }
        }
    }

    /// The stored note with the valid witness signatures of `note` added. None if `note` has none.
    fn with_witnesses(&self, stored: &StoredCheckpoint, note: &Note) -> Option<String> {
        let mut kept: Note = stored.note.parse().ok()?;
        if kept.text() != note.text() {
            return None;
        }
        let mut any = false;
        for signature in note.signatures() {
            let mut alone = Note::new(note.text().to_owned()).ok()?;
            alone.add(signature.clone()).ok()?;
            if alone.verify(self.keys.witnesses()).is_ok() {
                kept.add(signature.clone()).ok()?;
                any = true;
            }
        }
        any.then(|| kept.to_string())
    }

    /// The number of entries in the ledger; 0 if there is no ledger.
    pub(super) async fn tree_size(&self, account: AccountId) -> Result<u64, Error> {
        let sizes = reads::sizes(&self.database, &[account]).await?;
        Ok(sizes.get(&account).copied().unwrap_or_default())
    }

    pub(super) fn tree(&self, account: AccountId, size: u64) -> Tree<'_> {
        Tree {
            database: &self.database,
            account,
            size,
        }
    }

    /// The requested size, or the size of the latest checkpoint. It must cover the first `needed` entries.
    async fn proof_size(&self, account: AccountId, requested: Option<u64>, needed: u64) -> Result<u64, Error> {
        let tree_size = self.tree_size(account).await?;
        let last = requested.unwrap_or(needed).max(needed);
        if last > tree_size {
            return Err(Error::EntryNotFound {
                account,
                log_index: last.saturating_sub(1),
                tree_size,
            });
        }
        match requested {
            Some(size) => Ok(size),
            None => match self.checkpoint(account, None).await?.signed.size {
                size if size < needed => Err(Error::NotYetCovered {
                    account,
                    tree_size: size,
                }),
                size => Ok(size),
            },
        }
    }

    /// Compares `root` with the checkpoint of this size, if there is one. Returns that checkpoint.
    async fn check_root(&self, account: AccountId, size: u64, root: Hash) -> Result<Option<VerifiedCheckpoint>, Error> {
        let Some(stored) = checkpoints::of_size(&self.database, account, size).await? else {
            return Ok(None);
        };
        let kept = self.verified(stored)?;
        if kept.signed.root == root {
            return Ok(Some(kept));
        }
        let log_index = self.first_unproven(account, size).await?;
        Err(Error::Tampered { account, log_index })
    }

    /// Verifies the signature of a stored checkpoint, and remembers it. Write access to the store is not enough to forge one.
    pub(super) fn verified(&self, stored: StoredCheckpoint) -> Result<VerifiedCheckpoint, Error> {
        let (account, size) = (stored.account, stored.size);
        match checkpoint::open(&stored.note, self.keys.verifiers(), account) {
            Ok(open)
                if open.checkpoint.size == size && self.known.remember(account, &open.checkpoint, &stored.note) =>
            {
                Ok(VerifiedCheckpoint {
                    stored,
                    signed: open.checkpoint,
                })
            }
            _ => Err(Error::Tampered {
                account,
                log_index: size.saturating_sub(1),
            }),
        }
    }
}
