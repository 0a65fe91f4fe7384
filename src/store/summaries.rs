//! The counts of entries: how many there are of each kind, by hour, day and month (the rollups), and how often each principal asked,
//! and each image and shared account was asked about, in a ledger and in all of them (the rankings).
//!
//! They are not kept in the commit that adds the entries: each would be updated by every commit of an account, which makes grants
//! slower, and ever slower while some transaction keeps Postgres from tidying; and what is counted over all accounts would be one row
//! that all commits wait for. A worker adds the entries a little later, in the order of each ledger, and notes how far it came; who
//! asks (see [`super::audit::counts`] and [`super::audit::ranking`]) adds the rest (`audit_entry_uncounted`), in the same snapshot. So
//! the answer is exact at any time.

use std::time::Duration;

use sqlx::{Connection, PgConnection, Postgres, Transaction};

use crate::{
    clock::Clock,
    worker::{NextRound, Trigger, Worker},
};

use super::{Database, StoreError};

/// How long entries are counted by those who ask before the worker looks for them.
const ADD_EVERY: Duration = Duration::from_secs(5);

/// At most so many entries are added in a commit, where grants are to be fast beside it.
const AT_ONCE: u32 = 2000;

/// And so many where the counts are waited for.
const AT_ONCE_IN_HASTE: u32 = 20_000;

/// The worker that adds what is not in yet. While there is more, it rests twice as long as each commit took: the counts come later
/// then, and grants do not. After a failure it adds half as many entries, since the statement may have run out of time.
#[derive(Debug)]
pub struct Counting {
    database: Database,
    clock: Clock,
    most: u32,
}

impl Counting {
    /// A worker that counts in this database.
    pub fn new(database: Database, clock: Clock) -> Self {
        let most = AT_ONCE;
        Self { database, clock, most }
    }
}

impl Worker for Counting {
    const NAME: &'static str = "counting";
    const FAILURE: &'static str = "cannot count entries";
    const AT_ONCE: bool = false;
    type Error = StoreError;

    fn every(&self) -> Duration {
        ADD_EVERY
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, StoreError> {
        let (begun, most) = (self.clock.monotonic_now(), self.most);
        let added = add(&self.database, most).await;
        self.most = match added {
            Ok(_) => most.saturating_mul(2).min(AT_ONCE),
            Err(_) => (most / 2).max(1),
        };
        let is_all = added?.is_none_or(|added| added < most);
        Ok(match is_all {
            true => NextRound::Interval,
            false => NextRound::After(2 * self.clock.monotonic_now().since(begun)),
        })
    }
}

/// Adds all that is not in yet.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn catch_up(database: &Database) -> Result<(), StoreError> {
    loop {
        let added = database
            .within("summaries", database.patience(), async |connection| {
                let mut transaction = begin(connection).await?;
                sqlx::query!(
                    "SELECT worker FROM worker_lease WHERE worker = $1 FOR UPDATE",
                    Counting::NAME
                )
                .fetch_one(&mut *transaction)
                .await?;
                add_under_lock(transaction, AT_ONCE_IN_HASTE).await
            })
            .await?;
        if added < AT_ONCE_IN_HASTE {
            return Ok(());
        }
    }
}

/// Adds at most so many entries, and tells how many it added. None if somebody else is at it.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn add(database: &Database, most: u32) -> Result<Option<u32>, StoreError> {
    database
        .within("summaries", database.patience(), async |connection| {
            let mut transaction = begin(connection).await?;
            let lock = sqlx::query!(
                "SELECT worker FROM worker_lease WHERE worker = $1 FOR UPDATE SKIP LOCKED",
                Counting::NAME
            );
            if lock.fetch_optional(&mut *transaction).await?.is_some() {
                return add_under_lock(transaction, most).await.map(Some);
            }
            transaction.rollback().await?;
            Ok(None)
        })
        .await
}

#[expect(
    clippy::disallowed_methods,
    reason = "adding what was already added would count it twice; `Database::within` bounds the transaction"
)]
async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, StoreError> {
    Ok(connection.begin().await?)
}

