//! The lists of `AuditService` that are read in pages, for page tokens.

use crate::{
    audit::NextPage,
    domain::{AccountId, ImageId, PermissionKey, Region, Timestamp},
    grpc::page_token::{FilterDigest, PagePosition, PagedList, order_name},
    store::audit::{Condition, EntryFilter, EntryPosition, Order, ShareFilter, SharePosition},
};

/// A request of `ListAuditEntries`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EntryList {
    pub(super) filter: EntryFilter,
    pub(super) order: Order,
}

/// A request of `ListPermissionHistory`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PermissionHistory {
    pub(super) key: PermissionKey,
    pub(super) order: Order,
}

/// A request of `GetSharePermissionsAt`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SharesAt {
    pub(super) time: Timestamp,
    pub(super) filter: ShareFilter,
}

impl PagedList for EntryList {
    const METHOD: &'static str = "ListAuditEntries";
    type Position = NextPage;

    fn bind(&self, filters: &mut FilterDigest) {
        let Self { filter, order } = self;
        let EntryFilter { from, to, text, .. } = filter;
        filters.one(Some(order_name(*order)));
        filters.one(from.map(|time| time.to_string()).as_deref());
        filters.one(to.map(|time| time.to_string()).as_deref());
        filters.one(text.as_deref());
        for Condition { column, values } in filter.conditions() {
            filters.one(Some(column.name()));
            filters.several(values.iter().map(String::as_str));
        }
    }
}

impl PagedList for PermissionHistory {
    const METHOD: &'static str = "ListPermissionHistory";
    type Position = NextPage;

    fn bind(&self, filters: &mut FilterDigest) {
        let Self { key, order } = self;
        filters.one(Some(order_name(*order)));
        filters.one(Some(&key.write()));
    }
}

impl PagedList for SharesAt {
    const METHOD: &'static str = "GetSharePermissionsAt";
    type Position = SharePosition;

    fn bind(&self, filters: &mut FilterDigest) {
        let Self { time, filter } = self;
        let ShareFilter {
            account,
            region,
            image,
            shared_account,
            since,
        } = filter;
        filters.one(Some(&time.to_string()));
        filters.one(since.map(|time| time.to_string()).as_deref());
        filters.one(account.as_ref().map(AccountId::as_str));
        filters.one(region.as_ref().map(Region::as_str));
        filters.one(image.as_ref().map(ImageId::as_str));
        filters.one(shared_account.as_ref().map(AccountId::as_str));
    }
}

impl PagePosition for NextPage {
    fn write(&self) -> String {
        let EntryPosition {
            recorded_at,
            account,
            log_index,
        } = self.after;
        format!("{account}/{log_index}/{recorded_at}/{}", self.read_at)
    }

    fn read(text: &str) -> Option<Self> {
        let (account, text) = text.split_once('/')?;
        let (log_index, text) = text.split_once('/')?;
        let (recorded_at, read_at) = text.split_once('/')?;
        let after = EntryPosition {
            recorded_at: Timestamp::parse(recorded_at)?,
            account: account.parse().ok()?,
            // A token may be forged, and the store holds indexes below 2^63.
            log_index: log_index.parse().ok().filter(|index| i64::try_from(*index).is_ok())?,
        };
        let read_at = Timestamp::parse(read_at)?;
        Some(Self { after, read_at })
    }
}

impl PagePosition for SharePosition {
    fn write(&self) -> String {
        format!("{}/{}", self.start_index, self.key.write())
    }

    fn read(text: &str) -> Option<Self> {
        let (start_index, key) = text.split_once('/')?;
        Some(Self {
            key: PermissionKey::read(key)?,
            // A token may be forged, and the store holds indexes below 2^63.
            start_index: start_index.parse().ok().filter(|index| i64::try_from(*index).is_ok())?,
        })
    }
}

#[cfg(test)]
mod tests;
