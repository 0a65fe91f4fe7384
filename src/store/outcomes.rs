//! Waking those who wait for a change to end.
//!
//! A change that ends in this process wakes its waiters at once. One that ends on another replica is heard of by a hint
//! (see [`super::hints`]), and found by polling where that is lost: the row is the truth. One worker polls for all waiters.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    domain::{AccountId, ChangeId, transition::Snapshot},
    worker::{NextRound, Trigger, Worker},
};

use super::{Database, StoreError, reads};

/// The channel on which replicas hint that changes have ended.
pub(super) const CHANNEL: &str = "sharewarden_change_ended";

type Waiters = HashMap<ChangeId, (AccountId, watch::Sender<Option<Arc<Snapshot>>>)>;

/// Who waits for which change. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    waiters: Arc<Mutex<Waiters>>,
    /// Changes that ended here, and were not hinted of yet.
    untold: Arc<Mutex<Vec<ChangeId>>>,
    ended: Arc<watch::Sender<()>>,
    /// Changes that ended elsewhere, and were not looked at yet. Only those that are waited for here.
    heard: Arc<Mutex<HashSet<ChangeId>>>,
    hearing: Arc<watch::Sender<()>>,
}

/// Waits for one change to end.
#[derive(Debug)]
pub struct Waiter {
    outcomes: Outcomes,
    id: ChangeId,
    receiver: Option<watch::Receiver<Option<Arc<Snapshot>>>>,
}

impl Outcomes {
    /// Begins to wait for a change. To miss nothing, begin before the change is opened.
    pub fn wait_for(&self, account: AccountId, id: ChangeId) -> Waiter {
        let mut waiters = lock(&self.waiters);
        let (_, sender) = waiters.entry(id).or_insert_with(|| (account, watch::Sender::new(None)));
        Waiter {
            outcomes: self.clone(),
            id,
            receiver: Some(sender.subscribe()),
        }
    }

    /// Tells everybody that a change has ended: its waiters here, and others by a hint.
    pub(super) fn end(&self, snapshot: Snapshot) {
        lock(&self.untold).push(snapshot.change.id());
        self.ended.send_replace(());
        self.wake(snapshot);
    }

    fn wake(&self, snapshot: Snapshot) {
        if let Some((_, sender)) = lock(&self.waiters).get(&snapshot.change.id()) {
            sender.send_replace(Some(Arc::new(snapshot)));
        }
    }

    /// The worker that looks for changes that end on other replicas.
    pub fn watch(&self, database: Database, every: Duration) -> OutcomeWatch {
        OutcomeWatch {
            outcomes: self.clone(),
            database,
            every,
            hearing: self.hearing.subscribe(),
        }
    }

    /// What cannot be read is no hint.
    pub(super) fn hear<'a>(&self, items: impl Iterator<Item = &'a str>) {
        let heard: Vec<ChangeId> = {
            let waiters = lock(&self.waiters);
            let ids = items.filter_map(|id| id.parse().ok());
            ids.filter(|id| waiters.contains_key(id)).collect()
        };
        if !heard.is_empty() {
            lock(&self.heard).extend(heard);
            self.hearing.send_replace(());
        }
    }

    pub(super) fn told(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }

    pub(super) fn to_tell(&self) -> Vec<String> {
        let ids = std::mem::take(&mut *lock(&self.untold));
        ids.iter().map(ChangeId::to_string).collect()
    }

    fn waited_for(&self, is_due: impl Fn(ChangeId) -> bool) -> Vec<(AccountId, ChangeId)> {
        let waiters = lock(&self.waiters);
        let open = waiters
            .iter()
            .filter(|(id, (_, sender))| is_due(**id) && sender.borrow().is_none());
        open.map(|(id, (account, _))| (*account, *id)).collect()
    }
}

/// Looks for changes that end on other replicas: for those of a hint, and now and then for all.
#[derive(Debug)]
pub struct OutcomeWatch {
    outcomes: Outcomes,
    database: Database,
    every: Duration,
    hearing: watch::Receiver<()>,
}

impl Worker for OutcomeWatch {
    const NAME: &'static str = "outcomes";
    const FAILURE: &'static str = "cannot look for changes that have ended";
    type Error = StoreError;

    fn every(&self) -> Duration {
        self.every
    }

    async fn round(&mut self, cause: Trigger) -> Result<NextRound, StoreError> {
        let heard = std::mem::take(&mut *lock(&self.outcomes.heard));
        let is_due = |id| cause == Trigger::Interval || heard.contains(&id);
        let due = self.outcomes.waited_for(is_due);
        if !due.is_empty() {
            let ended = reads::ended(&self.database, &due).await?;
            ended.into_iter().for_each(|snapshot| self.outcomes.wake(snapshot));
        }
        Ok(NextRound::Interval)
    }

    async fn woken(&mut self) {
        // The sender lives as long as `self`.
        let _ = self.hearing.changed().await;
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is shared here is whole between any two statements that hold its lock.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Waiter {
    /// Waits until the change has ended.
    pub async fn ended(&mut self) -> Arc<Snapshot> {
        if let Some(receiver) = &mut self.receiver
            && let Ok(ended) = receiver.wait_for(Option::is_some).await
            && let Some(snapshot) = ended.clone()
        {
            return snapshot;
        }
        // The sender outlives its receivers.
        std::future::pending().await
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.receiver = None;
        let mut waiters = lock(&self.outcomes.waiters);
        if waiters
            .get(&self.id)
            .is_some_and(|(_, sender)| sender.receiver_count() == 0)
        {
            waiters.remove(&self.id);
        }
    }
}
