//! `audit_rollup`: how many entries there are, kept in the commit that adds them.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::store::StoreError;

use super::{buckets::Bucket, entries::Line};

const TABLE: &str = "audit_rollup";

/// Counts new lines. One statement, its rows in the order of the key, whatever the size of the batch.
pub(in crate::store) async fn count(connection: &mut PgConnection, lines: &[Line<'_>]) -> Result<(), StoreError> {
    let mut counts: BTreeMap<_, i64> = BTreeMap::new();
    for Line { entry, .. } in lines {
        let key = &entry.intent.key;
        for bucket in [Bucket::Hour, Bucket::Day, Bucket::Month] {
            let (start, action) = (bucket.start(entry.recorded_at), entry.intent.action.as_str());
            let counted = (key.account, bucket, start, &key.region, action, entry.stage.as_str());
            *counts.entry(counted).or_default() += 1;
        }
    }
    let accounts: Vec<_> = counts.keys().map(|key| key.0.to_string()).collect();
    let buckets: Vec<_> = counts.keys().map(|key| key.1.as_str().to_owned()).collect();
    let starts: Vec<_> = counts.keys().map(|key| key.2).collect();
    let regions: Vec<_> = counts.keys().map(|key| key.3.to_string()).collect();
    let actions: Vec<_> = counts.keys().map(|key| key.4.to_owned()).collect();
    let stages: Vec<_> = counts.keys().map(|key| key.5.to_owned()).collect();
    let numbers: Vec<_> = counts.values().copied().collect();
    let saved = sqlx::query!(
        "INSERT INTO audit_rollup AS old (account_id, bucket, start_time, region, action, stage, count)
         SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::bigint[])
         ON CONFLICT (account_id, bucket, start_time, region, action, stage) DO UPDATE SET count = old.count + excluded.count",
        &accounts,
        &buckets,
        &starts,
        &regions,
        &actions,
        &stages,
        &numbers,
    )
    .execute(connection)
    .await?;
    super::expect_rows(TABLE, saved.rows_affected(), counts.len())
}
