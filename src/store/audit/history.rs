//! The entries about one permission.

use crate::{
    domain::{PermissionKey, Timestamp},
    store::{Database, StoreError},
};

use super::{EntryFilter, EntryPosition, Found, Order, entries};

/// Reads at most `limit` entries about a permission, those after `after` only.
///
/// # Errors
/// When Postgres does not answer.
pub async fn history(
    database: &Database,
    key: &PermissionKey,
    order: Order,
    after: Option<&EntryPosition>,
    limit: u32,
    now: Timestamp,
) -> Result<Found, StoreError> {
    let filter = EntryFilter {
        accounts: vec![key.account],
        regions: vec![key.region.clone()],
        image: Some(key.image.clone()),
        shared_account: Some(key.shared_account),
        ..EntryFilter::default()
    };
    entries(database, &filter, order, after, limit, now).await
}
