//! Waking those who wait for a change to end.
//!
//! A change that ends in this process wakes its waiters at once. One that ends on another replica is heard of by
//! notification, and found by polling where that is lost: a notification is a hint, the row is the truth. One task polls
//! for all waiters.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    domain::{AccountId, ChangeId, transition::Snapshot},
};

use super::{Database, StoreError, reads};

/// The channel on which replicas hint that changes have ended.
const CHANNEL: &str = "sharewarden_change_ended";

/// Postgres sends at most 7999 bytes with a notification: so many ids of changes.
const IDS_PER_NOTIFICATION: usize = 200;

type Waiters = HashMap<ChangeId, (AccountId, watch::Sender<Option<Arc<Snapshot>>>)>;

/// Who waits for which change. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    waiters: Arc<Mutex<Waiters>>,
    /// Changes that ended here, and were not hinted of yet.
    unannounced: Arc<Mutex<Vec<ChangeId>>>,
    ended: Arc<watch::Sender<()>>,
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
        let mut waiters = self.lock();
        let (_, sender) = waiters.entry(id).or_insert_with(|| (account, watch::Sender::new(None)));
        Waiter {
            outcomes: self.clone(),
            id,
            receiver: Some(sender.subscribe()),
        }
    }

    /// Tells everybody that a change has ended: its waiters here, and others by a hint.
    pub(super) fn end(&self, snapshot: Snapshot) {
        self.unannounced().push(snapshot.change.id());
        self.ended.send_replace(());
        self.wake(snapshot);
    }

    fn wake(&self, snapshot: Snapshot) {
        if let Some((_, sender)) = self.lock().get(&snapshot.change.id()) {
            sender.send_replace(Some(Arc::new(snapshot)));
        }
    }

    /// Looks after changes that end on other replicas, until cancelled.
    pub async fn watch(self, database: Database, clock: Clock, poll_every: Duration, stop: CancellationToken) {
        let mut listener = None;
        // Kept over the turns of the loop: hints, however many, do not put the poll off.
        let mut poll = Box::pin(clock.sleep(poll_every));
        loop {
            if listener.is_none() {
                listener = database
                    .listen(CHANNEL)
                    .await
                    .inspect_err(|_| tracing::debug!("not listening"))
                    .ok();
            }
            let due = tokio::select! {
                () = stop.cancelled() => return,
                () = &mut poll => {
                    poll = Box::pin(clock.sleep(poll_every));
                    self.waited_for(|_| true)
                }
                hint = hint(&mut listener) => match hint {
                    Ok(ids) => self.waited_for(|id| ids.contains(&id)),
                    Err(_) => { listener = None; continue }
                },
            };
            if let Err(error) = self.look(&database, due).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for changes that have ended"
                );
            }
        }
    }

    /// Hints to other replicas which changes have ended, until cancelled. After the commit and not in it: Postgres lets one
    /// transaction with a notification commit at a time.
    pub async fn announce(self, database: Database, stop: CancellationToken) {
        let mut ended = self.ended.subscribe();
        while stop
            .run_until_cancelled(ended.changed())
            .await
            .is_some_and(|changed| changed.is_ok())
        {
            let ids = std::mem::take(&mut *self.unannounced());
            for ids in ids.chunks(IDS_PER_NOTIFICATION) {
                let payload = ids.iter().map(ChangeId::to_string).collect::<Vec<_>>().join(",");
                let notify = sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, payload);
                if let Err(error) = database.run(async |connection| notify.execute(connection).await).await {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "a hint is lost; others find out by polling"
                    );
                }
            }
        }
    }

    async fn look(&self, database: &Database, due: Vec<(AccountId, ChangeId)>) -> Result<(), StoreError> {
        if !due.is_empty() {
            reads::ended(database, &due)
                .await?
                .into_iter()
                .for_each(|snapshot| self.wake(snapshot));
        }
        Ok(())
    }

    fn waited_for(&self, is_due: impl Fn(ChangeId) -> bool) -> Vec<(AccountId, ChangeId)> {
        let waiters = self.lock();
        let open = waiters
            .iter()
            .filter(|(id, (_, sender))| is_due(**id) && sender.borrow().is_none());
        open.map(|(id, (account, _))| (*account, *id)).collect()
    }

    fn unannounced(&self) -> MutexGuard<'_, Vec<ChangeId>> {
        self.unannounced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        // A map of waiters is whole between any two statements that hold the lock.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let mut waiters = self.outcomes.lock();
        if waiters
            .get(&self.id)
            .is_some_and(|(_, sender)| sender.receiver_count() == 0)
        {
            waiters.remove(&self.id);
        }
    }
}

/// The ids of the next notification; never, without a listener.
async fn hint(listener: &mut Option<PgListener>) -> Result<Vec<ChangeId>, sqlx::Error> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    match listener.try_recv().await? {
        Some(notification) => Ok(notification
            .payload()
            .split(',')
            .filter_map(|id| id.parse().ok())
            .collect()),
        None => Err(sqlx::Error::PoolClosed),
    }
}
