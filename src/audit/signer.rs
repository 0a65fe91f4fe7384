//! The worker that signs a checkpoint of each ledger that grew.
//!
//! Before it signs, it checks that the ledger extends its last checkpoint: the tiles must give both the signed root and the root
//! of the head. If they do not, the history was rewritten, and the ledger is not signed. The last checkpoint is the one in the
//! store, and the largest that this process knows (see [`super::known`]): it reads the latest one of each ledger at its start,
//! and replicas tell each other theirs. A ledger without a known checkpoint must extend its first commit by this process, or an
//! operator confirms it (see [`super::confirm`]). Several replicas may sign the same checkpoint; their signatures are
//! identical.

use std::{collections::HashMap, time::Duration};

use crate::{
    clock::MonotonicInstant,
    domain::AccountId,
    ledger::{Checkpoint, Hash, Note, checkpoint, merkle::hex},
    store::{
        Beginnings, Notifications, PeerCheckpoints, Received,
        audit::{self, StoredEntry},
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

/// Checkpoints read by one query at the start.
const LEARNT_AT_ONCE: u32 = 1000;

/// Intervals in which a replica that starts signs new ledgers only, from the time that its question to the others came back to
/// it. They answer within half an interval.
const LISTENED: u8 = 2;

/// A replica whose question does not come back listens for this number of intervals.
const MAX_LISTENED: u8 = 10;

/// Signs checkpoints.
#[derive(Debug)]
pub struct Signer {
    audit: Audit,
    beginnings: Beginnings,
    peers: PeerCheckpoints,
    interval: Duration,
    /// True when the latest checkpoint of each ledger was read.
    has_learnt: bool,
    /// The intervals since the start, and how many there were when a question arrived.
    intervals: u8,
    asked_at: Option<u8>,
    /// When the known checkpoints were last repeated for other replicas, and whether one asked since.
    repeated_at: Option<MonotonicInstant>,
    is_asked: bool,
    /// Ledgers that are not signed, because they were tampered with.
    refused: HashMap<AccountId, RefusedLedger>,
    /// Ledgers that are not signed, because no checkpoint of them is known.
    unconfirmed: HashMap<AccountId, UnconfirmedLedger>,
}

/// A ledger without a known checkpoint.
#[derive(Debug)]
struct UnconfirmedLedger {
    /// When this was noticed. Another replica may be about to sign its first checkpoint.
    since: MonotonicInstant,
    is_logged: bool,
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
    /// No checkpoint is known, and the ledger does not extend a commit of this process.
    Unconfirmed,
}

impl Worker for Signer {
    const NAME: &'static str = "signing";
    const FAILURE: &'static str = "cannot sign checkpoints";
    type Error = Error;

    fn every(&self) -> Duration {
        self.interval
    }

    /// The first rounds sign new ledgers only: meanwhile other replicas repeat what they know.
    async fn round(&mut self, trigger: Trigger) -> Result<NextRound, Error> {
        if !self.has_learnt {
            self.learn().await?;
            self.has_learnt = true;
            return Ok(NextRound::Interval);
        }
        let next = self.hear().await;
        let is_interval = trigger == Trigger::Interval;
        if is_interval && !self.is_listening() {
            self.sign_grown(None).await?;
        } else {
            // A new ledger is signed at once. If this process ends before, an operator has to confirm it.
            let begun = self.beginnings.accounts();
            if !begun.is_empty() {
                self.sign_grown(Some(&begun)).await?;
            }
        }
        self.intervals = self.intervals.saturating_add(is_interval.into());
        Ok(next)
    }

    async fn woken(&mut self) {
        tokio::select! {
            () = self.beginnings.committed() => {}
            () = self.peers.received() => {}
        }
    }
}

impl Signer {
    /// A worker that signs the ledgers that grew, once per `interval`.
    pub fn new(audit: Audit, notifications: &Notifications, interval: Duration) -> Self {
        Self {
            audit,
            beginnings: notifications.beginnings.clone(),
            peers: notifications.peer_checkpoints.clone(),
            interval,
            has_learnt: false,
            intervals: 0,
            asked_at: None,
            repeated_at: None,
            is_asked: false,
            refused: HashMap::new(),
            unconfirmed: HashMap::new(),
        }
    }

    /// Signs a ledger whose first entries an operator confirmed, if it leads on from them. Returns the size of the checkpoint.
    pub(super) async fn sign_confirmed(
        audit: &Audit,
        account: AccountId,
        (size, root): (u64, Hash),
    ) -> Result<u64, Error> {
        let notifications = Notifications::default();
        notifications.beginnings.keep(account, size, root);
        let mut signer = Self::new(audit.clone(), &notifications, Duration::ZERO);
        let grown = checkpoints::grown(&audit.database, Some(&[account]), 1).await?;
        signer.sign_all(grown.into_iter()).await?;
        let signed = audit.known.of(account).map(|(size, _)| size);
        signed.ok_or(Error::Tampered {
            account,
            log_index: size - 1,
        })
    }

    /// True while other replicas may still repeat what they know.
    fn is_listening(&self) -> bool {
        let until = self.asked_at.map_or(MAX_LISTENED, |at| at.saturating_add(LISTENED));
        self.intervals < until.min(MAX_LISTENED)
    }

    /// Reads and remembers the latest checkpoint of each ledger.
    async fn learn(&self) -> Result<(), Error> {
        let mut last = None;
        loop {
            let latest = checkpoints::latest_of_each(&self.audit.database, last, LEARNT_AT_ONCE).await?;
            let Some(next) = latest.last().map(|stored| stored.account) else {
                return Ok(());
            };
            last = Some(next);
            for stored in latest {
                // A checkpoint that does not verify is reported when its ledger is checked.
                let _ = self.audit.verified(stored);
                tokio::task::yield_now().await;
            }
        }
    }

    /// Remembers the checkpoints of other replicas. Repeats all known ones if a replica asks: at most twice in an interval,
    /// because any database user can ask.
    async fn hear(&mut self) -> NextRound {
        let Received {
            notes,
            is_asked,
            dropped,
            ..
        } = self.peers.take();
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "checkpoints from other replicas were dropped, because too many arrived at once; replicas tell them again"
            );
        }
        for note in notes {
            if let Some(account) = self.audit.remember_note(&note) {
                self.beginnings.forget(account);
            }
            tokio::task::yield_now().await;
        }
        if is_asked {
            self.is_asked = true;
            self.asked_at.get_or_insert(self.intervals);
        }
        if !self.is_asked {
            return NextRound::Interval;
        }
        let now = self.audit.clock.monotonic_now();
        let since = self.repeated_at.map(|at| now.since(at));
        match since.and_then(|since| (self.interval / 2).checked_sub(since)) {
            Some(wait) if !wait.is_zero() => NextRound::After(wait),
            _ => {
                (self.is_asked, self.repeated_at) = (false, Some(now));
                self.peers.send(self.audit.known.notes());
                NextRound::Interval
            }
        }
    }

    /// Signs the ledgers that grew, of `accounts` if given.
    async fn sign_grown(&mut self, accounts: Option<&[AccountId]>) -> Result<(), Error> {
        let grown = checkpoints::grown(&self.audit.database, accounts, MAX_LEDGERS).await?;
        let mut grown = grown.into_iter().peekable();
        while grown.peek().is_some() {
            let started = self.audit.clock.monotonic_now();
            self.sign_all(grown.by_ref().take(MAX_PER_COMMIT)).await?;
            if grown.peek().is_some() {
                let took = self.audit.clock.monotonic_now().since(started);
                self.audit.clock.sleep(took).await;
            }
        }
        Ok(())
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
            self.peers.send([note.clone()]);
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
                    LedgerCheck::Unconfirmed => {
                        self.report_unconfirmed(&grown);
                        None
                    }
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
        if signed.is_empty() {
            return self.check_begun(grown).await;
        }
        Ok(LedgerCheck::Extends)
    }

    /// Checks that a ledger without a known checkpoint extends its first commit by this process.
    async fn check_begun(&self, grown: &Grown) -> Result<LedgerCheck, Error> {
        let (account, size) = (grown.account, grown.size);
        for (begun, root) in self.beginnings.of(account) {
            if begun > size {
                continue;
            }
            let roots = self.audit.tree(account, size).roots(begun).await?;
            if roots == (root, grown.root) {
                return Ok(LedgerCheck::Extends);
            } else if roots.0 == root {
                return Err(Error::Tampered { account, log_index: 0 });
            }
        }
        Ok(LedgerCheck::Unconfirmed)
    }

    /// The signed sizes and roots: the latest checkpoint in the store, and the largest one that this process knows.
    fn signed(&self, grown: &Grown) -> Result<Vec<(u64, Hash)>, Error> {
        let stored = match &grown.signed {
            Some(stored) => {
                let kept = self.audit.verified(stored.clone())?;
                Some((kept.signed.size, kept.signed.root))
            }
            None => None,
        };
        let known = self.audit.known.of(grown.account);
        Ok(stored.into_iter().chain(known.filter(|_| known != stored)).collect())
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
            tracing::error!(account_id = %account, "cannot encode the checkpoint as a signed note");
            return None;
        };
        self.audit.known.remember(account, &checkpoint, &note.to_string());
        self.beginnings.forget(account);
        self.unconfirmed.remove(&account);
        Some(NewCheckpoint {
            account,
            size: grown.size,
            root: grown.root,
            note: note.to_string(),
        })
    }

    /// Logs, once, that a ledger waits for a confirmation. Until the second interval another replica may sign it.
    fn report_unconfirmed(&mut self, grown: &Grown) {
        let now = self.audit.clock.monotonic_now();
        let waiting = self.unconfirmed.entry(grown.account).or_insert(UnconfirmedLedger {
            since: now,
            is_logged: false,
        });
        if waiting.is_logged || now.since(waiting.since) < self.interval {
            return;
        }
        waiting.is_logged = true;
        tracing::error!(
            account_id = %grown.account,
            size = grown.size,
            root = hex(&grown.root),
            "the ledger has entries, and no checkpoint of it is known: it is not signed until an operator confirms it \
             (sharewarden audit confirm)"
        );
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
            "the ledger was tampered with: it does not extend its last checkpoint or its first commit, and is not signed"
        );
        self.refused.insert(account, RefusedLedger { grown, log_index });
        Ok(())
    }
}

