//! Publishes new entries of all ledgers: one worker reads each entry once, for all watches.
//!
//! The committer of this process signals that ledgers grew, and other replicas send notifications. Both are hints. The worker
//! also reads the sizes from the store every second; those are authoritative. It reads new entries in order and sends them to a
//! broadcast channel of limited capacity. A watch that falls behind reads the table instead (see [`super::watch`]). Without a
//! watch, the worker reads nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::{Notify, Semaphore, broadcast, watch};

use crate::{
    clock::{Clock, MonotonicInstant},
    domain::{AccountId, Timestamp},
    store::{Database, LedgerGrowth, LedgerGrowthReceiver, LedgerSizes},
    telemetry::Instruments,
    worker::{NextRound, Trigger, Worker},
};

use super::{
    Error,
    reads::{self, EntryBatch},
};

/// Capacity of the broadcast channel, in batches of at most [`reads::MAX_PAGE_BYTES`].
const CHANNEL_CAPACITY: usize = 64;

/// Maximum concurrent reads of the table by watches and exports. The limit leaves connections of the pool for other calls.
const MAX_CONCURRENT_READS: usize = 4;

/// How often the sizes are read from the store.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A message to the watches.
#[derive(Debug, Clone)]
pub(super) enum TailEvent {
    /// The sizes when the worker started. Entries from here on follow.
    Sizes(Arc<LedgerSizes>),
    /// The next entries of one ledger. Not empty.
    Entries(EntryBatch),
    /// An entry is missing or does not verify.
    Tampered(AccountId, u64),
}

/// The publisher of new entries. Clones share all state.
#[derive(Debug, Clone)]
pub struct Tail {
    events: broadcast::Sender<TailEvent>,
    subscribed: Arc<Notify>,
    confirmed: Arc<watch::Sender<Option<Confirmed>>>,
    read_permits: Arc<Semaphore>,
}

/// A subscription of a watch.
#[derive(Debug)]
pub(super) struct TailReceiver {
    pub(super) events: broadcast::Receiver<TailEvent>,
    pub(super) confirmed: watch::Receiver<Option<Confirmed>>,
}

/// Every entry that was committed before this moment was sent to the watches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Confirmed {
    /// The moment, or one before it, on this process's clock.
    pub(super) at: MonotonicInstant,
    /// The moment on the database's clock.
    pub(super) time: Timestamp,
}

/// Limits concurrent reads of the table to [`MAX_CONCURRENT_READS`].
#[derive(Debug, Clone)]
pub(super) struct ReadPermits(Arc<Semaphore>);

impl ReadPermits {
    /// Runs the read while it holds a permit.
    pub(super) async fn run<T>(&self, read: impl Future<Output = T>) -> T {
        // An error means a closed semaphore, and this one is never closed.
        let _permit = self.0.acquire().await;
        read.await
    }
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            events: broadcast::Sender::new(CHANNEL_CAPACITY),
            subscribed: Arc::default(),
            confirmed: Arc::default(),
            read_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_READS)),
        }
    }
}

impl Tail {
    /// Subscribes to entries committed from now on. A subscriber that falls behind the capacity of the channel loses events.
    pub(super) fn subscribe(&self) -> TailReceiver {
        let receiver = TailReceiver {
            events: self.events.subscribe(),
            confirmed: self.confirmed.subscribe(),
        };
        self.subscribed.notify_one();
        receiver
    }

    /// Registers the gauge of the number of watches.
    pub fn measured_by(&self, instruments: &Instruments) {
        let watchers = self.events.downgrade();
        instruments.observe_watches(move || Some(watchers.upgrade()?.receiver_count() as u64));
    }

    /// The permits for reads of the table.
    pub(super) fn read_permits(&self) -> ReadPermits {
        ReadPermits(self.read_permits.clone())
    }

    /// The worker that reads new entries while there is a subscriber.
    pub fn follower(&self, database: Database, growth: &LedgerGrowth, clock: Clock) -> Follower {
        Follower {
            tail: self.clone(),
            database,
            clock,
            growth: growth.subscribe(),
            signalled: LedgerSizes::new(),
            published: None,
        }
    }
}

