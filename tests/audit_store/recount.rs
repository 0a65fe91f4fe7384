//! The expected summaries, computed from the entries.

use sharewarden::store::{Database, summaries};
use sqlx::PgPool;

/// Rows that only one of two queries returns: `kept` reads the summaries, `counted` counts the entries.
async fn differences(pool: &PgPool, kept: &str, counted: &str) -> Vec<String> {
    let sql = format!(
        "SELECT 'kept: ' || row::text FROM ({kept} EXCEPT ALL {counted}) AS row
         UNION ALL SELECT 'counted: ' || row::text FROM ({counted} EXCEPT ALL {kept}) AS row"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_all(pool)
        .await
        .unwrap()
}

/// Fails unless rollups, rankings and intervals are equal to a recount of the entries. `database` counts the uncounted entries
/// first.
pub(crate) async fn assert_summaries_are_exact(pool: &PgPool, database: &Database) {
    let nothing: [String; 0] = [];
    let kept = "(SELECT * FROM reporting.daily_totals)";
    let counted = "(SELECT (recorded_at AT TIME ZONE 'UTC')::date, account_id, region, action, kind, count(*)
        FROM audit_entry GROUP BY 1, 2, 3, 4, 5)";
    assert_eq!(
        differences(pool, kept, counted).await,
        nothing,
        "the view is exact with uncounted entries"
    );

    summaries::catch_up(database).await.unwrap();
    let kept = "(SELECT account_id, bucket, start_time, region, action, kind, count FROM audit_rollup)";
    let counted = "(SELECT account_id, bucket, date_trunc(bucket, recorded_at, 'UTC'), coalesce(region, ''), coalesce(action, ''), kind, count(*)
        FROM audit_entry, unnest(ARRAY['HOUR', 'DAY', 'MONTH']) AS bucket GROUP BY 1, 2, 3, 4, 5, 6)";
    assert_eq!(differences(pool, kept, counted).await, nothing);

    let counted = "FROM audit_entry, unnest(ARRAY['DAY', 'MONTH']) AS bucket,
            LATERAL (VALUES ('PRINCIPAL', principal), ('IMAGE', image_id), ('SHARED_ACCOUNT', shared_account_id))
                AS ranked (ranking, value)
        WHERE is_ranked AND value IS NOT NULL GROUP BY 1, 2, 3, 4";
    for (table, account) in [("audit_ranking", "account_id, "), ("audit_ranking_total", "")] {
        let kept = format!("(SELECT bucket, start_time, ranking, value, {account}count FROM {table})");
        let by_account = if account.is_empty() { "" } else { ", account_id" };
        let counted = format!(
            "(SELECT bucket, date_trunc(bucket, recorded_at, 'UTC'), ranking, value, {account}count(*) {counted}{by_account})"
        );
        assert_eq!(differences(pool, &kept, &counted).await, nothing);
    }

    // A successful grant opens an interval unless the success before it is also a grant. The next successful revoke closes it.
    let kept = "(SELECT account_id, region, image_id, shared_account_id, start_index, start_time, end_index, end_time
        FROM share_interval)";
    let counted = "(SELECT first.account_id, first.region, first.image_id, first.shared_account_id, first.log_index,
            first.recorded_at, ended.log_index, ended.recorded_at
        FROM (
            SELECT *, lag(action) OVER (PARTITION BY account_id, region, image_id, shared_account_id ORDER BY log_index)
                AS before
            FROM audit_entry WHERE kind = 'change.succeeded'
        ) first
        LEFT JOIN LATERAL (
            SELECT log_index, recorded_at FROM audit_entry later
            WHERE (later.account_id, later.region, later.image_id, later.shared_account_id)
                    = (first.account_id, first.region, first.image_id, first.shared_account_id)
                AND later.kind = 'change.succeeded' AND later.action = 'REVOKE' AND later.log_index > first.log_index
            ORDER BY log_index LIMIT 1
        ) ended ON true
        WHERE first.action = 'GRANT' AND first.before IS DISTINCT FROM 'GRANT')";
    assert_eq!(differences(pool, kept, counted).await, nothing);
}
