//! Page tokens: the start of the next page, bound to the method and its filters.
//!
//! A token is base64url of a version, the last position of the page before, and a digest over both, the method and the filters.
//! The digest detects altered tokens and other filters. It has no secret key and needs none: a forged token only selects a
//! position in a list that its caller may read anyway. The page size is not bound, so it may differ between pages.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{
    domain::{AccountId, ChangeState, ImageId, PermissionKey, PermissionState, Principal, Region, Timestamp},
    store::{
        audit::Order,
        changes::{ChangeFilter, ChangePosition},
        drift::findings::FindingFilter,
        reads::PermissionFilter,
    },
};

const VERSION: u8 = 2;
const CONTEXT: &str = "sharewarden.v1 page token";
const DIGEST_LENGTH: usize = 16;
const ACCOUNT_LENGTH: usize = 12;

/// A request for a list that is read in pages.
pub(super) trait PagedList {
    /// The name of the method. It keeps tokens of different methods apart.
    const METHOD: &'static str;
    /// Identifies an item in the order of the list.
    type Position: PagePosition;

    /// Adds everything that must be equal for all pages.
    fn bind(&self, filters: &mut FilterDigest);
}

/// A position in the order of a list, as text in a token.
pub(super) trait PagePosition: Sized {
    /// The text for a token.
    fn write(&self) -> String;

    /// Parses the text of [`write`](Self::write). The text may be forged, because the digest has no secret key.
    fn read(text: &str) -> Option<Self>;
}

/// The digest over the filters of a list. Each part is preceded by its length, so that different filters never give the same
/// bytes.
pub(super) struct FilterDigest(Sha256);

impl FilterDigest {
    fn part(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    /// Adds a filter of one value. No filter value is empty, so an empty text means that the filter is absent.
    pub(super) fn one(&mut self, value: Option<&str>) {
        self.part(value.unwrap_or_default().as_bytes());
    }

    /// Adds a filter of several values.
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

/// The position in a token of [`encode`]. None if the token was altered, or made for another method or other filters.
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
            expire_before,
        } = self;
        filters.one(account.as_ref().map(AccountId::as_str));
        filters.one(region.as_ref().map(Region::as_str));
        filters.one(image.as_ref().map(ImageId::as_str));
        filters.one(shared_account.as_ref().map(AccountId::as_str));
        filters.one(state.map(PermissionState::as_str));
        // Nothing is added without it, so that tokens of older builds stay valid.
        if let Some(time) = expire_before {
            filters.one(Some(&time.to_string()));
        }
    }
}

impl PagedList for FindingFilter {
    const METHOD: &'static str = "ListDriftFindings";
    type Position = PermissionKey;

    fn bind(&self, filters: &mut FilterDigest) {
        let Self {
            account,
            region,
            image,
            shared_account,
            include_resolved,
        } = self;
        filters.one(account.as_ref().map(AccountId::as_str));
        filters.one(region.as_ref().map(Region::as_str));
        filters.one(image.as_ref().map(ImageId::as_str));
        filters.one(shared_account.as_ref().map(AccountId::as_str));
        filters.one(include_resolved.then_some("INCLUDE_RESOLVED"));
    }
}

/// A request of `ListChanges`.
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

/// A request of `ListAccounts`. It has no filters: its accounts follow from the caller.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AccountList;

impl PagedList for AccountList {
    const METHOD: &'static str = "ListAccounts";
    type Position = AccountId;

    fn bind(&self, _: &mut FilterDigest) {}
}

impl PagePosition for AccountId {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
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

/// The name of an order in the digest.
pub(super) fn order_name(order: Order) -> &'static str {
    match order {
        Order::NewestFirst => "NEWEST_FIRST",
        Order::OldestFirst => "OLDEST_FIRST",
    }
}

impl PagePosition for PermissionKey {
    fn write(&self) -> String {
        // An image id has no slash, so the first slash ends it.
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
