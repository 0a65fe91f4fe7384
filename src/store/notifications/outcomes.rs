//! Wakes callers that wait for a change to end.
//!
//! A change that ends in this process wakes its waiters at once. For a change that ends on another replica a notification arrives
//! (see [`super::Notifications`]). If it is lost, polling finds the change. One worker polls for all waiters.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    domain::{AccountId, ChangeId, transition::Snapshot},
    store::{connection::Database, error::StoreError, reads},
    worker::{NextRound, Trigger, Worker},
};

/// The channel of these notifications.
pub(super) const CHANNEL: &str = "sharewarden_change_ended";

type Waiters = HashMap<ChangeId, (AccountId, watch::Sender<Option<Arc<Snapshot>>>)>;

/// The waiters of this process, by change. Clones share all state.
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    waiters: Arc<Mutex<Waiters>>,
    /// Changes that ended here and were not sent to other replicas yet.
    unsent: Arc<Mutex<Vec<ChangeId>>>,
    unsent_changed: Arc<watch::Sender<()>>,
    /// Changes that ended on other replicas, have a waiter here, and were not read yet.
    received: Arc<Mutex<HashSet<ChangeId>>>,
    received_changed: Arc<watch::Sender<()>>,
}

/// Waits for one change to end.
#[derive(Debug)]
pub struct OutcomeWaiter {
    outcomes: Outcomes,
    id: ChangeId,
    receiver: Option<watch::Receiver<Option<Arc<Snapshot>>>>,
}

impl Outcomes {
    /// Registers a waiter for a change. Register it before the change is opened, or its end can be missed.
    pub fn wait_for(&self, account: AccountId, id: ChangeId) -> OutcomeWaiter {
        let mut waiters = lock(&self.waiters);
        let (_, sender) = waiters.entry(id).or_insert_with(|| (account, watch::Sender::new(None)));
        OutcomeWaiter {
            outcomes: self.clone(),
            id,
            receiver: Some(sender.subscribe()),
        }
    }

    /// Signals that a change ended: to its waiters here, and to other replicas. Call it after the commit.
    pub(in crate::store) fn end(&self, snapshot: Snapshot) {
        lock(&self.unsent).push(snapshot.change.id());
        self.unsent_changed.send_replace(());
        self.wake(snapshot);
    }

    fn wake(&self, snapshot: Snapshot) {
        if let Some((_, sender)) = lock(&self.waiters).get(&snapshot.change.id()) {
            sender.send_replace(Some(Arc::new(snapshot)));
        }
    }

    /// The worker that reads changes that ended on other replicas.
    pub fn watch(&self, database: Database, every: Duration) -> OutcomeWatch {
        OutcomeWatch {
            outcomes: self.clone(),
            database,
            every,
            received: self.received_changed.subscribe(),
        }
    }

    /// Takes the items of a notification. Ignores what it cannot parse.
    pub(super) fn receive<'a>(&self, items: impl Iterator<Item = &'a str>) {
        let ended: Vec<ChangeId> = {
            let waiters = lock(&self.waiters);
            let ids = items.filter_map(|id| id.parse().ok());
            ids.filter(|id| waiters.contains_key(id)).collect()
        };
        if !ended.is_empty() {
            lock(&self.received).extend(ended);
            self.received_changed.send_replace(());
        }
    }

    pub(super) fn unsent(&self) -> watch::Receiver<()> {
        self.unsent_changed.subscribe()
    }

    pub(super) fn take_unsent(&self) -> Vec<String> {
        let ids = std::mem::take(&mut *lock(&self.unsent));
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

/// Reads changes that ended on other replicas: after a notification those it names, after an interval all that have a waiter.
#[derive(Debug)]
pub struct OutcomeWatch {
    outcomes: Outcomes,
    database: Database,
    every: Duration,
    received: watch::Receiver<()>,
}

impl Worker for OutcomeWatch {
    const NAME: &'static str = "outcomes";
    const FAILURE: &'static str = "cannot read the changes that ended on other replicas";
    type Error = StoreError;

    fn every(&self) -> Duration {
        self.every
    }

    async fn round(&mut self, trigger: Trigger) -> Result<NextRound, StoreError> {
        let received = std::mem::take(&mut *lock(&self.outcomes.received));
        let is_due = |id| trigger == Trigger::Interval || received.contains(&id);
        let due = self.outcomes.waited_for(is_due);
        if !due.is_empty() {
            let ended = reads::ended(&self.database, &due).await?;
            ended.into_iter().for_each(|snapshot| self.outcomes.wake(snapshot));
        }
        Ok(NextRound::Interval)
    }

    async fn woken(&mut self) {
        // The sender lives as long as `self`.
        let _ = self.received.changed().await;
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each statement under the lock leaves the value consistent, so a panic of another holder does no harm.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OutcomeWaiter {
    /// Waits until the change has ended, and returns it.
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

impl Drop for OutcomeWaiter {
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
