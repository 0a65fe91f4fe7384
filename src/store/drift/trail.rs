//! How far CloudTrail was read, for each account and Region.
//!
//! A row is claimed by one replica at a time with a lease. The lease saves work and guards nothing: an event is recorded once,
//! also if two replicas read it.

use std::time::Duration;

use crate::{
    domain::{AccountId, Region, ReplicaId, Timestamp},
    store::{connection::Database, error::StoreError, rows},
};

use super::scans::texts;

const TABLE: &str = "drift_trail";

/// The first build that knows events of CloudTrail. An older one does not know the kind of their entries.
const FIRST_BUILD: i64 = 12;

/// An account and a Region whose events a replica reads under a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedTrail {
    /// The account of the events.
    pub account: AccountId,
    /// The Region of the events.
    pub region: Region,
    /// The replica that has the lease.
    pub owner: ReplicaId,
    /// The database's clock.
    pub now: Timestamp,
    /// Until when the events were read completely.
    pub complete_until: Option<Timestamp>,
    /// Until when the calls of the service were looked for.
    pub checked_until: Option<Timestamp>,
    /// Why the events were not read before, if they were not.
    pub error_code: Option<String>,
}

/// Makes the rows of accounts and Regions that have none. False while the schema admits builds that know no events.
///
/// # Errors
/// When Postgres does not answer.
pub async fn ensure(database: &Database, endpoints: &[(AccountId, Region)]) -> Result<bool, StoreError> {
    let (accounts, regions) = texts(endpoints);
    let query = sqlx::query!(
        "WITH made AS (
         INSERT INTO drift_trail (account_id, region)
         SELECT * FROM unnest($1::text[], $2::text[]) WHERE (SELECT oldest_build FROM build_admission) >= $3
         ON CONFLICT DO NOTHING)
         SELECT oldest_build >= $3 AS \"is_admitted!\" FROM build_admission",
        &accounts,
        &regions,
        FIRST_BUILD,
    );
    let row = database.run(async |conn| query.fetch_one(conn).await).await?;
    Ok(row.is_admitted)
}

/// Takes the lease of at most `limit` of these accounts and Regions whose next round is due. None while the schema admits builds
/// that know no events.
///
/// # Errors
/// When Postgres does not answer.
pub async fn claim(
    database: &Database,
    owner: ReplicaId,
    endpoints: &[(AccountId, Region)],
    lease: Duration,
    limit: u32,
) -> Result<Vec<ClaimedTrail>, StoreError> {
    let (accounts, regions) = texts(endpoints);
    let query = sqlx::query!(
        r#"WITH due AS (
             SELECT trail.account_id, trail.region FROM drift_trail AS trail
             JOIN unnest($1::text[], $2::text[]) AS served (account_id, region) USING (account_id, region)
             WHERE next_round_at <= statement_timestamp()
                 AND (lease_expires_at IS NULL OR lease_expires_at <= statement_timestamp())
                 AND (SELECT oldest_build FROM build_admission) BETWEEN $3 AND $7
             ORDER BY next_round_at LIMIT $4 FOR UPDATE OF trail SKIP LOCKED
         )
         UPDATE drift_trail AS trail SET lease_owner = $5, lease_expires_at = statement_timestamp() + make_interval(secs => $6)
         FROM due WHERE (trail.account_id, trail.region) = (due.account_id, due.region)
         RETURNING trail.account_id, trail.region, statement_timestamp() AS "now!", complete_until, checked_until, error_code"#,
        &accounts,
        &regions,
        FIRST_BUILD,
        i64::from(limit),
        owner.0,
        lease.as_secs_f64(),
        *crate::store::connection::BUILD,
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    let claimed = rows.into_iter().map(|row| {
        Ok(ClaimedTrail {
            account: rows::parse(TABLE, &row.account_id)?,
            region: rows::parse(TABLE, &row.region)?,
            owner,
            now: Timestamp::new(row.now),
            complete_until: row.complete_until.map(Timestamp::new),
            checked_until: row.checked_until.map(Timestamp::new),
            error_code: row.error_code,
        })
    });
    claimed.collect()
}

/// Renews the lease. False if it was lost.
///
/// # Errors
/// When Postgres does not answer.
pub async fn renew(database: &Database, trail: &ClaimedTrail, lease: Duration) -> Result<bool, StoreError> {
    let query = sqlx::query!(
        "UPDATE drift_trail SET lease_expires_at = statement_timestamp() + make_interval(secs => $4)
         WHERE account_id = $1 AND region = $2 AND lease_owner = $3",
        trail.account.as_str(),
        trail.region.as_str(),
        trail.owner.0,
        lease.as_secs_f64(),
    );
    let done = database.run(async |conn| query.execute(conn).await).await?;
    Ok(done.rows_affected() > 0)
}

/// Saves until when the events were read completely. It goes back only if it lies ahead: then the database's clock was set back.
///
/// # Errors
/// When Postgres does not answer.
pub async fn advance(database: &Database, trail: &ClaimedTrail, complete_until: Timestamp) -> Result<(), StoreError> {
    let query = sqlx::query!(
        "UPDATE drift_trail SET error_code = NULL, failed_at = NULL, complete_until =
             CASE WHEN complete_until > statement_timestamp() THEN $4 ELSE greatest(complete_until, $4) END
         WHERE account_id = $1 AND region = $2 AND lease_owner = $3",
        trail.account.as_str(),
        trail.region.as_str(),
        trail.owner.0,
        complete_until.to_offset_date_time(),
    );
    database.run(async |conn| query.execute(conn).await).await?;
    Ok(())
}

/// Saves until when the calls of the service were looked for, and how many of them CloudTrail does not have. Does nothing if
/// another replica did the same before.
///
/// # Errors
/// When Postgres does not answer.
pub async fn note_checked(
    database: &Database,
    trail: &ClaimedTrail,
    before: Option<Timestamp>,
    until: Timestamp,
    missing: u64,
) -> Result<(), StoreError> {
    let query = sqlx::query!(
        "UPDATE drift_trail SET checked_until = $5, calls_without_event = calls_without_event + $6
         WHERE account_id = $1 AND region = $2 AND lease_owner = $3 AND checked_until IS NOT DISTINCT FROM $4",
        trail.account.as_str(),
        trail.region.as_str(),
        trail.owner.0,
        before.map(Timestamp::to_offset_date_time),
        until.to_offset_date_time(),
        rows::bigint(missing),
    );
    database.run(async |conn| query.execute(conn).await).await?;
    Ok(())
}

/// Gives the lease back. The next round is due after `delay`. With an error code, the events cannot be read.
///
/// # Errors
/// When Postgres does not answer.
pub async fn release(
    database: &Database,
    trail: &ClaimedTrail,
    delay: Duration,
    error_code: Option<&str>,
) -> Result<(), StoreError> {
    let query = sqlx::query!(
        "UPDATE drift_trail SET lease_owner = NULL, lease_expires_at = NULL,
             next_round_at = statement_timestamp() + make_interval(secs => $4), error_code = $5,
             failed_at = CASE WHEN $5::text IS NULL THEN NULL ELSE coalesce(failed_at, statement_timestamp()) END
         WHERE account_id = $1 AND region = $2 AND lease_owner = $3",
        trail.account.as_str(),
        trail.region.as_str(),
        trail.owner.0,
        delay.as_secs_f64(),
        error_code,
    );
    database.run(async |conn| query.execute(conn).await).await?;
    Ok(())
}
