//! The lists that are read in pages, and the places in them: what page tokens are made of.

use crate::{
    audit::NextPage,
    domain::{AccountId, Action, Cause, ImageId, KindName, PermissionKey, Principal, Region, Timestamp},
    grpc::page_token::{Filters, List, order_name, read_key, write_key},
    store::audit::{EntryFilter, EntryPosition, Order, ShareFilter},
};

/// Of what `ListAuditEntries` lists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entries {
    pub(super) filter: EntryFilter,
    pub(super) order: Order,
}

/// Of what `ListPermissionHistory` lists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) key: PermissionKey,
    pub(super) order: Order,
}

/// Of what `GetSharePermissionsAt` lists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SharesAt {
    pub(super) time: Timestamp,
    pub(super) filter: ShareFilter,
}

impl List for Entries {
    const METHOD: &'static str = "ListAuditEntries";
    type Position = NextPage;

    fn bind(&self, filters: &mut Filters) {
        let Self { filter, order } = self;
        let EntryFilter {
            accounts,
            regions,
            image,
            shared_account,
            principals,
            actions,
            kinds,
            causes,
            change,
            request,
            aws_request,
            from,
            to,
            text,
        } = filter;
        filters.one(Some(order_name(*order)));
        filters.several(accounts.iter().map(AccountId::as_str));
        filters.several(regions.iter().map(Region::as_str));
        filters.one(image.as_ref().map(ImageId::as_str));
        filters.one(shared_account.as_ref().map(AccountId::as_str));
        filters.several(principals.iter().map(Principal::as_str));
        filters.several(actions.iter().copied().map(Action::as_str));
        filters.several(kinds.iter().map(KindName::as_str));
        filters.several(causes.iter().copied().map(Cause::as_str));
        filters.one(change.map(|id| id.to_string()).as_deref());
        filters.one(request.map(|id| id.to_string()).as_deref());
        filters.one(aws_request.as_deref());
        filters.one(from.map(|time| time.to_string()).as_deref());
        filters.one(to.map(|time| time.to_string()).as_deref());
        filters.one(text.as_deref());
    }

    fn write(position: &NextPage) -> String {
        write_next(position)
    }

    fn read(text: &str) -> Option<NextPage> {
        read_next(text)
    }
}

impl List for History {
    const METHOD: &'static str = "ListPermissionHistory";
    type Position = NextPage;

    fn bind(&self, filters: &mut Filters) {
        let Self { key, order } = self;
        filters.one(Some(order_name(*order)));
        filters.one(Some(&write_key(key)));
    }

    fn write(position: &NextPage) -> String {
        write_next(position)
    }

    fn read(text: &str) -> Option<NextPage> {
        read_next(text)
    }
}

impl List for SharesAt {
    const METHOD: &'static str = "GetSharePermissionsAt";
    type Position = PermissionKey;

    fn bind(&self, filters: &mut Filters) {
        let Self { time, filter } = self;
        let ShareFilter {
            account,
            region,
            image,
            shared_account,
        } = filter;
        filters.one(Some(&time.to_string()));
        filters.one(account.as_ref().map(AccountId::as_str));
        filters.one(region.as_ref().map(Region::as_str));
        filters.one(image.as_ref().map(ImageId::as_str));
        filters.one(shared_account.as_ref().map(AccountId::as_str));
    }

    fn write(position: &PermissionKey) -> String {
        write_key(position)
    }

    fn read(text: &str) -> Option<PermissionKey> {
        read_key(text)
    }
}

/// The next page of entries as a position.
fn write_next(next: &NextPage) -> String {
    let EntryPosition {
        recorded_at,
        account,
        log_index,
    } = next.after;
    format!("{account}/{log_index}/{recorded_at}/{}", next.read_at)
}

/// Reads [`write_next`].
fn read_next(text: &str) -> Option<NextPage> {
    let (account, text) = text.split_once('/')?;
    let (log_index, text) = text.split_once('/')?;
    let (recorded_at, read_at) = text.split_once('/')?;
    let after = EntryPosition {
        recorded_at: Timestamp::parse(recorded_at)?,
        account: account.parse().ok()?,
        // What the store can hold; a token may be forged.
        log_index: log_index.parse().ok().filter(|index| i64::try_from(*index).is_ok())?,
    };
    let read_at = Timestamp::parse(read_at)?;
    Some(NextPage { after, read_at })
}

#[cfg(test)]
mod tests;
