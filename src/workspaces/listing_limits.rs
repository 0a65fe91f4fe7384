//! Limits concurrent lists of images. Lists are not limited by the forwarder's rate, so without this limit a few callers could
//! make AWS throttle the account's grants.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::{AccountId, Region};

/// Maximum concurrent lists of one account and Region.
const MAX_CONCURRENT_LISTS: usize = 2;

/// A semaphore for each account and Region. Clones share them.
#[derive(Clone, Default)]
pub(super) struct ListingLimits(Arc<Mutex<Semaphores>>);

type Semaphores = HashMap<(AccountId, Region), Arc<Semaphore>>;

impl ListingLimits {
    /// Waits for a permit. Dropping it lets the next list start.
    pub(super) async fn acquire(&self, account: AccountId, region: &Region) -> Option<OwnedSemaphorePermit> {
        let semaphore = {
            // A panic cannot leave the map half changed.
            let mut semaphores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = semaphores.entry((account, region.clone()));
            entry
                .or_insert_with(|| Arc::new(Semaphore::new(MAX_CONCURRENT_LISTS)))
                .clone()
        };
        // An error means a closed semaphore, and these are never closed.
        semaphore.acquire_owned().await.ok()
    }
}
