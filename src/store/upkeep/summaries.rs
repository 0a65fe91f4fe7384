//! Counts entries. Rollups: the number of entries of each kind, by hour, day and month. Rankings: the number of
//! requests by principal, image and shared account, per ledger and over all ledgers.
//!
//! The commit that adds entries does not count them. Every commit of an account would update the same rows, which slows
//! grants down, and more so while a long transaction blocks vacuum. Totals over all accounts would be one row that
//! every commit locks. So a worker counts the entries a little later, in the order of each ledger, and stores its
//! progress. Queries ([`crate::store::audit::counts`], [`crate::store::audit::ranking`]) add the rest
//! (`audit_entry_uncounted`) in the same snapshot, so they are exact at any time.

use std::time::Duration;

use sqlx::{Connection, PgConnection, Postgres, Transaction};

use crate::{
    clock::Clock,
    store::{connection::Database, error::StoreError},
    worker::{NextRound, Trigger, Worker},
};

/// The interval of the worker.
const ADD_EVERY: Duration = Duration::from_secs(5);

/// Maximum entries per commit, small enough not to slow grants down.
const MAX_ENTRIES: u32 = 2000;

/// Maximum entries per commit when a command waits for the counts.
const MAX_CATCH_UP: u32 = 20_000;

/// The worker that counts new entries. While there are more, it pauses twice as long as each commit took, to leave
/// Postgres to grants. After a failure it halves the batch, since the statement may have timed out.
#[derive(Debug)]
pub struct Counting {
    database: Database,
    clock: Clock,
    /// Maximum entries of the next commit.
    limit: u32,
}

impl Counting {
    /// The worker for this database.
    pub fn new(database: Database, clock: Clock) -> Self {
        let limit = MAX_ENTRIES;
        Self { database, clock, limit }
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
        let (begun, limit) = (self.clock.monotonic_now(), self.limit);
        let added = add(&self.database, limit).await;
        self.limit = match added {
            Ok(_) => limit.saturating_mul(2).min(MAX_ENTRIES),
            Err(_) => (limit / 2).max(1),
        };
        let is_all = added?.is_none_or(|added| added < limit);
        Ok(match is_all {
            true => NextRound::Interval,
            false => NextRound::After(2 * self.clock.monotonic_now().since(begun)),
        })
    }
}

/// Counts all entries that are not counted yet.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn catch_up(database: &Database) -> Result<(), StoreError> {
    loop {
        let added = database
            .within("summaries", database.timeout(), async |connection| {
                let mut transaction = begin(connection).await?;
                sqlx::query!(
                    "SELECT worker FROM worker_lease WHERE worker = $1 FOR UPDATE",
                    Counting::NAME
                )
                .fetch_one(&mut *transaction)
                .await?;
                add_under_lock(transaction, MAX_CATCH_UP).await
            })
            .await?;
        if added < MAX_CATCH_UP {
            return Ok(());
        }
    }
}

/// Counts at most `limit` entries, and returns how many. None while another replica counts.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn add(database: &Database, limit: u32) -> Result<Option<u32>, StoreError> {
    database
        .within("summaries", database.timeout(), async |connection| {
            let mut transaction = begin(connection).await?;
            let lock = sqlx::query!(
                "SELECT worker FROM worker_lease WHERE worker = $1 FOR UPDATE SKIP LOCKED",
                Counting::NAME
            );
            if lock.fetch_optional(&mut *transaction).await?.is_some() {
                return add_under_lock(transaction, limit).await.map(Some);
            }
            transaction.rollback().await?;
            Ok(None)
        })
        .await
}

#[expect(
    clippy::disallowed_methods,
    reason = "the lock must hold until the commit, or entries could count twice; `Database::within` bounds the transaction"
)]
async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, StoreError> {
    Ok(connection.begin().await?)
}

/// The caller holds the lock of the worker's row, with or without the lease. The lock is released after the commit, so
/// this statement sees what the one before it counted.
async fn add_under_lock(mut transaction: Transaction<'_, Postgres>, limit: u32) -> Result<u32, StoreError> {
    let added = sqlx::query_scalar!(
        r#"WITH behind AS (
             SELECT account_id, coalesce(progress.size, 0) AS size, coalesce(progress.recorded_at, '-infinity') AS recorded_at,
                 ledger.size - coalesce(progress.size, 0) AS entries,
                 (sum(ledger.size - coalesce(progress.size, 0)) OVER (
                     ORDER BY coalesce(progress.recorded_at, '-infinity'), account_id ROWS UNBOUNDED PRECEDING
                 ))::bigint AS entries_so_far -- the longest waiting first
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
                 OFFSET 0 -- keeps Postgres from joining with the whole history
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
        i64::from(limit),
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(added.unsigned_abs())
}