impl Audit {
    /// Remembers a checkpoint that another replica sent, if a known key signed it. Returns its account if a checkpoint of it is
    /// known then.
    fn remember_note(&self, text: &str) -> Option<AccountId> {
        let note: Note = text.parse().ok()?;
        let stated: Checkpoint = note.text().parse().ok()?;
        let account = stated.account()?;
        let known = self.known.of(account);
        if known.is_some_and(|(size, root)| size > stated.size || (size, root) == (stated.size, stated.root)) {
            return Some(account);
        }
        let signed = checkpoint::open(text, self.keys.verifiers(), account).ok()?.checkpoint;
        if !self.known.remember(account, &signed, text) {
            tracing::error!(
                account_id = %account,
                size = signed.size,
                "two signed checkpoints of the same size have different roots: one of them covers a rewritten ledger"
            );
            return None;
        }
        tracing::debug!(account_id = %account, size = signed.size, "a checkpoint of another replica is remembered");
        Some(account)
    }

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
    pub(super) async fn first_invalid(&self, account: AccountId, start: u64, end: u64) -> Result<Option<u64>, Error> {
        let mut next = start;
        while next < end {
            let is_valid = |entry: StoredEntry<'_>| AuditEntry::check(entry).is_ok();
            let are_valid = match reads::mapped_page(&self.database, account, next, end, is_valid).await {
                Ok(are_valid) => are_valid,
                Err(Error::Tampered { log_index, .. }) => return Ok(Some(log_index)),
                // Archive files were verified when they were written.
                Err(Error::EntryArchived { log_index, .. }) => {
                    let archived = audit::archived_at(&self.database, account, log_index).await?;
                    next = archived.map_or(end, |archived| archived.end_index);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for is_valid in are_valid {
                if !is_valid {
                    return Ok(Some(next));
                }
                next += 1;
            }
        }
        Ok(None)
    }
}
