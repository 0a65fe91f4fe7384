//! The accounts and images, and the recent changes to who an image is shared with (for stale reads).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::account::Account;
use super::fault::Behind;
use super::image::Image;

/// How many changes of shares are remembered for stale reads.
const JOURNAL_LIMIT: usize = 10_000;

/// What exists. `images` is keyed by Region and image id.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) images: BTreeMap<(String, String), Image>,
    /// The access keys that accounts list, with the account.
    access_keys: BTreeSet<(String, String)>,
    journal: VecDeque<ShareChange>,
    /// Counts what changed, so that a state file is written when, and only when, something did.
    pub(super) version: u64,
}

/// Accounts and images as they are written down.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
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

impl World {
    pub(super) fn new(state: State) -> Self {
        let mut world = Self::default();
        state
            .accounts
            .into_iter()
            .for_each(|account| world.put_account(account));
        state.images.into_iter().for_each(|image| world.put_image(image));
        world
    }

    /// Goes back to a state. The version goes on, so that the change is noticed.
    pub(super) fn reset(&mut self, state: State) {
        let version = self.version;
        *self = Self::new(state);
        self.version += version + 1;
    }

    pub(super) fn state(&self) -> State {
        State {
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

    /// Changes an image, if it is there.
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

    /// Shares an image with an account, or ends that; remembers it for stale reads.
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

    /// Who an image is shared with, as a reader sees it who is so far behind.
    pub(super) fn shared_with(&self, image: &Image, behind: Option<Behind>, now: OffsetDateTime) -> BTreeSet<String> {
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
