//! Telling that ledgers grew. A hint to whoever follows them: what a ledger holds is in the table.
//!
//! The committer tells [`Growth`] right after a commit, without waiting for anyone. Who follows ledgers in this process is
//! woken at once; other replicas by a hint (see [`super::Hints`]).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::domain::AccountId;

/// The channel on which replicas hint that ledgers grew.
pub(super) const CHANNEL: &str = "sharewarden_ledger_grown";

/// Ledgers, and how many entries they have at least.
pub type Sizes = BTreeMap<AccountId, u64>;

/// Who tells that ledgers grew. Cheap to clone; clones are one.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What was committed here, and was not followed yet.
    unfollowed: Mutex<Sizes>,
    /// What was committed here, and was not told others yet.
    untold: Mutex<Sizes>,
    told: watch::Sender<()>,
    grown: watch::Sender<()>,
}

/// Hears of it when ledgers grow in this process.
#[derive(Debug)]
pub struct Growing {
    shared: Arc<Shared>,
    grown: watch::Receiver<()>,
}

impl Growth {
    /// Ledgers grew, in a commit that is done.
    pub(in crate::store) fn tell(&self, sizes: &[(AccountId, u64)]) {
        if !sizes.is_empty() {
            note(&self.shared.untold, sizes);
            self.shared.told.send_replace(());
            self.note(sizes);
        }
    }

    fn note(&self, sizes: &[(AccountId, u64)]) {
        note(&self.shared.unfollowed, sizes);
        self.shared.grown.send_replace(());
    }

    /// What cannot be read is no hint.
    pub(super) fn hear<'a>(&self, items: impl Iterator<Item = &'a str>) {
        let sizes: Vec<_> = items.filter_map(parse).collect();
        self.note(&sizes);
    }

    pub(super) fn told(&self) -> watch::Receiver<()> {
        self.shared.told.subscribe()
    }

    pub(super) fn to_tell(&self) -> Vec<String> {
        let sizes = std::mem::take(&mut *lock(&self.shared.untold));
        sizes
            .iter()
            .map(|(account, size)| format!("{account}:{size}"))
            .collect()
    }

    /// Begins to hear of it. There is one who follows in a process.
    pub fn follow(&self) -> Growing {
        Growing {
            shared: self.shared.clone(),
            grown: self.shared.grown.subscribe(),
        }
    }
}

impl Growing {
    /// Waits until ledgers have grown that were not asked for yet, and names them.
    pub async fn next(&mut self) -> Sizes {
        loop {
            // The sender lives as long as `self`.
            let _ = self.grown.changed().await;
            let sizes = std::mem::take(&mut *lock(&self.shared.unfollowed));
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

fn note(known: &Mutex<Sizes>, sizes: &[(AccountId, u64)]) {
    let mut known = lock(known);
    for (account, size) in sizes {
        let known = known.entry(*account).or_default();
        *known = (*size).max(*known);
    }
}

fn lock(sizes: &Mutex<Sizes>) -> MutexGuard<'_, Sizes> {
    // A map of sizes is whole between any two statements that hold the lock.
    sizes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_largest_size_that_was_told_is_heard_of_once() {
        let growth = Growth::default();
        let mut growing = growth.follow();
        let account: AccountId = "000011112222".parse().unwrap();
        growth.tell(&[(account, 7)]);
        growth.tell(&[(account, 5)]);
        assert_eq!(growing.next().await, Sizes::from([(account, 7)]));
        growth.tell(&[(account, 8)]);
        assert_eq!(growing.next().await, Sizes::from([(account, 8)]));
    }

    #[tokio::test]
    async fn a_hint_is_read_as_far_as_it_can_be() {
        let growth = Growth::default();
        let mut growing = growth.follow();
        growth.hear("000011112222:7,,x:1,111122223333:-1,444".split(','));
        let account: AccountId = "000011112222".parse().unwrap();
        assert_eq!(growing.next().await, Sizes::from([(account, 7)]));
    }
}
