//! Who asked most, and what was asked about most: from the rankings, and from the entries that are not in these yet.

use sqlx::{Postgres, QueryBuilder};

use crate::{
    domain::{AccountId, Timestamp},
    store::{
        connection::{Database, Planning},
        error::StoreError,
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

/// Ranks by the number of requests (entries that are ranked) from midnight `from` to before midnight `to` (UTC), in the
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
    let accounts: Vec<_> = accounts.iter().map(AccountId::to_string).collect();
    let mut sql = QueryBuilder::new("SELECT value, sum(count)::bigint FROM (");
    for tiles in tiles {
        push_tiles(&mut sql, ranking, tiles, &accounts);
        sql.push(" UNION ALL ");
    }
    push_rest(&mut sql, ranking, tiles, &accounts);
    sql.push(") AS counted GROUP BY value ORDER BY sum(count) DESC, value LIMIT ")
        .push(top);
    sql
}

fn push_tiles(sql: &mut QueryBuilder<Postgres>, ranking: Ranking, tiles: &Tiles, accounts: &[String]) {
    let table = if accounts.is_empty() {
        "audit_ranking_total"
    } else {
        "audit_ranking"
    };
    sql.push("SELECT value, count FROM ").push(table);
    sql.push(" WHERE bucket = '").push(tiles.bucket.as_str());
    sql.push("' AND ranking = '").push(ranking.as_str());
    sql.push("' AND start_time >= ").push_bind(tiles.from);
    sql.push(" AND start_time < ").push_bind(tiles.to);
    push_accounts(sql, accounts);
}

/// The entries that are not in the rankings yet.
fn push_rest(sql: &mut QueryBuilder<Postgres>, ranking: Ranking, tiles: &[Tiles], accounts: &[String]) {
    sql.push("SELECT ").push(ranking.column());
    sql.push(", 1 FROM audit_entry_uncounted WHERE is_ranked AND ")
        .push(ranking.column())
        .push(" IS NOT NULL");
    if let (Some(first), Some(last)) = (tiles.first(), tiles.last()) {
        sql.push(" AND recorded_at >= ").push_bind(first.from);
        sql.push(" AND recorded_at < ").push_bind(last.to);
    }
    push_accounts(sql, accounts);
}

fn push_accounts(sql: &mut QueryBuilder<Postgres>, accounts: &[String]) {
    if !accounts.is_empty() {
        sql.push(" AND account_id = ANY(")
            .push_bind(accounts.to_vec())
            .push(")");
    }
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

    /// What an entry says of it.
    fn column(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Image => "image_id",
            Self::SharedAccount => "shared_account_id",
        }
    }
}
