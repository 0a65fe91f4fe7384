//! A bounded number of places, with a maximum for each holder, so that one holder cannot have them all.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// The places. Clones share them. A holder without a place needs no memory.
#[derive(Debug, Clone)]
pub(super) struct HolderLimit<K>(Arc<HolderLimitState<K>>);

#[derive(Debug)]
struct HolderLimitState<K> {
    total: usize,
    each: usize,
    held: Mutex<HeldPlaces<K>>,
}

#[derive(Debug)]
struct HeldPlaces<K> {
    all: usize,
    by_holder: HashMap<K, usize>,
}

/// One place of a holder. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct HolderPermit<K: Eq + Hash> {
    limit: Arc<HolderLimitState<K>>,
    holder: K,
}

impl<K: Eq + Hash + Clone> HolderLimit<K> {
    /// `total` places, and at most `each` of them for one holder.
    pub(super) fn new(total: usize, each: usize) -> Self {
        let (all, by_holder) = (0, HashMap::new());
        Self(Arc::new(HolderLimitState {
            total,
            each,
            held: Mutex::new(HeldPlaces { all, by_holder }),
        }))
    }

    /// Takes a place. `None`: all are taken, or the holder has its maximum.
    pub(super) fn take(&self, holder: &K) -> Option<HolderPermit<K>> {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        let of_holder = held.by_holder.get(holder).copied().unwrap_or_default();
        if held.all >= self.0.total || of_holder >= self.0.each {
            return None;
        }
        held.all += 1;
        held.by_holder.insert(holder.clone(), of_holder + 1);
        Some(HolderPermit {
            limit: self.0.clone(),
            holder: holder.clone(),
        })
    }

    #[cfg(test)]
    pub(super) fn holders(&self) -> usize {
        self.0.held.lock().unwrap().by_holder.len()
    }
}

impl<K: Eq + Hash> Drop for HolderPermit<K> {
    fn drop(&mut self) {
        let mut held = self.limit.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all -= 1;
        if let Some(count) = held.by_holder.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                held.by_holder.remove(&self.holder);
            }
        }
    }
}
