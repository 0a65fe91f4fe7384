//! Checkpoints and proofs. What is proven is verified here first: a proof that does not hold is told of as tampering.

use crate::{
    domain::AccountId,
    ledger::{Checkpoint, Hash, Note, checkpoint},
    store::checkpoints::{self, StoredCheckpoint},
};

use super::{Audit, Error, reads, tree::Tree};

/// A checkpoint as it is kept, its signature verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    /// As it is kept.
    pub stored: StoredCheckpoint,
    /// What was signed.
    pub signed: Checkpoint,
}

/// The proof that an entry is in a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The index of the entry.
    pub log_index: u64,
    /// The size of the tree.
    pub tree_size: u64,
    /// The hash of the entry.
    pub leaf_hash: Hash,
    /// The audit path.
    pub hashes: Vec<Hash>,
    /// The root of the tree.
    pub root: Hash,
    /// The checkpoint of this size, if there is one.
    pub checkpoint: Option<VerifiedCheckpoint>,
}

/// The proof that a ledger only grew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The older size.
    pub first_size: u64,
    /// The newer size.
    pub second_size: u64,
    /// The proof.
    pub hashes: Vec<Hash>,
    /// The root of the older tree.
    pub first_root: Hash,
    /// The root of the newer tree.
    pub second_root: Hash,
}

impl Audit {
    /// The checkpoint of a size, or the latest.
    ///
    /// # Errors
    /// When there is none, the ledger is shorter than it, or it is not one that a known key has signed.
    pub async fn checkpoint(&self, account: AccountId, size: Option<u64>) -> Result<VerifiedCheckpoint, Error> {
        let stored = match size {
            None => checkpoints::latest(&self.database, account).await?,
            Some(size) => checkpoints::of_size(&self.database, account, size).await?,
        };
        // After the checkpoint: else it may be of what was added in between.
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
    /// When the entry is not there, or no checkpoint covers it yet; or when the tree is not what it was.
    pub async fn inclusion(&self, account: AccountId, index: u64, size: Option<u64>) -> Result<InclusionProof, Error> {
        let tree_size = self.size_asked(account, size, index + 1).await?;
        let mut proof = self.tree(account, tree_size).inclusion(index).await?;
        proof.checkpoint = self.agreed(account, tree_size, proof.root).await?;
        Ok(proof)
    }

    /// Proves that the tree of a size begins with the tree of `first` entries.
    ///
    /// # Errors
    /// When the ledger has not come so far, or no checkpoint covers it yet; or when a tree is not what it was.
    pub async fn consistency(
        &self,
        account: AccountId,
        first: u64,
        second: Option<u64>,
    ) -> Result<ConsistencyProof, Error> {
        let second_size = self.size_asked(account, second, first).await?;
        let proof = self.tree(account, second_size).consistency(first).await?;
        self.agreed(account, first, proof.first_root).await?;
        self.agreed(account, second_size, proof.second_root).await?;
        Ok(proof)
    }

    /// Keeps the signatures of configured witnesses under a checkpoint.
    ///
    /// # Errors
    /// [`Error::InvalidSignature`] when there is none; [`Error::CheckpointNotFound`] when the note is not one of ours.
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
            // Somebody else may have added a signature meanwhile: then it is done anew, on top of theirs.
            if checkpoints::countersign(&self.database, account, kept.stored.size, old, &more).await? {
                return self.verified(StoredCheckpoint {
                    note: more,
                    ..kept.stored
                });
            }
        }
    }

    /// The kept note with the valid signatures of witnesses that `note` has. None if it has none.
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

    /// How many entries the ledger has; 0 where there is none.
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

    /// The size asked about, or that of the latest checkpoint, which must cover the first `needed` entries.
    async fn size_asked(&self, account: AccountId, asked: Option<u64>, needed: u64) -> Result<u64, Error> {
        let tree_size = self.tree_size(account).await?;
        let last = asked.unwrap_or(needed).max(needed);
        if last > tree_size {
            return Err(Error::EntryNotFound {
                account,
                log_index: last.saturating_sub(1),
                tree_size,
            });
        }
        match asked {
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

    /// The checkpoint of this size, if there is one: its root must be this one.
    async fn agreed(&self, account: AccountId, size: u64, root: Hash) -> Result<Option<VerifiedCheckpoint>, Error> {
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

    /// Whoever can write to the store cannot sign.
    pub(super) fn verified(&self, stored: StoredCheckpoint) -> Result<VerifiedCheckpoint, Error> {
        let (account, size) = (stored.account, stored.size);
        match checkpoint::open(&stored.note, self.keys.verifiers(), account) {
            Ok(open) if open.checkpoint.size == size => Ok(VerifiedCheckpoint {
                stored,
                signed: open.checkpoint,
            }),
            _ => Err(Error::Tampered {
                account,
                log_index: size.saturating_sub(1),
            }),
        }
    }
}
