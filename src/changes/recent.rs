//! A memory of requests that were accepted a short time ago, so that a replay does not ask the policy.
//!
//! It is only a hint. The transition finds the request or not, and without the request the policy decides. A process begins
//! without hints, and forgets some of them; each costs one decision.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::domain::Intent;

/// The maximum number of hints, of 8 bytes each.
const SLOTS: usize = 1 << 16;

/// The hints of this process. Clones share them.
///
/// A hint is a hash of account and request id, in the slot that the hash gives. A later hint for the same slot replaces it. So
/// callers whose requests are accepted can take all slots, and others cannot. The hash has a random key: nobody can choose whose
/// hint is replaced.
#[derive(Debug, Clone)]
pub struct RecentRequests {
    slots: Arc<[AtomicU64]>,
    hasher: RandomState,
}

impl Default for RecentRequests {
    fn default() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl RecentRequests {
    /// Remembers that the request of the intent was accepted.
    pub(super) fn remember(&self, intent: &Intent) {
        let (hash, slot) = self.slot(intent);
        slot.store(hash, Ordering::Relaxed);
    }

    /// True if a request with the id of the intent was probably accepted in its account.
    pub(super) fn has(&self, intent: &Intent) -> bool {
        let (hash, slot) = self.slot(intent);
        slot.load(Ordering::Relaxed) == hash
    }

    fn slot(&self, intent: &Intent) -> (u64, &AtomicU64) {
        let hash = self.hasher.hash_one((intent.key.account, intent.request_id));
        (hash, &self.slots[hash as usize % SLOTS])
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{RequestId, example};

    fn intent(account: &str, request: u128) -> Intent {
        let mut intent = example::intent();
        intent.key.account = account.parse().unwrap();
        intent.request_id = RequestId(Uuid::from_u128(request));
        intent
    }

    #[test]
    fn a_request_is_remembered_for_its_account_whatever_else_it_says() {
        let recent = RecentRequests::default();
        recent.remember(&intent("111122223333", 1));
        let mut again = intent("111122223333", 1);
        again.principal = "another".parse().unwrap();
        assert!(recent.has(&again));
        assert!(!recent.has(&intent("111122223333", 2)));
        assert!(!recent.has(&intent("444455556666", 1)));
    }

    #[test]
    fn memory_is_bounded_and_newer_requests_replace_older_ones() {
        let recent = RecentRequests::default();
        let requests = 0..4 * SLOTS as u128;
        requests
            .clone()
            .for_each(|request| recent.remember(&intent("111122223333", request)));
        let known = requests
            .filter(|request| recent.has(&intent("111122223333", *request)))
            .count();
        assert!((SLOTS / 2..=SLOTS).contains(&known), "{known}");
        assert!(recent.has(&intent("111122223333", 4 * SLOTS as u128 - 1)));
    }
}