/// Under the lock of the worker's row, which guards the counts with or without a lease: the statement sees what the one before it has
/// added, as the lock goes after the commit.
async fn add_under_lock(mut transaction: Transaction<'_, Postgres>, most: u32) -> Result<u32, StoreError> {
    let added = sqlx::query_scalar!(
        r#"WITH behind AS (
             SELECT account_id, coalesce(progress.size, 0) AS size, coalesce(progress.recorded_at, '-infinity') AS recorded_at,
                 ledger.size - coalesce(progress.size, 0) AS entries,
                 (sum(ledger.size - coalesce(progress.size, 0)) OVER (
                     ORDER BY coalesce(progress.recorded_at, '-infinity'), account_id ROWS UNBOUNDED PRECEDING
                 ))::bigint AS entries_so_far -- those first that have waited longest
             FROM ledger LEFT JOIN audit_summary_progress AS progress USING (account_id)
             WHERE ledger.size > coalesce(progress.size, 0)
         ), due AS MATERIALIZED (
             SELECT account_id, size, recorded_at, least(entries, $1 - (entries_so_far - entries)) AS entries FROM behind
             WHERE entries_so_far - entries < $1
         ), added AS MATERIALIZED (
             SELECT due.account_id, entry.* FROM due CROSS JOIN LATERAL (
                 SELECT recorded_at, kind, coalesce(action, '') AS action, coalesce(region, '') AS region, is_ranked, principal, image_id,
                     shared_account_id
                 FROM audit_entry WHERE account_id = due.account_id AND recorded_at >= due.recorded_at
                     AND log_index >= due.size AND log_index < due.size + due.entries
                 OFFSET 0 -- or else Postgres may join with all of the history
             ) AS entry
         ), hour AS MATERIALIZED (
             SELECT account_id, date_trunc('hour', recorded_at, 'UTC') AS start_time, region, action, kind, count(*) AS count
             FROM added GROUP BY 1, 2, 3, 4, 5
         ), rollups AS (
             INSERT INTO audit_rollup AS old (account_id, bucket, start_time, region, action, kind, count)
             SELECT account_id, bucket, date_trunc(lower(bucket), start_time, 'UTC'), region, action, kind, sum(count)::bigint
             FROM hour CROSS JOIN (VALUES ('HOUR'), ('DAY'), ('MONTH')) AS buckets (bucket) GROUP BY 1, 2, 3, 4, 5, 6
             ON CONFLICT (account_id, bucket, start_time, region, action, kind) DO UPDATE SET count = old.count + excluded.count
         ), day AS MATERIALIZED (
             SELECT account_id, date_trunc('day', recorded_at, 'UTC') AS start_time, ranking, value, count(*) AS count
             FROM added CROSS JOIN LATERAL (VALUES ('PRINCIPAL', principal), ('IMAGE', image_id),
                 ('SHARED_ACCOUNT', shared_account_id)) AS ranked (ranking, value)
             WHERE is_ranked AND value IS NOT NULL GROUP BY 1, 2, 3, 4
         ), counted AS MATERIALIZED (
             SELECT account_id, 'DAY' AS bucket, ranking, start_time, value, count FROM day
             UNION ALL
             SELECT account_id, 'MONTH', ranking, date_trunc('month', start_time, 'UTC'), value, sum(count)::bigint FROM day
             GROUP BY account_id, ranking, 4, value
         ), rankings AS (
             INSERT INTO audit_ranking AS old (account_id, bucket, ranking, start_time, value, count)
             SELECT account_id, bucket, ranking, start_time, value, count FROM counted
             ON CONFLICT (account_id, bucket, ranking, start_time, value) DO UPDATE SET count = old.count + excluded.count
         ), totals AS (
             INSERT INTO audit_ranking_total AS old (bucket, ranking, start_time, value, count)
             SELECT bucket, ranking, start_time, value, sum(count)::bigint FROM counted GROUP BY 1, 2, 3, 4
             ON CONFLICT (bucket, ranking, start_time, value) DO UPDATE SET count = old.count + excluded.count
         ), progress AS (
             INSERT INTO audit_summary_progress (account_id, size, recorded_at)
             SELECT account_id, size + entries, coalesce(latest.recorded_at, due.recorded_at) FROM due
             LEFT JOIN (SELECT account_id, max(recorded_at) AS recorded_at FROM added GROUP BY 1) AS latest USING (account_id)
             ON CONFLICT (account_id) DO UPDATE SET size = excluded.size, recorded_at = excluded.recorded_at
         )
         SELECT coalesce(sum(entries), 0)::integer AS "added!" FROM due"#,
        i64::from(most),
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(added.unsigned_abs())
}
