//! The worker that signs checkpoints of the ledgers that grew.
//!
//! Before it signs, it makes sure that the ledger leads on from the checkpoint before: the tiles give the root that was
//! signed, and the root that the head has now. If they do not, somebody has rewritten history, and no signature of ours
//! shall cover that up. Several replicas may sign the same: the signature is the same too.

use std::{collections::HashMap, time::Duration};

use crate::{
    domain::AccountId,
    ledger::{Checkpoint, Hash, merkle::hex},
    store::{
        audit,
        checkpoints::{self, Grown, StoredCheckpoint},
    },
    worker::{NextRound, Trigger, Worker},
};

use super::{Audit, AuditEntry, Error, reads};

/// At most so many ledgers in a round; those that grew first come first.
const MAX_LEDGERS: u32 = 10_000;

/// So many checkpoints are kept in one commit. Then there is a rest as long as the work was: with very many ledgers that grow, a
/// checkpoint comes later, and grants do not.
const MAX_PER_COMMIT: usize = 256;

/// So many checkpoints are looked at to tell from where on a ledger is not what was signed.
const MAX_LOOK_BACK: usize = 64;

/// Signs checkpoints.
#[derive(Debug)]
pub struct Signer {
    audit: Audit,
    every: Duration,
    /// What this process signed or saw signed: whoever removes a checkpoint from the store does not remove it from here.
    seen: HashMap<AccountId, (u64, Hash)>,
    /// Ledgers that are not signed for.
    refused: HashMap<AccountId, RefusedLedger>,
}

/// A ledger that is not signed for.
#[derive(Debug)]
struct RefusedLedger {
    /// As it was when that was said.
    grown: Grown,
    /// From which entry on it is not what was signed.
    log_index: u64,
}

/// What became of a ledger since its last checkpoint.
enum LedgerCheck {
    /// It only grew.
    Extends,
    /// Somebody else has signed what it has grown to meanwhile: it is looked at again when it grows on.
    Overtaken,
}

impl Worker for Signer {
    const NAME: &'static str = "signing";
    const FAILURE: &'static str = "cannot sign checkpoints";
    const AT_ONCE: bool = false;
    type Error = Error;

    fn every(&self) -> Duration {
        self.every
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, Error> {
        let grown = checkpoints::grown(&self.audit.database, MAX_LEDGERS).await?;
        let mut grown = grown.into_iter().peekable();
        while grown.peek().is_some() {
            let begun = self.audit.clock.monotonic_now();
            self.sign_all(grown.by_ref().take(MAX_PER_COMMIT)).await?;
            if grown.peek().is_some() {
                let took = self.audit.clock.monotonic_now().since(begun);
                self.audit.clock.sleep(took).await;
            }
        }
        Ok(NextRound::Interval)
    }
}

impl Signer {
    /// A worker that looks for ledgers that grew every so often.
    pub fn new(audit: Audit, every: Duration) -> Self {
        Self {
            audit,
            every,
            seen: HashMap::new(),
            refused: HashMap::new(),
        }
    }

    async fn sign_all(&mut self, grown: impl Iterator<Item = Grown>) -> Result<(), Error> {
        let mut signed = Vec::new();
        for grown in grown {
            let account = grown.account;
            match self.process(grown).await {
                Ok(checkpoint) => signed.extend(checkpoint),
                Err(Error::Store(error)) if error.is_transient() => return Err(error.into()),
                // One ledger that cannot be looked at must not keep the others from being signed for.
                Err(error) => {
                    tracing::error!(
                        account_id = %account,
                        error = &error as &dyn std::error::Error,
                        "a ledger cannot be signed for"
                    );
                }
            }
        }
        if signed.is_empty() {
            return Ok(());
        }
        let kept = checkpoints::save(&self.audit.database, &signed).await?;
        for StoredCheckpoint {
            account,
            size,
            root,
            note,
            ..
        } in signed.iter().filter(|one| kept.contains(&one.account))
        {
            tracing::info!(account_id = %account, size, root = hex(root), note, "signed a checkpoint");
        }
        Ok(())
    }

