//! Following ledgers: what is there already, read page by page from the table; then what is added, from the [`super::tail`].
//!
//! A watch keeps the next index of every ledger, and nothing else: what lies before it was sent, what lies behind is to be.
//! TailEvent that begin at the next index are sent; older ones were sent; newer ones, or a ring that has gone on, mean that the
//! table is read up to there. So there is no gap and no duplicate, however slow the reader is and wherever it begins.

use std::{
    collections::{BTreeSet, VecDeque},
    pin::Pin,
    time::Duration,
};

use tokio::sync::{
    broadcast::error::{RecvError, TryRecvError},
    watch,
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, MonotonicInstant},
    domain::{AccountId, Timestamp},
    store::{Database, LedgerSizes},
};

use super::{
    Audit, AuditEntry, Error,
    reads::{self, EntryBatch},
    tail::{ReadPermits, TailEvent, TailReceiver},
};

/// After so long without anything to send, a sign of life is sent.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// What to follow, and where to begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchFrom {
    /// These ledgers only; all, also those that are yet to come, if empty.
    pub accounts: BTreeSet<AccountId>,
    /// The first entry to send, ledger by ledger.
    pub positions: LedgerSizes,
    /// In the others begin with the first entry, and not with what is added from now on.
    pub from_beginning: bool,
}

/// What there is to send.
#[derive(Debug)]
pub enum WatchEvent {
    /// Where the watch begins in every ledger that is there.
    Started(LedgerSizes),
    /// The next entries of one ledger. At least one.
    Entries(EntryBatch),
    /// Everything that was on record by this time was sent.
    Heartbeat(Timestamp),
}

/// A watch under way.
pub struct Watch {
    database: Database,
    clock: Clock,
    stop: CancellationToken,
    permits: ReadPermits,
    accounts: BTreeSet<AccountId>,
    listener: TailReceiver,
    /// The next index of each ledger; 0 where none is kept.
    next: LedgerSizes,
    /// Ledgers that the table is to be read of, and up to where.
    behind: VecDeque<(AccountId, u64)>,
    /// What was read and not sent yet.
    ready: VecDeque<WatchEvent>,
    quiet: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// A sign of life is due, since then: it is sent when all that is older was.
    due: Option<(MonotonicInstant, Timestamp)>,
    /// When the watch began: what is older was not waited for.
    began: Timestamp,
}

impl Audit {
    /// Begins to follow ledgers.
    ///
    /// # Errors
    /// [`Error::EntryNotFound`] for a position that its ledger has not come to, or the store's.
    pub async fn watch(&self, from: WatchFrom) -> Result<Watch, Error> {
        // In this order nothing falls in between: what is committed after the sizes were read is in the news.
        let listener = self.tail.listen();
        let accounts: Vec<_> = from.accounts.iter().copied().collect();
        let permits = self.tail.permits();
        let sizes = permits.wait(reads::sizes(&self.database, &accounts)).await?;
        let next = begin(&from, &sizes)?;
        let mut watch = Watch {
            database: self.database.clone(),
            clock: self.clock.clone(),
            stop: self.stop.clone(),
            permits,
            accounts: from.accounts,
            listener,
            next: next.clone(),
            behind: VecDeque::new(),
            ready: VecDeque::from([WatchEvent::Started(next)]),
            quiet: Box::pin(std::future::ready(())),
            due: None,
            began: self.clock.now(),
        };
        watch.catch_up(&sizes);
        Ok(watch)
    }
}

/// The next index of every ledger that is there.
fn begin(from: &WatchFrom, sizes: &LedgerSizes) -> Result<LedgerSizes, Error> {
    for (account, position) in &from.positions {
        let tree_size = sizes.get(account).copied().unwrap_or_default();
        if *position > tree_size {
            return Err(Error::EntryNotFound {
                account: *account,
                log_index: *position,
                tree_size,
            });
        }
    }
    let next = sizes.iter().map(|(account, size)| {
        let other = if from.from_beginning { 0 } else { *size };
        (*account, from.positions.get(account).copied().unwrap_or(other))
    });
    Ok(next.collect())
}

impl Watch {
    /// What to send next. Never ends by itself.
    ///
    /// # Errors
    /// [`Error::Stopping`] when the server stops; [`Error::Tampered`], [`Error::EntryArchived`], or the store's. A watch that
    /// failed is over: another one goes on from the same positions.
    pub async fn next(&mut self) -> Result<WatchEvent, Error> {
        loop {
            if self.stop.is_cancelled() {
                return Err(Error::Stopping);
            }
            if let Some(event) = self.ready.pop_front() {
                self.due = None;
                self.measure(&event);
                let (clock, quiet) = (self.clock.clone(), HEARTBEAT_INTERVAL);
                self.quiet = Box::pin(async move { clock.sleep(quiet).await });
                return Ok(event);
            }
            match self.behind.front().copied() {
                Some((account, end)) => self.read(account, end).await?,
                None => self.wait().await?,
            }
        }
    }

