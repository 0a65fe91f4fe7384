//! Finds shares whose end is due, and counts those that end soon. The worker of ends submits a revoke for each share that is due;
//! the committer decides again.

use std::time::Duration;

use crate::{
    domain::{AccountId, ChangeId, PermissionKey, Timestamp},
    store::{connection::Database, error::StoreError, rows},
};

const TABLE: &str = "share_permission";

/// Shares whose end is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueEnds {
    /// The database's clock, by which they are due.
    pub now: Timestamp,
    /// Each share with the grant that ends.
    pub shares: Vec<(PermissionKey, ChangeId)>,
}

/// Reads at most `limit` shares whose end is due, the earliest first, without those of the accounts `apart_from`.
///
/// # Errors
/// When Postgres does not answer.
pub async fn due(database: &Database, apart_from: &[AccountId], limit: u32) -> Result<DueEnds, StoreError> {
    let apart_from: Vec<_> = apart_from.iter().map(AccountId::to_string).collect();
    let query = sqlx::query!(
        r#"SELECT statement_timestamp() AS "now!", p.account_id AS "account_id?", p.region AS "region?", p.image_id AS "image_id?",
               p.shared_account_id AS "shared_account_id?",
               coalesce(p.next_change_id, p.current_change_id, p.basis_change_id) AS ending
           FROM (SELECT) AS one LEFT JOIN LATERAL (
               SELECT * FROM share_permission
               WHERE end_due_at <= statement_timestamp() AND account_id <> ALL ($1) ORDER BY end_due_at LIMIT $2
           ) AS p ON true"#,
        &apart_from,
        i64::from(limit),
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    let now = rows.first().map(|row| Timestamp::new(row.now));
    let mut shares = Vec::new();
    for row in rows {
        let (Some(account), Some(region), Some(image), Some(shared_account), Some(ending)) = (
            row.account_id,
            row.region,
            row.image_id,
            row.shared_account_id,
            row.ending,
        ) else {
            continue;
        };
        let key = PermissionKey {
            account: rows::parse(TABLE, &account)?,
            region: rows::parse(TABLE, &region)?,
            image: rows::parse(TABLE, &image)?,
            shared_account: rows::parse(TABLE, &shared_account)?,
        };
        shares.push((key, ChangeId(ending)));
    }
    Ok(DueEnds {
        now: now.ok_or_else(|| StoreError::corrupt(TABLE, "the time is missing"))?,
        shares,
    })
}

/// Shares with an end, in the whole database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpiringShares {
    /// Those that end within one day, overdue ones included.
    pub within_1d: u64,
    /// Those that end within 7 days, overdue ones included.
    pub within_7d: u64,
    /// Those that end within 30 days, overdue ones included.
    pub within_30d: u64,
    /// The longest time since an end at which the share is still there. Zero if no share is overdue.
    pub overdue_for: Duration,
}

/// Counts the shares that end soon, and finds the most overdue one.
///
/// # Errors
/// When Postgres does not answer.
pub async fn expiring(database: &Database) -> Result<ExpiringShares, StoreError> {
    let query = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE expire_time < statement_timestamp() + interval '1 day') AS "within_1d!",
               count(*) FILTER (WHERE expire_time < statement_timestamp() + interval '7 days') AS "within_7d!",
               count(*) AS "within_30d!",
               greatest(coalesce(extract(epoch FROM statement_timestamp() - min(expire_time)), 0), 0)::float8 AS "overdue_for!"
           FROM share_permission
           WHERE expire_time < statement_timestamp() + interval '30 days' AND applied IS DISTINCT FROM 'NOT_SHARED'"#
    );
    let row = database.run(async |conn| query.fetch_one(conn).await).await?;
    Ok(ExpiringShares {
        within_1d: rows::count(TABLE, row.within_1d)?,
        within_7d: rows::count(TABLE, row.within_7d)?,
        within_30d: rows::count(TABLE, row.within_30d)?,
        overdue_for: Duration::try_from_secs_f64(row.overdue_for).unwrap_or_default(),
    })
}
