//! The end of the ledgers, as it grows: one worker reads what is new once, for all who watch.
//!
//! It learns that ledgers grew from this process's committer, from the hints of other replicas, and, behind both, by asking
//! for the sizes every second, which is the truth. Each new stretch is read from the table once, in order, and put into a
//! ring. Who finds that the ring has gone on without them reads the table (see [`super::watch`]). While nobody watches,
//! nothing is read.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::{Notify, Semaphore, broadcast, watch};

use crate::{
    clock::{Clock, MonotonicInstant},
    domain::AccountId,
    store::{Database, LedgerGrowth, LedgerGrowthReceiver, LedgerSizes},
    telemetry::Instruments,
    worker::{NextRound, Trigger, Worker},
};

use super::{
    Error,
    stretch::{self, Stretch},
};

/// So many stretches are kept for those who are slow; each has at most [`stretch::STRETCH_BYTES`].
const RING: usize = 64;

/// So many of those who watch or export read the table at once; the others wait for their turn, and leave the connections to
/// those who write.
const READERS: usize = 4;

/// How often the sizes are asked for, behind the hints.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// What is new.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// The ledgers have these sizes; what is added from here on is told.
    LedgerSizes(Arc<LedgerSizes>),
    /// The next entries of one ledger. At least one.
    Entries(Stretch),
    /// An entry is not what was recorded, or it is gone.
    Tampered(AccountId, u64),
}

/// The end of the ledgers. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub struct Tail {
    ring: broadcast::Sender<News>,
    wanted: Arc<Notify>,
    confirmed: Arc<watch::Sender<Option<MonotonicInstant>>>,
    readers: Arc<Semaphore>,
}

/// Hears what is new.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) news: broadcast::Receiver<News>,
    /// Everything that was committed before this moment is in the news.
    pub(super) confirmed: watch::Receiver<Option<MonotonicInstant>>,
}

/// Whose turn it is to read the table.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    /// Does it when it is their turn.
    pub(super) async fn wait<T>(&self, read: impl Future<Output = T>) -> T {
        // It is never closed.
        let _turn = self.0.acquire().await;
        read.await
    }
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            ring: broadcast::Sender::new(RING),
            wanted: Arc::default(),
            confirmed: Arc::default(),
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }
}

impl Tail {
    /// Begins to listen: every entry that is committed from now on is in the news, or beyond the end of the ring.
    pub(super) fn listen(&self) -> Listener {
        let listener = Listener {
            news: self.ring.subscribe(),
            confirmed: self.confirmed.subscribe(),
        };
        self.wanted.notify_one();
        listener
    }

    /// It is looked at how many listen.
    pub fn measured_by(&self, instruments: &Instruments) {
        let watchers = self.ring.downgrade();
        instruments.observe_watches(move || Some(watchers.upgrade()?.receiver_count() as u64));
    }

    /// A turn to read the table.
    pub(super) fn turns(&self) -> Turns {
        Turns(self.readers.clone())
    }

    /// The worker that follows the ledgers while somebody listens.
    pub fn follower(&self, database: Database, growth: &LedgerGrowth, clock: Clock) -> Follower {
        Follower {
            tail: self.clone(),
            database,
            clock,
            growing: growth.subscribe(),
            grown: LedgerSizes::new(),
            published: None,
        }
    }
}

/// Reads what is new, and tells it.
#[derive(Debug)]
pub struct Follower {
    tail: Tail,
    database: Database,
    clock: Clock,
    growing: LedgerGrowthReceiver,
    /// What was heard to have grown since the last round.
    grown: LedgerSizes,
    /// The next index of each ledger; nothing, until the sizes are known, and while nobody listens.
    published: Option<LedgerSizes>,
}

impl Worker for Follower {
    const NAME: &'static str = "tail";
    const FAILURE: &'static str = "cannot read what the ledgers grew by";
    type Error = Error;

    fn every(&self) -> Duration {
        POLL_EVERY
    }

    async fn round(&mut self, cause: Trigger) -> Result<NextRound, Error> {
        let grown = std::mem::take(&mut self.grown);
        if self.tail.ring.receiver_count() == 0 {
            self.published = None;
        } else if cause == Trigger::Signal && self.published.is_some() {
            self.publish_all(&grown).await?;
        } else {
            self.poll().await?;
        }
        Ok(NextRound::Interval)
    }

    async fn woken(&mut self) {
        tokio::select! {
            () = self.tail.wanted.notified() => {}
            grown = self.growing.next() => self.grown = grown,
        }
    }
}

impl Follower {
    /// Asks for the sizes, tells what is new, and confirms that everything was told.
    async fn poll(&mut self) -> Result<(), Error> {
        let begun = self.clock.monotonic_now();
        let sizes = stretch::sizes(&self.database, &[]).await?;
        match &self.published {
            None => {
                self.published = Some(sizes.clone());
                self.tell(News::LedgerSizes(Arc::new(sizes)));
            }
            Some(_) => {
                self.tell_of_shrunk(&sizes);
                self.publish_all(&sizes).await?;
            }
        }
        self.tail.confirmed.send_replace(Some(begun));
        Ok(())
    }

    /// A ledger never shrinks: then what was told is gone.
    fn tell_of_shrunk(&mut self, sizes: &LedgerSizes) {
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
            self.tell(News::Tampered(account, size));
        }
    }

    async fn publish_all(&mut self, sizes: &LedgerSizes) -> Result<(), Error> {
        for (account, size) in sizes {
            self.publish(*account, *size).await?;
        }
        Ok(())
    }

    /// Reads and tells what one ledger grew by. `size` may be wrong: it may have been hinted.
    async fn publish(&mut self, account: AccountId, size: u64) -> Result<(), Error> {
        // Before the first poll it is not known where to begin; the poll finds what was hinted of.
        let Some(mut next) = self
            .published
            .as_ref()
            .map(|sizes| sizes.get(&account).copied().unwrap_or_default())
        else {
            return Ok(());
        };
        while next < size {
            match stretch::page(&self.database, account, next, size).await {
                Ok(stretches) => {
                    for stretch in stretches {
                        next += stretch.len() as u64;
                        self.tell(News::Entries(stretch));
                    }
                }
                Err(Error::Tampered { log_index, .. } | Error::EntryArchived { log_index, .. }) => {
                    let sizes = stretch::sizes(&self.database, &[account]).await?;
                    let size = sizes.get(&account).copied().unwrap_or_default();
                    // Whoever may connect to the database may send hints. One of more than there is says nothing.
                    if size <= log_index {
                        return Ok(());
                    }
                    // What is told of it once is enough: who listens to this ledger ends with it.
                    self.tell(News::Tampered(account, log_index));
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

    fn tell(&self, news: News) {
        // Nobody may be listening any more; the next round finds out.
        let _ = self.tail.ring.send(news);
    }
}
