//! The entries about one permission.

use crate::{
    domain::{PermissionKey, Timestamp},
    store::{connection::Database, error::StoreError},
};

use super::{EntryFilter, EntryPosition, Found, Order, StoredEntry, entries};

/// Reads at most `limit` entries about a permission after `after`, as [`entries`](super::entries()) does.
///
/// # Errors
/// When Postgres does not answer.
pub async fn history<T: Send>(
    database: &Database,
    key: &PermissionKey,
    order: Order,
    after: Option<&EntryPosition>,
    limit: u32,
    now: Timestamp,
    make: impl FnMut(StoredEntry<'_>) -> T + Send,
) -> Result<Found<T>, StoreError> {
    let filter = EntryFilter {
        accounts: vec![key.account],
        regions: vec![key.region.clone()],
        image: Some(key.image.clone()),
        shared_account: Some(key.shared_account),
        ..EntryFilter::default()
    };
    entries(database, &filter, order, after, limit, now, make).await
}
