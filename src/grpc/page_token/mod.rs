//! Page tokens: where the next page begins, bound to the list and its filters.
//!
//! A token is base64url of a version, the position that the page before ended with, and a digest over both, the name of the
//! method and the filters. The digest finds alterations and other filters; it is no secret, and need not be: a forged token
//! could only name a place in an order that its caller may read anyway. The size of the page is not bound, so it may differ.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{
    domain::{AccountId, ChangeState, ImageId, PermissionKey, PermissionState, Principal, Region, Timestamp},
    store::{
        audit::Order,
        changes::{ChangeFilter, ChangePosition},
        reads::PermissionFilter,
    },
};

const VERSION: u8 = 2;
const CONTEXT: &str = "sharewarden.v1 page token";
const DIGEST_LENGTH: usize = 16;
const ACCOUNT_LENGTH: usize = 12;

/// What a list that is read in pages is asked for.
pub(super) trait PagedList {
    /// Tells its tokens from those of other lists.
    const METHOD: &'static str;
    /// Names a place in its order.
    type Position: PagePosition;

    /// Tells everything that must be the same for every page.
    fn bind(&self, filters: &mut FilterDigest);
}

/// A place in the order of a list, as a text.
pub(super) trait PagePosition: Sized {
    /// Writes it.
    fn write(&self) -> String;

    /// Reads [`write`](Self::write). The text may be anything: a digest is no secret.
    fn read(text: &str) -> Option<Self>;
}

/// The filters of a list, one after the other. Every part goes in after its length, so that no two lists read the same.
pub(super) struct FilterDigest(Sha256);

impl FilterDigest {
    fn part(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    /// A filter of one value. Nothing that can be filtered by is empty: an empty text stands for an absent one.
    pub(super) fn one(&mut self, value: Option<&str>) {
        self.part(value.unwrap_or_default().as_bytes());
    }

    /// A filter of several values.
    pub(super) fn several<'a>(&mut self, values: impl ExactSizeIterator<Item = &'a str>) {
        self.0.update((values.len() as u64).to_be_bytes());
        values.for_each(|value| self.part(value.as_bytes()));
    }
}

/// The token for the page after `last`.
pub(super) fn encode<L: PagedList>(list: &L, last: &L::Position) -> String {
    let mut token = vec![VERSION];
    token.extend(last.write().as_bytes());
    token.extend(digest(list, &token));
    BASE64_URL_SAFE_NO_PAD.encode(token)
}

/// Reads a token of [`encode`]; none if it was altered, or made for another list or other filters.
pub(super) fn decode<L: PagedList>(list: &L, token: &str) -> Option<L::Position> {
    let token = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let (content, expected) = token.split_at_checked(token.len().checked_sub(DIGEST_LENGTH)?)?;
    if expected != digest(list, content) {
        return None;
    }
    let (&version, position) = content.split_first()?;
    if version != VERSION {
        return None;
    }
    L::Position::read(std::str::from_utf8(position).ok()?)
}

fn digest<L: PagedList>(list: &L, content: &[u8]) -> [u8; DIGEST_LENGTH] {
    let mut filters = FilterDigest(Sha256::new());
    for part in [CONTEXT.as_bytes(), L::METHOD.as_bytes(), content] {
        filters.part(part);
    }
    list.bind(&mut filters);
    let mut digest = [0; DIGEST_LENGTH];
    digest.copy_from_slice(&filters.0.finalize()[..DIGEST_LENGTH]);
    digest
}

impl PagedList for PermissionFilter {
    const METHOD: &'static str = "ListSharePermissions";
    type Position = PermissionKey;

    fn bind(&self, filters: &mut FilterDigest) {
        let Self {
            account,
            region,
            image,
            shared_account,
            state,
        } = self;
        filters.one(account.as_ref().map(AccountId::as_str));
        filters.one(region.as_ref().map(Region::as_str));
        filters.one(image.as_ref().map(ImageId::as_str));
        filters.one(shared_account.as_ref().map(AccountId::as_str));
        filters.one(state.map(PermissionState::as_str));
    }
}

/// Of what `ListChanges` lists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChangeList {
    pub(super) filter: ChangeFilter,
    pub(super) order: Order,
}

impl PagedList for ChangeList {
    const METHOD: &'static str = "ListChanges";
    type Position = ChangePosition;

    fn bind(&self, filters: &mut FilterDigest) {
        let Self { filter, order } = self;
        let ChangeFilter {
            accounts,
            states,
            in_doubt,
            created_before,
            region,
            image,
            shared_account,
            principal,
        } = filter;
        filters.one(Some(order_name(*order)));
        filters.several(accounts.iter().map(AccountId::as_str));
        filters.several(states.iter().copied().map(ChangeState::as_str));
        filters.one(in_doubt.then_some("IN_DOUBT"));
        filters.one(created_before.map(|time| time.to_string()).as_deref());
        filters.one(region.as_ref().map(Region::as_str));
        filters.one(image.as_ref().map(ImageId::as_str));
        filters.one(shared_account.as_ref().map(AccountId::as_str));
        filters.one(principal.as_ref().map(Principal::as_str));
    }
}

impl PagePosition for ChangePosition {
    fn write(&self) -> String {
        format!("{}/{}/{}", self.account, self.change, self.created_at)
    }

    fn read(text: &str) -> Option<Self> {
        let (account, text) = text.split_once('/')?;
        let (change, created_at) = text.split_once('/')?;
        Some(Self {
            created_at: Timestamp::parse(created_at)?,
            account: account.parse().ok()?,
            change: change.parse().ok()?,
        })
    }
}

/// The name of an order, as lists bind it.
pub(super) fn order_name(order: Order) -> &'static str {
    match order {
        Order::NewestFirst => "NEWEST_FIRST",
        Order::OldestFirst => "OLDEST_FIRST",
    }
}

impl PagePosition for PermissionKey {
    fn write(&self) -> String {
        // An image id has no slash, so the Region is what comes after it.
        format!("{}{}{}/{}", self.account, self.shared_account, self.image, self.region)
    }

    fn read(text: &str) -> Option<Self> {
        let (account, text) = text.split_at_checked(ACCOUNT_LENGTH)?;
        let (shared_account, text) = text.split_at_checked(ACCOUNT_LENGTH)?;
        let (image, region) = text.split_once('/')?;
        Some(Self {
            account: account.parse().ok()?,
            region: region.parse().ok()?,
            image: image.parse().ok()?,
            shared_account: shared_account.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests;
