//! `audit_ranking`: how often each principal asked, and how often each image and shared account was asked about. Kept in the
//! commit that adds the entries.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::{domain::Stage, store::StoreError};

use super::{buckets::Bucket, entries::Line};

const TABLE: &str = "audit_ranking";

/// Counts those of the new lines that say what was asked: one for each change or refusal.
pub(in crate::store) async fn count(connection: &mut PgConnection, lines: &[Line<'_>]) -> Result<(), StoreError> {
    let mut counts: BTreeMap<_, i64> = BTreeMap::new();
    for Line { entry, .. } in lines {
        if !matches!(entry.stage, Stage::Requested | Stage::Denied) {
            continue;
        }
        let (key, principal) = (&entry.intent.key, &entry.intent.principal);
        for bucket in [Bucket::Day, Bucket::Month] {
            let start = bucket.start(entry.recorded_at);
            for (ranking, value) in [
                ("IMAGE", key.image.as_str()),
                ("PRINCIPAL", principal.as_str()),
                ("SHARED_ACCOUNT", key.shared_account.as_str()),
            ] {
                *counts.entry((key.account, bucket, ranking, start, value)).or_default() += 1;
            }
        }
    }
    if counts.is_empty() {
        return Ok(());
    }
    let accounts: Vec<_> = counts.keys().map(|key| key.0.to_string()).collect();
    let buckets: Vec<_> = counts.keys().map(|key| key.1.as_str().to_owned()).collect();
    let rankings: Vec<_> = counts.keys().map(|key| key.2.to_owned()).collect();
    let starts: Vec<_> = counts.keys().map(|key| key.3).collect();
    let values: Vec<_> = counts.keys().map(|key| key.4.to_owned()).collect();
    let numbers: Vec<_> = counts.values().copied().collect();
    let saved = sqlx::query!(
        "INSERT INTO audit_ranking AS old (account_id, bucket, ranking, start_time, value, count)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::bigint[])
         ON CONFLICT (account_id, bucket, ranking, start_time, value) DO UPDATE SET count = old.count + excluded.count",
        &accounts,
        &buckets,
        &rankings,
        &starts,
        &values,
        &numbers,
    )
    .execute(connection)
    .await?;
    super::expect_rows(TABLE, saved.rows_affected(), counts.len())
}
