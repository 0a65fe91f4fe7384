//! `audit_rollup`: how many entries there are, kept in the commit that adds them.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::{domain::Stage, store::StoreError};

use super::{buckets::Bucket, entries::Line};

const TABLE: &str = "audit_rollup";

/// Counts new lines. One statement, its rows in the order of the key, whatever the size of the batch.
pub(in crate::store) async fn count(connection: &mut PgConnection, lines: &[Line<'_>]) -> Result<(), StoreError> {
    let mut counts: BTreeMap<_, Counts> = BTreeMap::new();
    for Line { entry, .. } in lines {
        let (key, action) = (&entry.intent.key, entry.intent.action.as_str());
        for bucket in [Bucket::Hour, Bucket::Day, Bucket::Month] {
            let counted = (
                key.account,
                bucket,
                bucket.start(entry.recorded_at),
                &key.region,
                action,
            );
            counts.entry(counted).or_default().add(entry.stage);
        }
    }
    let accounts: Vec<_> = counts.keys().map(|key| key.0.to_string()).collect();
    let buckets: Vec<_> = counts.keys().map(|key| key.1.as_str().to_owned()).collect();
    let starts: Vec<_> = counts.keys().map(|key| key.2).collect();
    let regions: Vec<_> = counts.keys().map(|key| key.3.to_string()).collect();
    let actions: Vec<_> = counts.keys().map(|key| key.4.to_owned()).collect();
    let requested: Vec<_> = counts.values().map(|counts| counts.requested).collect();
    let denied: Vec<_> = counts.values().map(|counts| counts.denied).collect();
    let succeeded: Vec<_> = counts.values().map(|counts| counts.succeeded).collect();
    let failed: Vec<_> = counts.values().map(|counts| counts.failed).collect();
    let superseded: Vec<_> = counts.values().map(|counts| counts.superseded).collect();
    let saved = sqlx::query!(
        "INSERT INTO audit_rollup AS old
             (account_id, bucket, start_time, region, action, requested, denied, succeeded, failed, superseded)
         SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[],
             $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
         ON CONFLICT (account_id, bucket, start_time, region, action) DO UPDATE SET
             requested = old.requested + excluded.requested, denied = old.denied + excluded.denied,
             succeeded = old.succeeded + excluded.succeeded, failed = old.failed + excluded.failed,
             superseded = old.superseded + excluded.superseded",
        &accounts,
        &buckets,
        &starts,
        &regions,
        &actions,
        &requested,
        &denied,
        &succeeded,
        &failed,
        &superseded,
    )
    .execute(connection)
    .await?;
    super::expect_rows(TABLE, saved.rows_affected(), counts.len())
}

/// So many entries of each stage.
#[derive(Default)]
struct Counts {
    requested: i64,
    denied: i64,
    succeeded: i64,
    failed: i64,
    superseded: i64,
}

impl Counts {
    fn add(&mut self, stage: Stage) {
        *match stage {
            Stage::Requested => &mut self.requested,
            Stage::Denied => &mut self.denied,
            Stage::Succeeded => &mut self.succeeded,
            Stage::Failed => &mut self.failed,
            Stage::Superseded => &mut self.superseded,
        } += 1;
    }
}
