//! Turns for those who list the images of an account in a Region. Callers may ask as often as they like, and what they ask is
//! not paced with the forwarder's calls: without turns a few of them could have AWS throttle the account's grants.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::{AccountId, Region};

/// So many list at once.
const AT_ONCE: usize = 2;

/// The turns of a process. Clones share them.
#[derive(Clone, Default)]
pub(super) struct ListingLimits(Arc<Mutex<Places>>);

/// Those that are configured.
type Places = HashMap<(AccountId, Region), Arc<Semaphore>>;

impl ListingLimits {
    /// Waits for a turn; it lasts until what is returned is dropped.
    pub(super) async fn turn(&self, account: AccountId, region: &Region) -> Option<OwnedSemaphorePermit> {
        let turns = {
            // A map of semaphores is whole between any two statements that hold the lock.
            let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let place = places.entry((account, region.clone()));
            place.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone()
        };
        // Nobody closes it.
        turns.acquire_owned().await.ok()
    }
}
