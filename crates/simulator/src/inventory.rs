//! Accounts and images, and the recent changes of permissions, for stale reads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{account::Account, fault::Staleness, image::Image};

/// Maximum number of changes that are kept for stale reads.
const JOURNAL_LIMIT: usize = 10_000;

/// All accounts and images. The key of an image is its Region and id.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) images: BTreeMap<(String, String), Image>,
    /// Pairs of access key and account id.
    access_keys: BTreeSet<(String, String)>,
    journal: VecDeque<ShareChange>,
    /// Incremented by each change, so that the state file is written only when needed.
    pub(super) version: u64,
}

/// Accounts and images, as in the state file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventorySnapshot {
    /// All accounts, by id.
    pub accounts: Vec<Account>,
    /// All images, by Region and id.
    pub images: Vec<Image>,
}

#[derive(Debug)]
struct ShareChange {
    at: OffsetDateTime,
    image: (String, String),
    shared_account: String,
    was_shared: bool,
}

impl Inventory {
    pub(super) fn new(state: InventorySnapshot) -> Self {
        let mut inventory = Self::default();
        state
            .accounts
            .into_iter()
            .for_each(|account| inventory.put_account(account));
        state.images.into_iter().for_each(|image| inventory.put_image(image));
        inventory
    }

    /// Restores a snapshot. The version increases, so that the state file is written.
    pub(super) fn reset(&mut self, state: InventorySnapshot) {
        let version = self.version;
        *self = Self::new(state);
        self.version += version + 1;
    }

    pub(super) fn state(&self) -> InventorySnapshot {
        InventorySnapshot {
            accounts: self.accounts.values().cloned().collect(),
            images: self.images.values().cloned().collect(),
        }
    }

    pub(super) fn put_account(&mut self, account: Account) {
        self.version += 1;
        let listed = |account: &Account| -> Vec<_> {
            let keys = account.access_keys.iter();
            keys.map(|key| (key.clone(), account.id.clone())).collect()
        };
        let keys = listed(&account);
        if let Some(before) = self.accounts.insert(account.id.clone(), account) {
            listed(&before).iter().for_each(|key| {
                self.access_keys.remove(key);
            });
        }
        self.access_keys.extend(keys);
    }

    /// The account that lists an access key; the first by id, if several do.
    pub(super) fn holder_of(&self, access_key: &str) -> Option<&str> {
        let (key, account) = self
            .access_keys
            .range((access_key.to_owned(), String::new())..)
            .next()?;
        (key == access_key).then_some(account)
    }

    pub(super) fn put_image(&mut self, image: Image) {
        self.version += 1;
        self.images
            .insert((image.region.clone(), image.image_id.clone()), image);
    }

    pub(super) fn image(&self, region: &str, image_id: &str) -> Option<&Image> {
        self.images.get(&(region.to_owned(), image_id.to_owned()))
    }

    pub(super) fn images_in<'a>(&'a self, region: &'a str) -> impl Iterator<Item = &'a Image> {
        self.images
            .range((region.to_owned(), String::new())..)
            .map(|(_, image)| image)
            .take_while(move |image| image.region == region)
    }

    /// Changes an image. False if it does not exist.
    pub(super) fn change_image(&mut self, region: &str, image_id: &str, change: impl FnOnce(&mut Image)) -> bool {
        let Some(image) = self.images.get_mut(&(region.to_owned(), image_id.to_owned())) else {
            return false;
        };
        change(image);
        self.version += 1;
        true
    }

    pub(super) fn remove_image(&mut self, region: &str, image_id: &str) {
        self.version += 1;
        self.images.remove(&(region.to_owned(), image_id.to_owned()));
    }

    /// Shares an image with an account or ends that, and records the change for stale reads.
    pub(super) fn set_shared(&mut self, key: (&str, &str), shared_account: &str, shared: bool, at: OffsetDateTime) {
        let mut changed = false;
        self.change_image(key.0, key.1, |image| {
            changed = match shared {
                true => image.shared_with.insert(shared_account.to_owned()),
                false => image.shared_with.remove(shared_account),
            };
        });
        if !changed {
            return;
        }
        if self.journal.len() == JOURNAL_LIMIT {
            self.journal.pop_front();
        }
        let image = (key.0.to_owned(), key.1.to_owned());
        self.journal.push_back(ShareChange {
            at,
            image,
            shared_account: shared_account.to_owned(),
            was_shared: !shared,
        });
    }

    /// The accounts that an image is shared with, as a read of this staleness sees it.
    pub(super) fn shared_with(
        &self,
        image: &Image,
        behind: Option<Staleness>,
        now: OffsetDateTime,
    ) -> BTreeSet<String> {
        let mut shared_with = image.shared_with.clone();
        let Some(behind) = behind else { return shared_with };
        let of_image = |change: &&ShareChange| change.image.0 == image.region && change.image.1 == image.image_id;
        for (newer, change) in (0..).zip(self.journal.iter().rev().filter(of_image)) {
            if !behind.misses(newer, now - change.at) {
                break;
            }
            match change.was_shared {
                true => shared_with.insert(change.shared_account.clone()),
                false => shared_with.remove(&change.shared_account),
            };
        }
        shared_with
    }
}
