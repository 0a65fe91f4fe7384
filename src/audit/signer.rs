//! The worker that signs a checkpoint of each ledger that grew.
//!
//! Before it signs, it checks that the ledger extends its last checkpoint: the tiles must give both the signed root and the root
//! of the head. If they do not, the history was rewritten, and the ledger is not signed. Several replicas may sign the same
//! checkpoint; their signatures are identical.

use std::{collections::HashMap, time::Duration};

use crate::{
    domain::AccountId,
    ledger::{Checkpoint, Hash, merkle::hex},
    store::{
        audit,
        checkpoints::{self, Grown, NewCheckpoint},
    },
    worker::{NextRound, Trigger, Worker},
};

use super::{Audit, AuditEntry, Error, reads};

/// Maximum ledgers in a round. Those that grew first come first.
const MAX_LEDGERS: u32 = 10_000;

/// Maximum checkpoints in one commit. After each commit the worker pauses for as long as the work took. With many ledgers this
/// delays checkpoints instead of grants.
const MAX_PER_COMMIT: usize = 256;

/// Maximum checkpoints to examine in the search for the first entry that was tampered with.
const MAX_LOOK_BACK: usize = 64;

/// Signs checkpoints.
#[derive(Debug)]
pub struct Signer {
    audit: Audit,
    interval: Duration,
    /// The last size and root that this process signed. A checkpoint that is deleted from the store stays known here.
    seen: HashMap<AccountId, (u64, Hash)>,
    /// Ledgers that are not signed, because they were tampered with.
    refused: HashMap<AccountId, RefusedLedger>,
}

/// A ledger that is not signed.
#[derive(Debug)]
struct RefusedLedger {
    /// The state of the ledger when this was logged.
    grown: Grown,
    /// The first entry that may have been tampered with.
    log_index: u64,
}

/// The result of comparing a ledger with its last checkpoint.
enum LedgerCheck {
    /// The ledger extends the checkpoint.
    Extends,
    /// Another replica has signed a newer size since the read. The next growth starts the next check.
    Overtaken,
}

impl Worker for Signer {
    const NAME: &'static str = "signing";
    const FAILURE: &'static str = "cannot sign checkpoints";
    const AT_ONCE: bool = false;
    type Error = Error;

    fn every(&self) -> Duration {
        self.interval
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, Error> {
        let grown = checkpoints::grown(&self.audit.database, MAX_LEDGERS).await?;
        let mut grown = grown.into_iter().peekable();
        while grown.peek().is_some() {
            let started = self.audit.clock.monotonic_now();
            self.sign_all(grown.by_ref().take(MAX_PER_COMMIT)).await?;
            if grown.peek().is_some() {
                let took = self.audit.clock.monotonic_now().since(started);
                self.audit.clock.sleep(took).await;
            }
        }
        Ok(NextRound::Interval)
    }
}

impl Signer {
    /// A worker that signs the ledgers that grew, once per `interval`.
    pub fn new(audit: Audit, interval: Duration) -> Self {
        Self {
            audit,
            interval,
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
                // A ledger that cannot be checked must not stop the signing of the others.
                Err(error) => {
                    tracing::error!(
                        account_id = %account,
                        error = &error as &dyn std::error::Error,
                        "cannot check or sign a ledger"
                    );
                }
            }
        }
        if signed.is_empty() {
            return Ok(());
        }
        let saved = checkpoints::save(&self.audit.database, &signed).await?;
        for NewCheckpoint {
            account,
            size,
            root,
            note,
        } in signed.iter().filter(|checkpoint| saved.contains(&checkpoint.account))
        {
            tracing::info!(account_id = %account, size, root = hex(root), note, "signed a checkpoint");
        }
        Ok(())
    }

    async fn process(&mut self, grown: Grown) -> Result<Option<NewCheckpoint>, Error> {
        match self.check(&grown).await {
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

    /// Checks that the ledger extends what was signed.
    async fn check(&self, grown: &Grown) -> Result<LedgerCheck, Error> {
        let (account, size) = (grown.account, grown.size);
        let tampered = |log_index| Err(Error::Tampered { account, log_index });
        let signed = self.signed(grown)?;
        for &(signed_size, signed_root) in &signed {
            if signed_size > size {
                // Since the size was read, the ledger may have grown and another replica may have signed it.
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

    /// The signed sizes and roots: the latest checkpoint in the store, and the last one that this process signed.
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

    fn sign(&mut self, grown: &Grown) -> Option<NewCheckpoint> {
        let (keys, account) = (&self.audit.keys, grown.account);
        let checkpoint = Checkpoint {
            origin: keys.origin(account),
            size: grown.size,
            root: grown.root,
        };
        let Ok(note) = checkpoint.sign(keys.signing()) else {
            // Not expected: the configuration validates the key name.
            tracing::error!(account_id = %account, "cannot write the checkpoint as a note");
            return None;
        };
        self.seen.insert(account, (grown.size, grown.root));
        Some(NewCheckpoint {
            account,
            size: grown.size,
            root: grown.root,
            note: note.to_string(),
        })
    }

    /// Logs the tampering once for each state of the ledger. The search for the first entry runs once per ledger, because it may
    /// read the ledger from its beginning while other ledgers wait.
    async fn refuse(&mut self, account: AccountId, log_index: u64, grown: Grown) -> Result<(), Error> {
        let before = self.refused.get(&account);
        if before.is_some_and(|before| before.grown == grown) {
            return Ok(());
        }
        let log_index = match (before, log_index) {
            (Some(before), _) => before.log_index,
            (None, 0) => self.audit.first_unproven(account, grown.size).await?,
            (None, known) => known,
        };
        let signed = self.signed(&grown).unwrap_or_default();
        let signed_size = signed.iter().map(|(size, _)| *size).max().unwrap_or_default();
        tracing::error!(
            account_id = %account,
            log_index,
            size = grown.size,
            signed_size,
            "the ledger was tampered with: it does not extend its last checkpoint, and is not signed"
        );
        self.refused.insert(account, RefusedLedger { grown, log_index });
        Ok(())
    }
}

impl Audit {
    /// The first entry below `size` that may have been tampered with: the first one that does not verify. If all verify, the
    /// first one after the latest checkpoint whose root still matches.
    pub(super) async fn first_unproven(&self, account: AccountId, size: u64) -> Result<u64, Error> {
        let mut proven = 0;
        let mut before = size.saturating_add(1);
        for _ in 0..MAX_LOOK_BACK {
            let Some(stored) = checkpoints::before(&self.database, account, before).await? else {
                break;
            };
            before = stored.size;
            let Ok(checkpoint) = self.verified(stored) else {
                continue;
            };
            let root = self.tree(account, checkpoint.signed.size).root().await;
            if root.is_ok_and(|root| root == checkpoint.signed.root) {
                proven = checkpoint.signed.size;
                break;
            }
        }
        Ok(self.first_invalid(account, proven, size).await?.unwrap_or(proven))
    }

    /// The first entry that is missing or does not verify.
    async fn first_invalid(&self, account: AccountId, start: u64, end: u64) -> Result<Option<u64>, Error> {
        let mut next = start;
        while next < end {
            let entries = match reads::stored_page(&self.database, account, next, end).await {
                Ok(entries) => entries,
                Err(Error::Tampered { log_index, .. }) => return Ok(Some(log_index)),
                // Archive files were verified when they were written.
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