    async fn process(&mut self, grown: Grown) -> Result<Option<StoredCheckpoint>, Error> {
        match self.examine(&grown).await {
            Ok(checked) => {
                self.refused.remove(&grown.account);
                Ok(match checked {
                    LedgerCheck::Extends => self.sign(&grown),
                    LedgerCheck::Overtaken => None,
                })
            }
            Err(Error::Tampered { account, log_index }) => {
                self.refuse(account, log_index, grown).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes sure that the ledger leads on from what was signed.
    async fn examine(&self, grown: &Grown) -> Result<LedgerCheck, Error> {
        let (account, size) = (grown.account, grown.size);
        let tampered = |log_index| Err(Error::Tampered { account, log_index });
        let signed = self.signed(grown)?;
        for &(signed_size, signed_root) in &signed {
            if signed_size > size {
                // The ledger may have grown since its size was read, and another replica may have signed that.
                let tree_size = self.audit.tree_size(account).await?;
                return if tree_size < signed_size {
                    tampered(tree_size)
                } else {
                    Ok(LedgerCheck::Overtaken)
                };
            }
            let roots = self.audit.tree(account, size).roots(signed_size).await?;
            if roots != (signed_root, grown.root) {
                return tampered(0);
            }
        }
        if signed.is_empty() && self.audit.tree(account, size).root().await? != grown.root {
            return tampered(0);
        }
        Ok(LedgerCheck::Extends)
    }

    /// What was signed: by the store, and by what this process has seen.
    fn signed(&self, grown: &Grown) -> Result<Vec<(u64, Hash)>, Error> {
        let seen = self.seen.get(&grown.account).copied();
        let stored = match &grown.signed {
            Some(stored) => {
                let kept = self.audit.verified(stored.clone())?;
                Some((kept.signed.size, kept.signed.root))
            }
            None => None,
        };
        Ok(stored.into_iter().chain(seen.filter(|_| seen != stored)).collect())
    }

    fn sign(&mut self, grown: &Grown) -> Option<StoredCheckpoint> {
        let (keys, account) = (&self.audit.keys, grown.account);
        let checkpoint = Checkpoint {
            origin: keys.origin(account),
            size: grown.size,
            root: grown.root,
        };
        let Ok(note) = checkpoint.sign(keys.signing()) else {
            // The name of the key was checked when it was read.
            tracing::error!(account_id = %account, "the checkpoint cannot be written as a note");
            return None;
        };
        self.seen.insert(account, (grown.size, grown.root));
        Some(StoredCheckpoint {
            account,
            size: grown.size,
            root: grown.root,
            note: note.to_string(),
            signed_at: self.audit.clock.now(),
        })
    }

    /// Says so once for each state of the ledger. From which entry on is looked for once: the others wait for their turn, and
    /// a ledger that goes on growing would be read from its beginning in every round.
    async fn refuse(&mut self, account: AccountId, log_index: u64, grown: Grown) -> Result<(), Error> {
        let before = self.refused.get(&account);
        if before.is_some_and(|before| before.grown == grown) {
            return Ok(());
        }
        let log_index = match (before, log_index) {
            (Some(before), _) => before.log_index,
            (None, 0) => self.audit.first_unproven(account, grown.size).await?,
            (None, found) => found,
        };
        let signed = self.signed(&grown).unwrap_or_default();
        let signed_size = signed.iter().map(|(size, _)| *size).max().unwrap_or_default();
        tracing::error!(
            account_id = %account,
            log_index,
            size = grown.size,
            signed_size,
            "the ledger was tampered with: it does not lead on from its checkpoint, and is not signed for"
        );
        self.refused.insert(account, RefusedLedger { grown, log_index });
        Ok(())
    }
}

impl Audit {
    /// From which entry on a ledger of so many entries is not known to be what was signed: the first one that does not match
    /// its hash, or else the first one behind the latest checkpoint that still holds.
    pub(super) async fn first_unproven(&self, account: AccountId, size: u64) -> Result<u64, Error> {
        let mut holds = 0;
        let mut before = size.saturating_add(1);
        for _ in 0..MAX_LOOK_BACK {
            let Some(stored) = checkpoints::before(&self.database, account, before).await? else {
                break;
            };
            before = stored.size;
            let Ok(kept) = self.verified(stored) else { continue };
            let root = self.tree(account, kept.signed.size).root().await;
            if root.is_ok_and(|root| root == kept.signed.root) {
                holds = kept.signed.size;
                break;
            }
        }
        Ok(self.first_wrong(account, holds, size).await?.unwrap_or(holds))
    }

    /// The first entry that is gone, does not match its hash, or is not in its place.
    async fn first_wrong(&self, account: AccountId, start: u64, end: u64) -> Result<Option<u64>, Error> {
        let mut next = start;
        while next < end {
            let entries = match reads::stored_page(&self.database, account, next, end).await {
                Ok(entries) => entries,
                Err(Error::Tampered { log_index, .. }) => return Ok(Some(log_index)),
                // What is in files was verified when it was written.
                Err(Error::EntryArchived { log_index, .. }) => {
                    let archived = audit::archived_at(&self.database, account, log_index).await?;
                    next = archived.map_or(end, |archived| archived.end_index);
                    continue;
                }
                Err(error) => return Err(error),
            };
            next += entries.len() as u64;
            for entry in entries {
                let log_index = entry.log_index;
                if AuditEntry::check(entry).is_err() {
                    return Ok(Some(log_index));
                }
            }
        }
        Ok(None)
    }
}
