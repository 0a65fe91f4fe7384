//! Follows ledgers: reads the existing entries from the table in pages, then receives new entries from the [`super::tail`].
//!
//! A watch keeps the next index of each ledger; all entries before it were sent. A batch that starts at the next index is sent. A
//! batch before it is dropped. After a batch beyond it, or lost events, the watch reads the table. So a watch has no gap and no
//! duplicate, however slow its reader is and wherever it starts.

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
    tail::{Confirmed, ReadPermits, TailEvent, TailReceiver},
};

/// How long a watch is silent before it sends a heartbeat.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// Which ledgers to follow, and where to start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchFrom {
    /// The accounts of the ledgers. Empty: all ledgers, also future ones.
    pub accounts: BTreeSet<AccountId>,
    /// The first entry to send, by ledger.
    pub positions: LedgerSizes,
    /// Where the other ledgers start: true for the first entry, false for the entries added from now on.
    pub from_beginning: bool,
}

/// A message of a watch.
#[derive(Debug)]
pub enum WatchEvent {
    /// The start index in each existing ledger.
    Started(LedgerSizes),
    /// The next entries of one ledger. Not empty.
    Entries(EntryBatch),
    /// Every entry committed before this time on the database's clock was sent.
    Heartbeat(Timestamp),
}

/// A watch in progress.
pub struct Watch {
    database: Database,
    clock: Clock,
    stop: CancellationToken,
    permits: ReadPermits,
    accounts: BTreeSet<AccountId>,
    receiver: TailReceiver,
    /// The next index of each ledger; 0 for a ledger that is not in the map.
    next: LedgerSizes,
    /// The ledgers to read from the table, each with the end index, exclusive.
    backlog: VecDeque<(AccountId, u64)>,
    /// Events that were not sent yet.
    ready: VecDeque<WatchEvent>,
    silence: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// When a heartbeat became due. It is sent after every older entry was sent.
    heartbeat_due: Option<MonotonicInstant>,
    /// When the watch started, on the clocks of this process and of the database. The lag of older entries is not measured.
    started: (MonotonicInstant, Timestamp),
}

impl Audit {
    /// Starts a watch.
    ///
    /// # Errors
    /// [`Error::EntryNotFound`] for a position beyond the end of its ledger, or an error of the store.
    pub async fn watch(&self, from: WatchFrom) -> Result<Watch, Error> {
        // Subscribed before the sizes are read, so that entries committed in between are received.
        let receiver = self.tail.subscribe();
        let accounts: Vec<_> = from.accounts.iter().copied().collect();
        let permits = self.tail.read_permits();
        let sizes = permits.run(reads::sizes(&self.database, &accounts)).await?;
        let next = start_positions(&from, &sizes)?;
        let started = (self.clock.monotonic_now(), self.database.now().await?);
        let mut watch = Watch {
            database: self.database.clone(),
            clock: self.clock.clone(),
            stop: self.stop.clone(),
            permits,
            accounts: from.accounts,
            receiver,
            next: next.clone(),
            backlog: VecDeque::new(),
            ready: VecDeque::from([WatchEvent::Started(next)]),
            silence: Box::pin(std::future::ready(())),
            heartbeat_due: None,
            started,
        };
        watch.catch_up(&sizes);
        Ok(watch)
    }
}

