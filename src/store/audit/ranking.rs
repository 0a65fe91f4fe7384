//! The principals, images and accounts with the most requests: from the rankings, plus the entries that are not counted
//! there yet.

use sqlx::{Postgres, QueryBuilder};

use crate::{
    domain::{AccountId, Timestamp},
    store::{
        connection::{Database, PlanCacheMode},
        error::StoreError,
        rows::{buckets::Bucket, count},
    },
};

use super::{
    cover::{self, Rollups},
    statement::push_any,
};

/// What to rank by the number of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranking {
    /// The principal of the request.
    Principal,
    /// The image.
    Image,
    /// The account that the image is shared with.
    SharedAccount,
}

/// Ranks by the number of requests (entries with `is_ranked`) from midnight `from` to before midnight `to` (UTC), in
/// the ledgers of `accounts` (empty: all). At most `top` values, the most frequent first; equal counts by value.
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
    let rollups = cover::cover(from, to, Bucket::Month);
    if rollups.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = statement(ranking, &rollups, accounts, top);
    let query = sql.build_query_as::<(String, i64)>().persistent(false);
    let rows = database
        .run_planned(PlanCacheMode::Auto, async |connection| {
            query.fetch_all(connection).await
        })
        .await?;
    rows.into_iter()
        .map(|(value, sum)| Ok((value, count("audit_ranking", sum)?)))
        .collect()
}

fn statement(ranking: Ranking, rollups: &[Rollups], accounts: &[AccountId], top: u32) -> QueryBuilder<Postgres> {
    let accounts: Vec<_> = accounts.iter().map(AccountId::to_string).collect();
    let mut sql = QueryBuilder::new("SELECT value, sum(count)::bigint FROM (");
    for rollups in rollups {
        push_rollups(&mut sql, ranking, rollups, &accounts);
        sql.push(" UNION ALL ");
    }
    push_rest(&mut sql, ranking, rollups, &accounts);
    sql.push(") AS counted GROUP BY value ORDER BY sum(count) DESC, value LIMIT ")
        .push(top);
    sql
}

fn push_rollups(sql: &mut QueryBuilder<Postgres>, ranking: Ranking, rollups: &Rollups, accounts: &[String]) {
    let table = if accounts.is_empty() {
        "audit_ranking_total"
    } else {
        "audit_ranking"
    };
    sql.push("SELECT value, count FROM ").push(table);
    sql.push(" WHERE bucket = '").push(rollups.bucket.as_str());
    sql.push("' AND ranking = '").push(ranking.as_str());
    sql.push("' AND start_time >= ").push_bind(rollups.from);
    sql.push(" AND start_time < ").push_bind(rollups.to);
    push_any(sql, "account_id", accounts.to_vec());
}

/// The entries that are not in the rankings yet.
fn push_rest(sql: &mut QueryBuilder<Postgres>, ranking: Ranking, rollups: &[Rollups], accounts: &[String]) {
    sql.push("SELECT ").push(ranking.column());
    sql.push(", 1 FROM audit_entry_uncounted WHERE is_ranked AND ")
        .push(ranking.column())
        .push(" IS NOT NULL");
    if let (Some(first), Some(last)) = (rollups.first(), rollups.last()) {
        sql.push(" AND recorded_at >= ").push_bind(first.from);
        sql.push(" AND recorded_at < ").push_bind(last.to);
    }
    push_any(sql, "account_id", accounts.to_vec());
}

impl Ranking {
    /// The name in the tables.
    fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "PRINCIPAL",
            Self::Image => "IMAGE",
            Self::SharedAccount => "SHARED_ACCOUNT",
        }
    }

    /// The column of an entry.
    fn column(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Image => "image_id",
            Self::SharedAccount => "shared_account_id",
        }
    }
}
