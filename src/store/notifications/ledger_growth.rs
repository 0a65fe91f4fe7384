//! Signals that ledgers grew. The signal is a hint: the rows say what a ledger holds.
//!
//! The committer notifies right after a commit and waits for nobody. The follower in this process wakes at once; other replicas
//! get a notification (see [`super::Notifications`]).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::domain::AccountId;

/// The channel of these notifications.
pub(super) const CHANNEL: &str = "sharewarden_ledger_grown";

/// Ledgers and their sizes: each has at least this number of entries.
pub type LedgerSizes = BTreeMap<AccountId, u64>;

/// The sender of these signals. Clones share all state.
#[derive(Debug, Clone, Default)]
pub struct LedgerGrowth {
    shared: Arc<LedgerGrowthState>,
}

#[derive(Debug, Default)]
struct LedgerGrowthState {
    /// What the follower in this process has not taken yet.
    unseen: Mutex<LedgerSizes>,
    /// What was not sent to other replicas yet.
    unsent: Mutex<LedgerSizes>,
    unsent_changed: watch::Sender<()>,
    grown: watch::Sender<()>,
}

/// Receives these signals in this process.
#[derive(Debug)]
pub struct LedgerGrowthReceiver {
    shared: Arc<LedgerGrowthState>,
    grown: watch::Receiver<()>,
}

impl LedgerGrowth {
    /// Signals that ledgers grew. Call it after the commit.
    pub(in crate::store) fn notify(&self, sizes: &[(AccountId, u64)]) {
        if !sizes.is_empty() {
            merge(&self.shared.unsent, sizes);
            self.shared.unsent_changed.send_replace(());
            self.wake(sizes);
        }
    }

    fn wake(&self, sizes: &[(AccountId, u64)]) {
        merge(&self.shared.unseen, sizes);
        self.shared.grown.send_replace(());
    }

    /// Takes the items of a notification. Ignores what it cannot parse.
    pub(super) fn receive<'a>(&self, items: impl Iterator<Item = &'a str>) {
        let sizes: Vec<_> = items.filter_map(parse).collect();
        self.wake(&sizes);
    }

    pub(super) fn unsent(&self) -> watch::Receiver<()> {
        self.shared.unsent_changed.subscribe()
    }

    pub(super) fn take_unsent(&self) -> Vec<String> {
        let sizes = std::mem::take(&mut *lock(&self.shared.unsent));
        sizes
            .iter()
            .map(|(account, size)| format!("{account}:{size}"))
            .collect()
    }

    /// Subscribes to the signals. A process has one subscriber.
    pub fn subscribe(&self) -> LedgerGrowthReceiver {
        LedgerGrowthReceiver {
            shared: self.shared.clone(),
            grown: self.shared.grown.subscribe(),
        }
    }
}

impl LedgerGrowthReceiver {
    /// Waits until ledgers grew since the last call, and returns their sizes.
    pub async fn next(&mut self) -> LedgerSizes {
        loop {
            // The sender lives as long as `self`.
            let _ = self.grown.changed().await;
            let sizes = std::mem::take(&mut *lock(&self.shared.unseen));
            if !sizes.is_empty() {
                return sizes;
            }
        }
    }
}

fn parse(item: &str) -> Option<(AccountId, u64)> {
    let (account, size) = item.split_once(':')?;
    Some((account.parse().ok()?, size.parse().ok()?))
}

/// Keeps the larger size of each ledger.
fn merge(into: &Mutex<LedgerSizes>, sizes: &[(AccountId, u64)]) {
    let mut into = lock(into);
    for (account, size) in sizes {
        let largest = into.entry(*account).or_default();
        *largest = (*size).max(*largest);
    }
}

fn lock(sizes: &Mutex<LedgerSizes>) -> MutexGuard<'_, LedgerSizes> {
    // Each statement under the lock leaves the map consistent, so a panic of another holder does no harm.
    sizes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_largest_size_is_received_once() {
        let growth = LedgerGrowth::default();
        let mut receiver = growth.subscribe();
        let account: AccountId = "000011112222".parse().unwrap();
        growth.notify(&[(account, 7)]);
        growth.notify(&[(account, 5)]);
        assert_eq!(receiver.next().await, LedgerSizes::from([(account, 7)]));
        growth.notify(&[(account, 8)]);
        assert_eq!(receiver.next().await, LedgerSizes::from([(account, 8)]));
    }

    #[tokio::test]
    async fn items_that_cannot_be_parsed_are_ignored() {
        let growth = LedgerGrowth::default();
        let mut receiver = growth.subscribe();
        growth.receive("000011112222:7,,x:1,111122223333:-1,444".split(','));
        let account: AccountId = "000011112222".parse().unwrap();
        assert_eq!(receiver.next().await, LedgerSizes::from([(account, 7)]));
    }
}
