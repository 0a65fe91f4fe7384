//! Telling that work was given back, by a replica that ends: another one takes it up at once, and not when it next looks.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::domain::AccountId;

/// The channel of these hints.
pub(super) const CHANNEL: &str = "sharewarden_work_released";

/// Who tells that work was given back. Cheap to clone; clones are one.
#[derive(Debug, Clone, Default)]
pub struct Released(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Accounts with work that was given back here, and was not told of yet.
    untold: Mutex<BTreeSet<AccountId>>,
    told: watch::Sender<()>,
    /// Accounts with work that was given back elsewhere, and was not looked for yet.
    heard: Mutex<BTreeSet<AccountId>>,
    hearing: watch::Sender<()>,
}

impl Released {
    /// Work of an account was given back, in a commit that is done.
    pub fn tell(&self, account: AccountId) {
        lock(&self.0.untold).insert(account);
        self.0.told.send_replace(());
    }

    /// Waits until work was given back on other replicas, and names its accounts. One task may wait.
    pub async fn heard(&self) -> BTreeSet<AccountId> {
        let mut hearing = self.0.hearing.subscribe();
        loop {
            let accounts = std::mem::take(&mut *lock(&self.0.heard));
            if !accounts.is_empty() {
                return accounts;
            }
            // The sender lives as long as `self`.
            let _ = hearing.changed().await;
        }
    }

    pub(super) fn told(&self) -> watch::Receiver<()> {
        self.0.told.subscribe()
    }

    pub(super) fn to_tell(&self) -> Vec<String> {
        let accounts = std::mem::take(&mut *lock(&self.0.untold));
        accounts.iter().map(AccountId::to_string).collect()
    }

    /// What cannot be read is no hint.
    pub(super) fn hear<'a>(&self, items: impl Iterator<Item = &'a str>) {
        let accounts = items.filter_map(|item| item.parse::<AccountId>().ok());
        lock(&self.0.heard).extend(accounts);
        self.0.hearing.send_replace(());
    }
}

fn lock(accounts: &Mutex<BTreeSet<AccountId>>) -> MutexGuard<'_, BTreeSet<AccountId>> {
    // A set of accounts is whole between any two statements that hold the lock.
    accounts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_heard_before_anyone_waited_is_heard_and_nothing_twice() {
        let released = Released::default();
        released.hear(["000011112222", "x", "", "000011112222"].into_iter());
        assert_eq!(
            released.heard().await,
            BTreeSet::from(["000011112222".parse().unwrap()])
        );
        released.tell("111122223333".parse().unwrap());
        assert_eq!(released.to_tell(), ["111122223333"]);
        assert!(released.to_tell().is_empty(), "it is told once");
        released.hear(["444455556666"].into_iter());
        assert_eq!(
            released.heard().await,
            BTreeSet::from(["444455556666".parse().unwrap()])
        );
    }
}
