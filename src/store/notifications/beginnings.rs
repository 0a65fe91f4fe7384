//! The ledgers that this process began: their state after its first commit to them.
//!
//! A ledger without a checkpoint is signed only if it extends such a state: the database alone cannot show that a ledger is
//! new. The state is kept from before the commit, because the answer to the commit can be lost.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{domain::AccountId, ledger::Hash};

/// Maximum states of a ledger. Each try of its first commit makes one, and at most one of them was committed.
const MAX_STATES: usize = 16;

/// A size and a root.
type TreeState = (u64, Hash);

/// The states of these ledgers. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Beginnings(Arc<BeginningsState>);

#[derive(Debug, Default)]
struct BeginningsState {
    states: Mutex<HashMap<AccountId, Vec<TreeState>>>,
    committed: Notify,
}

impl Beginnings {
    /// Keeps the state of a ledger after its first commit. Call it before the commit.
    pub fn keep(&self, account: AccountId, size: u64, root: Hash) {
        let mut states = self.lock();
        let states = states.entry(account).or_default();
        if states.len() == MAX_STATES {
            states.remove(0);
        }
        states.push((size, root));
    }

    /// The states of a ledger. Empty if it has a checkpoint, or if this process did not begin it.
    pub fn of(&self, account: AccountId) -> Vec<TreeState> {
        self.lock().get(&account).cloned().unwrap_or_default()
    }

    /// Forgets a ledger: it has a checkpoint.
    pub fn forget(&self, account: AccountId) {
        self.lock().remove(&account);
    }

    /// The accounts of the ledgers that this process began and that have no checkpoint yet.
    pub fn accounts(&self) -> Vec<AccountId> {
        self.lock().keys().copied().collect()
    }

    /// Signals a commit to these ledgers.
    pub(in crate::store) fn notify(&self, grown: &[(AccountId, u64)]) {
        let states = self.lock();
        if grown.iter().any(|(account, _)| states.contains_key(account)) {
            self.0.committed.notify_one();
        }
    }

    /// Waits for a commit to one of these ledgers. One task may wait.
    pub async fn committed(&self) {
        self.0.committed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Vec<TreeState>>> {
        // Each statement under the lock leaves the map consistent, so a panic of another holder does no harm.
        self.0.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_latest_states_of_a_ledger_are_kept_until_it_has_a_checkpoint() {
        let beginnings = Beginnings::default();
        let account: AccountId = "000011112222".parse().unwrap();
        for size in 0..20 {
            beginnings.keep(account, size, [0; 32]);
        }
        let sizes: Vec<_> = beginnings.of(account).iter().map(|(size, _)| *size).collect();
        assert_eq!(sizes, (4..20).collect::<Vec<_>>());
        beginnings.notify(&[("111122223333".parse().unwrap(), 1)]);
        assert!(beginnings.committed().now_or_never().is_none(), "another ledger");
        beginnings.notify(&[(account, 1)]);
        beginnings.committed().await;
        beginnings.forget(account);
        assert!(beginnings.accounts().is_empty() && beginnings.of(account).is_empty());
    }
}
