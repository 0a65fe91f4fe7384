//! The turns of principals: one reads the facts of one image of an account and Region at a time. Reads wait for each other in
//! the order in which they came, so a principal that asks about many images would hold back all others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Mutex as TurnLock, OwnedMutexGuard};

use crate::domain::{AccountId, Principal, Region};

type TurnKey = (Principal, AccountId, Region);

/// The turns of a process. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<TurnKey, Arc<TurnLock<()>>>>>);

/// The turn of a principal. Dropping it ends the turn.
#[derive(Debug)]
pub struct FactTurn {
    turns: Turns,
    key: TurnKey,
    lock: Arc<TurnLock<()>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the turn.
    pub(super) async fn take(&self, key: TurnKey) -> FactTurn {
        let lock = self.lock().entry(key.clone()).or_default().clone();
        // Made before the wait, so that a reader that leaves forgets its lock.
        let mut turn = FactTurn {
            turns: self.clone(),
            key,
            lock,
            held: None,
        };
        turn.held = Some(turn.lock.clone().lock_owned().await);
        turn
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TurnKey, Arc<TurnLock<()>>>> {
        // A panic cannot leave the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FactTurn {
    fn drop(&mut self) {
        let mut turns = self.turns.lock();
        self.held = None;
        // One is in the map, one is here.
        if Arc::strong_count(&self.lock) == 2 {
            turns.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn key(principal: &str) -> TurnKey {
        (
            principal.parse().unwrap(),
            "111122223333".parse().unwrap(),
            "eu-central-1".parse().unwrap(),
        )
    }

    #[tokio::test]
    async fn a_principal_has_one_turn_at_a_time_and_holds_back_no_other() {
        let turns = Turns::default();
        let first = turns.take(key("greedy")).await;
        let mut second = Box::pin(turns.take(key("greedy")));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(turns.take(key("other")).now_or_never().is_some());
        drop(first);
        let second = second.now_or_never().expect("the first turn has ended");
        let leaver = turns.take(key("greedy"));
        assert!(leaver.now_or_never().is_none());
        drop(second);
        assert!(turns.lock().is_empty(), "nothing stays in memory");
    }
}
