//! How many findings are open, and how old the last complete comparison is. For gauges.

use std::time::Duration;

use crate::{
    domain::{AccountId, Region},
    store::{connection::Database, error::StoreError, rows},
};

use super::scans::texts;

/// The state of the comparison, over all accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DriftOverview {
    /// Open findings of shares that AWS has and the ledger does not.
    pub unrecorded: u64,
    /// Open findings of shares that the ledger has and AWS does not.
    pub missing: u64,
    /// The longest time since the begin of the last complete scan of an account and Region; without one, since the first try.
    /// None before the first try.
    pub oldest: Option<Duration>,
    /// Calls of the service that CloudTrail did not have a day later.
    pub calls_without_event: u64,
}

/// Counts the open findings, and finds the oldest of the last complete scans of these accounts and Regions.
///
/// # Errors
/// When Postgres does not answer.
pub async fn read(database: &Database, endpoints: &[(AccountId, Region)]) -> Result<DriftOverview, StoreError> {
    let (accounts, regions) = texts(endpoints);
    let query = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE difference = 'UNRECORDED_SHARE') AS "unrecorded!",
               count(*) FILTER (WHERE difference = 'MISSING_SHARE') AS "missing!",
               (SELECT extract(epoch FROM statement_timestamp() - min(coalesce(completed_started_at, created_at)))::float8
                FROM drift_scan JOIN unnest($1::text[], $2::text[]) AS served (account_id, region) USING (account_id, region)) AS oldest,
               (SELECT coalesce(sum(calls_without_event), 0)::bigint FROM drift_trail) AS "calls_without_event!"
           FROM drift_finding WHERE resolution IS NULL"#,
        &accounts,
        &regions,
    );
    let row = database.run(async |conn| query.fetch_one(conn).await).await?;
    Ok(DriftOverview {
        unrecorded: rows::count("drift_finding", row.unrecorded)?,
        missing: rows::count("drift_finding", row.missing)?,
        calls_without_event: rows::count("drift_trail", row.calls_without_event)?,
        oldest: row
            .oldest
            .map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()),
    })
}
