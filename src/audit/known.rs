//! The checkpoints that this process knows. They outlive their rows: who can delete a checkpoint from the database cannot
//! delete it
//! here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    domain::AccountId,
    ledger::{Checkpoint, Hash},
};

/// The largest checkpoint of each ledger that this process has signed, read or received, always with a verified signature. Clones
/// share them.
#[derive(Debug, Clone, Default)]
pub struct KnownCheckpoints(Arc<Mutex<HashMap<AccountId, KnownCheckpoint>>>);

#[derive(Debug)]
struct KnownCheckpoint {
    size: u64,
    root: Hash,
    note: String,
}

impl KnownCheckpoints {
    /// Remembers a verified checkpoint, if it is the largest of its ledger. False if another root is known for its
    /// size: the key has
    /// signed two histories.
    pub(super) fn remember(&self, account: AccountId, checkpoint: &Checkpoint, note: &str) -> bool {
        let mut known = self.lock();
        if let Some(known) = known.get(&account)
            && known.size >= checkpoint.size
        {
            return known.size > checkpoint.size || known.root == checkpoint.root;
        }
        known.insert(
            account,
            KnownCheckpoint {
                size: checkpoint.size,
                root: checkpoint.root,
                note: note.to_owned(),
            },
        );
        true
    }

    /// The size and the root of the largest checkpoint of a ledger.
    pub(super) fn of(&self, account: AccountId) -> Option<(u64, Hash)> {
        self.lock().get(&account).map(|known| (known.size, known.root))
    }

    /// The size of the largest checkpoint of a ledger.
    pub fn size_of(&self, account: AccountId) -> Option<u64> {
        self.of(account).map(|(size, _)| size)
    }

    /// The signed notes, to tell them to other replicas.
    pub(super) fn notes(&self) -> Vec<String> {
        self.lock().values().map(|known| known.note.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, KnownCheckpoint>> {
        // Each statement under the lock leaves the map consistent, so a panic of another holder does no harm.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_checkpoint_is_known_and_another_root_of_its_size_is_refused() {
        let account = "000011112222".parse().unwrap();
        let known = KnownCheckpoints::default();
        let remember = |size, root: u8| {
            let checkpoint = Checkpoint {
                origin: "any".into(),
                size,
                root: [root; 32],
            };
            known.remember(account, &checkpoint, &format!("{size}"))
        };
        assert!(remember(5, 1) && remember(5, 1) && remember(3, 9));
        assert_eq!(known.of(account), Some((5, [1; 32])));
        assert!(!remember(5, 2), "another root");
        assert!(remember(8, 4));
        assert_eq!(
            (known.of(account), known.notes()),
            (Some((8, [4; 32])), vec!["8".to_owned()])
        );
    }
}