/// The start index in each existing ledger.
fn start_positions(from: &WatchFrom, sizes: &LedgerSizes) -> Result<LedgerSizes, Error> {
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
    /// Waits until [`next`](Self::next) has an event, or has a page to read for it. The memory of that page is needed only then.
    ///
    /// # Errors
    /// Like [`next`](Self::next).
    pub async fn something_to_send(&mut self) -> Result<(), Error> {
        while self.ready.is_empty() && !self.stop.is_cancelled() {
            match self.backlog.front().copied() {
                Some((account, end)) if self.next_of(account) < end => break,
                Some(_) => drop(self.backlog.pop_front()),
                None => self.wait().await?,
            }
        }
        Ok(())
    }

    /// Waits for the next event. A watch never ends by itself.
    ///
    /// # Errors
    /// [`Error::Stopping`] when the server shuts down, [`Error::Tampered`], [`Error::EntryArchived`], or an error of the store.
    /// After an error, start another watch from the last positions.
    pub async fn next(&mut self) -> Result<WatchEvent, Error> {
        loop {
            if self.stop.is_cancelled() {
                return Err(Error::Stopping);
            }
            if let Some(event) = self.ready.pop_front() {
                self.heartbeat_due = None;
                self.measure(&event);
                let clock = self.clock.clone();
                self.silence = Box::pin(async move { clock.sleep(HEARTBEAT_INTERVAL).await });
                return Ok(event);
            }
            match self.backlog.front().copied() {
                Some((account, end)) => self.read(account, end).await?,
                None => self.wait().await?,
            }
        }
    }

    /// Measures the time from record to send of an entry that was recorded after the watch started.
    fn measure(&self, event: &WatchEvent) {
        let WatchEvent::Entries(entries) = event else { return };
        if let Some(recorded_at) = entries.first().map(AuditEntry::recorded_at)
            && recorded_at >= self.started.1
        {
            let now = self.started.1 + self.clock.monotonic_now().since(self.started.0);
            self.database.instruments().watch_lag(now.since(recorded_at));
        }
    }

    /// Reads a page of a ledger from the table.
    async fn read(&mut self, account: AccountId, end: u64) -> Result<(), Error> {
        let start = self.next_of(account);
        if start >= end {
            self.backlog.pop_front();
            return Ok(());
        }
        let page = reads::page(&self.database, account, start, end);
        let batch = self.permits.run(page).await?;
        self.send(account, batch);
        Ok(())
    }

    /// Waits for an event of the tail, or for the next heartbeat.
    async fn wait(&mut self) -> Result<(), Error> {
        let due = self.heartbeat_due;
        let TailReceiver { events, confirmed } = &mut self.receiver;
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Error::Stopping),
            event = events.recv() => match event {
                Ok(event) => self.receive(event),
                Err(RecvError::Lagged(_)) => self.read_sizes().await,
                Err(RecvError::Closed) => Err(Error::Stopping),
            },
            () = &mut self.silence, if due.is_none() => {
                self.heartbeat_due = Some(self.clock.monotonic_now());
                Ok(())
            }
            Some(time) = confirmed_since(confirmed, due), if due.is_some() => self.send_heartbeat(time).await,
        }
    }

    /// Sends the heartbeat. Every entry older than `time` is in the channel; events still in it go first.
    async fn send_heartbeat(&mut self, time: Timestamp) -> Result<(), Error> {
        match self.receiver.events.try_recv() {
            Ok(event) => self.receive(event),
            Err(TryRecvError::Lagged(_)) => self.read_sizes().await,
            Err(TryRecvError::Closed) => Err(Error::Stopping),
            Err(TryRecvError::Empty) => {
                self.ready.push_back(WatchEvent::Heartbeat(time));
                Ok(())
            }
        }
    }

    fn receive(&mut self, event: TailEvent) -> Result<(), Error> {
        match event {
            TailEvent::Sizes(sizes) => self.catch_up(&sizes),
            TailEvent::Tampered(account, log_index) if self.follows(account) => {
                return Err(Error::Tampered { account, log_index });
            }
            TailEvent::Tampered(..) => {}
            TailEvent::Entries(batch) => self.receive_batch(batch),
        }
        Ok(())
    }

    fn receive_batch(&mut self, batch: EntryBatch) {
        let Some((account, start)) = batch.first().map(|entry| (entry.account(), entry.log_index())) else {
            return;
        };
        if !self.follows(account) {
            return;
        }
        let (next, end) = (self.next_of(account), start + batch.len() as u64);
        if start > next {
            self.backlog.push_back((account, end));
        } else if end > next {
            self.send(account, batch.starting_at(next));
        }
    }

    /// Events were lost: reads the sizes from the table, to find what was missed.
    async fn read_sizes(&mut self) -> Result<(), Error> {
        let accounts: Vec<_> = self.accounts.iter().copied().collect();
        let sizes = self.permits.run(reads::sizes(&self.database, &accounts)).await?;
        self.catch_up(&sizes);
        Ok(())
    }

    fn catch_up(&mut self, sizes: &LedgerSizes) {
        for (account, size) in sizes {
            if self.follows(*account) && self.next_of(*account) < *size {
                self.backlog.push_back((*account, *size));
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

/// Waits until every entry committed before `due` was sent to the channel, and returns a later time on the database's clock for
/// which that also holds. None if no heartbeat is due, or the tail has ended.
async fn confirmed_since(
    confirmed: &mut watch::Receiver<Option<Confirmed>>,
    due: Option<MonotonicInstant>,
) -> Option<Timestamp> {
    let due = due?;
    let is_confirmed = |confirmed: &Option<Confirmed>| confirmed.is_some_and(|confirmed| confirmed.at >= due);
    let confirmed = *confirmed.wait_for(is_confirmed).await.ok()?;
    Some(confirmed?.time)
}
