//! Who and what was asked about most, from the rollups.

use sqlx::{Postgres, QueryBuilder};

use crate::{
    domain::{AccountId, Timestamp},
    store::{
        Database, StoreError,
        at_hand::Planning,
        rows::{buckets::Bucket, count},
    },
};

use super::cover::{self, Tiles};

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
    let tiles = cover::cover(from, to, Bucket::Month);
    if tiles.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = statement(ranking, &tiles, accounts, top);
    let query = sql.build_query_as::<(String, i64)>().persistent(false);
    let rows = database
        .run_planned(Planning::ByValues, async |connection| query.fetch_all(connection).await)
        .await?;
    rows.into_iter()
        .map(|(value, sum)| Ok((value, count("audit_ranking", sum)?)))
        .collect()
}

fn statement(ranking: Ranking, tiles: &[Tiles], accounts: &[AccountId], top: u32) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT value, sum(count)::bigint FROM (");
    for (at, tiles) in tiles.iter().enumerate() {
        sql.push(if at == 0 { "" } else { " UNION ALL " });
        sql.push("SELECT value, count FROM audit_ranking WHERE bucket = '")
            .push(tiles.bucket.as_str());
        sql.push("' AND ranking = '").push(ranking.as_str());
        sql.push("' AND start_time >= ").push_bind(tiles.from);
        sql.push(" AND start_time < ").push_bind(tiles.to);
        if !accounts.is_empty() {
            let accounts: Vec<_> = accounts.iter().map(AccountId::to_string).collect();
            sql.push(" AND account_id = ANY(").push_bind(accounts).push(")");
        }
    }
    sql.push(") AS counted GROUP BY value ORDER BY sum(count) DESC, value LIMIT ")
        .push(top);
    sql
}

impl Ranking {
    /// The name in the store.
    fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "PRINCIPAL",
            Self::Image => "IMAGE",
            Self::SharedAccount => "SHARED_ACCOUNT",
        }
    }
}