    /// How late an entry is sent that was recorded while the watch was there.
    fn measure(&self, event: &WatchEvent) {
        let WatchEvent::Entries(entries) = event else { return };
        if let Some(recorded_at) = entries.first().map(AuditEntry::recorded_at)
            && recorded_at >= self.began
        {
            let lag = self.clock.now().since(recorded_at);
            self.database.instruments().watch_lag(lag);
        }
    }

    /// Reads a page of the table.
    async fn read(&mut self, account: AccountId, end: u64) -> Result<(), Error> {
        let start = self.next_of(account);
        if start >= end {
            self.behind.pop_front();
            return Ok(());
        }
        let page = reads::page(&self.database, account, start, end);
        for batch in self.permits.wait(page).await? {
            self.send(account, batch);
        }
        Ok(())
    }

    /// Waits for news, or for the time to give a sign of life.
    async fn wait(&mut self) -> Result<(), Error> {
        let since = self.due;
        let TailReceiver { news, confirmed } = &mut self.listener;
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Error::Stopping),
            news = news.recv() => match news {
                Ok(news) => self.hear(news),
                Err(RecvError::Lagged(_)) => self.ask().await,
                Err(RecvError::Closed) => Err(Error::Stopping),
            },
            () = &mut self.quiet, if since.is_none() => {
                self.due = Some((self.clock.monotonic_now(), self.clock.now()));
                Ok(())
            }
            Some(time) = confirmed_since(confirmed, since), if since.is_some() => self.beat(time).await,
        }
    }

    /// Everything older than `time` is in the news; what is left of these goes first.
    async fn beat(&mut self, time: Timestamp) -> Result<(), Error> {
        match self.listener.news.try_recv() {
            Ok(news) => self.hear(news),
            Err(TryRecvError::Lagged(_)) => self.ask().await,
            Err(TryRecvError::Closed) => Err(Error::Stopping),
            Err(TryRecvError::Empty) => {
                self.ready.push_back(WatchEvent::Heartbeat(time));
                Ok(())
            }
        }
    }

    fn hear(&mut self, news: TailEvent) -> Result<(), Error> {
        match news {
            TailEvent::LedgerSizes(sizes) => self.catch_up(&sizes),
            TailEvent::Tampered(account, log_index) if self.follows(account) => {
                return Err(Error::Tampered { account, log_index });
            }
            TailEvent::Tampered(..) => {}
            TailEvent::Entries(batch) => self.take(batch),
        }
        Ok(())
    }

    fn take(&mut self, batch: EntryBatch) {
        let Some((account, start)) = batch.first().map(|entry| (entry.account(), entry.log_index())) else {
            return;
        };
        if !self.follows(account) {
            return;
        }
        let (next, end) = (self.next_of(account), start + batch.len() as u64);
        if start > next {
            self.behind.push_back((account, end));
        } else if end > next {
            self.send(account, batch.from(next));
        }
    }

    /// The ring has gone on: the table tells how far.
    async fn ask(&mut self) -> Result<(), Error> {
        let accounts: Vec<_> = self.accounts.iter().copied().collect();
        let sizes = self.permits.wait(reads::sizes(&self.database, &accounts)).await?;
        self.catch_up(&sizes);
        Ok(())
    }

    fn catch_up(&mut self, sizes: &LedgerSizes) {
        for (account, size) in sizes {
            if self.follows(*account) && self.next_of(*account) < *size {
                self.behind.push_back((*account, *size));
            }
        }
    }

    fn send(&mut self, account: AccountId, batch: EntryBatch) {
        *self.next.entry(account).or_default() += batch.len() as u64;
        self.ready.push_back(WatchEvent::Entries(batch));
    }

    fn follows(&self, account: AccountId) -> bool {
        self.accounts.is_empty() || self.accounts.contains(&account)
    }

    fn next_of(&self, account: AccountId) -> u64 {
        self.next.get(&account).copied().unwrap_or_default()
    }
}

/// Waits until everything is in the news that is older than what is due. Nothing, if that will not be.
async fn confirmed_since(
    confirmed: &mut watch::Receiver<Option<MonotonicInstant>>,
    due: Option<(MonotonicInstant, Timestamp)>,
) -> Option<Timestamp> {
    let (since, time) = due?;
    let told = |at: &Option<MonotonicInstant>| at.is_some_and(|at| at >= since);
    confirmed.wait_for(told).await.ok()?;
    Some(time)
}