/// The worker that reads new entries and publishes them.
#[derive(Debug)]
pub struct Follower {
    tail: Tail,
    database: Database,
    clock: Clock,
    growth: LedgerGrowthReceiver,
    /// The ledgers with a growth signal since the last round.
    signalled: LedgerSizes,
    /// The next index of each ledger. None until the sizes were read, and while there is no subscriber.
    published: Option<LedgerSizes>,
}

impl Worker for Follower {
    const NAME: &'static str = "tail";
    const FAILURE: &'static str = "cannot read new entries of the ledgers";
    type Error = Error;

    fn every(&self) -> Duration {
        POLL_INTERVAL
    }

    async fn round(&mut self, trigger: Trigger) -> Result<NextRound, Error> {
        let signalled = std::mem::take(&mut self.signalled);
        if self.tail.events.receiver_count() == 0 {
            self.published = None;
        } else if trigger == Trigger::Signal && self.published.is_some() {
            self.publish_all(&signalled).await?;
        } else {
            self.poll().await?;
        }
        Ok(NextRound::Interval)
    }

    async fn woken(&mut self) {
        tokio::select! {
            () = self.tail.subscribed.notified() => {}
            sizes = self.growth.next() => self.signalled = sizes,
        }
    }
}

impl Follower {
    /// Reads the sizes, publishes the new entries, and then confirms the instant before the read.
    async fn poll(&mut self) -> Result<(), Error> {
        let at = self.clock.monotonic_now();
        let time = self.database.now().await?;
        let sizes = reads::sizes(&self.database, &[]).await?;
        match &self.published {
            None => {
                self.published = Some(sizes.clone());
                self.send(TailEvent::Sizes(Arc::new(sizes)));
            }
            Some(_) => {
                self.report_shrunk(&sizes);
                self.publish_all(&sizes).await?;
            }
        }
        self.tail.confirmed.send_replace(Some(Confirmed { at, time }));
        Ok(())
    }

    /// Reports ledgers that have fewer entries than were published. Ledgers never shrink, so this is tampering.
    fn report_shrunk(&mut self, sizes: &LedgerSizes) {
        let Some(published) = &mut self.published else { return };
        let mut shrunk = BTreeMap::new();
        for (account, next) in published {
            let size = sizes.get(account).copied().unwrap_or_default();
            if size < *next {
                *next = size;
                shrunk.insert(*account, size);
            }
        }
        for (account, size) in shrunk {
            self.send(TailEvent::Tampered(account, size));
        }
    }

    async fn publish_all(&mut self, sizes: &LedgerSizes) -> Result<(), Error> {
        for (account, size) in sizes {
            self.publish(*account, *size).await?;
        }
        Ok(())
    }

    /// Reads and publishes the new entries of one ledger. `size` may come from a hint, which can be wrong.
    async fn publish(&mut self, account: AccountId, size: u64) -> Result<(), Error> {
        // Before the first poll there is no start index. That poll also covers this hint.
        let Some(mut next) = self
            .published
            .as_ref()
            .map(|sizes| sizes.get(&account).copied().unwrap_or_default())
        else {
            return Ok(());
        };
        while next < size {
            match reads::page(&self.database, account, next, size).await {
                Ok(batch) => {
                    next += batch.len() as u64;
                    self.send(TailEvent::Entries(batch));
                }
                Err(Error::Tampered { log_index, .. } | Error::EntryArchived { log_index, .. }) => {
                    let sizes = reads::sizes(&self.database, &[account]).await?;
                    let size = sizes.get(&account).copied().unwrap_or_default();
                    // Every database user can send notifications. A hint beyond the size in the store is ignored.
                    if size <= log_index {
                        return Ok(());
                    }
                    // One event is enough, because it ends every watch of this ledger.
                    self.send(TailEvent::Tampered(account, log_index));
                    next = size;
                }
                Err(error) => return Err(error),
            }
            if let Some(published) = &mut self.published {
                published.insert(account, next);
            }
        }
        Ok(())
    }

    fn send(&self, event: TailEvent) {
        // An error means that there is no subscriber. The next round handles that.
        let _ = self.tail.events.send(event);
    }
}
