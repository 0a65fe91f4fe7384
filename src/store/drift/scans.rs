//! The progress of the comparison, for each account and Region.
//!
//! A row is claimed by one replica at a time with a lease. The lease saves work and guards nothing: two replicas that look at the
//! same image write the same. Which images are left is in `drift_image`, so any replica goes on where another one stopped.

use std::time::Duration;

use crate::{
    domain::{AccountId, ImageId, Region, ReplicaId, ScanId, Timestamp},
    store::{connection::Database, error::StoreError, rows},
};

use super::FIRST_BUILD;

const TABLE: &str = "drift_scan";

/// An account and a Region that a replica compares under a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedScan {
    /// The account whose images are compared.
    pub account: AccountId,
    /// The Region of these images.
    pub region: Region,
    /// The replica that has the lease.
    pub owner: ReplicaId,
    /// Why the comparison did not get on before, if it did not.
    pub error_code: Option<String>,
}

/// Where the comparison of an account and Region is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanStep {
    /// The database's clock.
    pub now: Timestamp,
    /// The scan in progress.
    pub scan_id: Option<ScanId>,
    /// When a scan was asked for that has not begun.
    pub requested_at: Option<Timestamp>,
    /// When the last complete scan began.
    pub completed_started_at: Option<Timestamp>,
    /// The image to look at next, if one is left.
    pub next: Option<NextLook>,
}

/// An image to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextLook {
    /// The image whose permissions are read.
    pub image: ImageId,
    /// The scan of the look.
    pub scan_id: ScanId,
    /// When it is due.
    pub due_at: Timestamp,
    /// How often it could not be read in this scan.
    pub failures: u32,
}

/// Makes the rows of accounts and Regions that have none. False while the schema admits builds that know no drift.
///
/// # Errors
/// When Postgres does not answer.
pub async fn ensure(database: &Database, endpoints: &[(AccountId, Region)]) -> Result<bool, StoreError> {
    let (accounts, regions) = texts(endpoints);
    let query = sqlx::query!(
        "WITH made AS (
         INSERT INTO drift_scan (account_id, region)
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

/// Takes the lease of at most `limit` of these accounts and Regions that have something to do. None while the schema admits
/// builds that know no drift.
///
/// # Errors
/// When Postgres does not answer.
pub async fn claim(
    database: &Database,
    owner: ReplicaId,
    endpoints: &[(AccountId, Region)],
    lease: Duration,
    limit: u32,
) -> Result<Vec<ClaimedScan>, StoreError> {
    let (accounts, regions) = texts(endpoints);
    let query = sqlx::query!(
        "WITH due AS (
             SELECT scan.account_id, scan.region FROM drift_scan AS scan
             JOIN unnest($1::text[], $2::text[]) AS served (account_id, region) USING (account_id, region)
             WHERE next_step_at <= statement_timestamp()
                 AND (lease_expires_at IS NULL OR lease_expires_at <= statement_timestamp())
                 AND (SELECT oldest_build FROM build_admission) BETWEEN $3 AND $7
             ORDER BY next_step_at LIMIT $4 FOR UPDATE OF scan SKIP LOCKED
         )
         UPDATE drift_scan AS scan SET lease_owner = $5, lease_expires_at = statement_timestamp() + make_interval(secs => $6)
         FROM due WHERE (scan.account_id, scan.region) = (due.account_id, due.region)
         RETURNING scan.account_id, scan.region, scan.error_code",
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
        Ok(ClaimedScan {
            account: rows::parse(TABLE, &row.account_id)?,
            region: rows::parse(TABLE, &row.region)?,
            owner,
            error_code: row.error_code,
        })
    });
    claimed.collect()
}

/// Renews the lease, and reads what to do next. None if the lease was lost.
///
/// # Errors
/// When Postgres does not answer.
pub async fn step(database: &Database, scan: &ClaimedScan, lease: Duration) -> Result<Option<ScanStep>, StoreError> {
    let query = sqlx::query!(
        r#"WITH held AS (
             UPDATE drift_scan SET lease_expires_at = statement_timestamp() + make_interval(secs => $4)
             WHERE account_id = $1 AND region = $2 AND lease_owner = $3
             RETURNING account_id, region, scan_id, requested_at, completed_started_at
         )
         SELECT statement_timestamp() AS "now!", held.scan_id AS "scan_id?", held.requested_at AS "requested_at?",
             held.completed_started_at AS "completed_started_at?", image.image_id AS "image_id?",
             image.scan_id AS "image_scan_id?", image.next_look_at AS "next_look_at?", image.failures AS "failures?"
         FROM held LEFT JOIN LATERAL (
             SELECT * FROM drift_image WHERE account_id = held.account_id AND region = held.region AND next_look_at IS NOT NULL
             ORDER BY next_look_at LIMIT 1
         ) AS image ON true"#,
        scan.account.as_str(),
        scan.region.as_str(),
        scan.owner.0,
        lease.as_secs_f64(),
    );
    let row = database.run(async |conn| query.fetch_optional(conn).await).await?;
    let Some(row) = row else { return Ok(None) };
    let next = match (row.image_id, row.image_scan_id, row.next_look_at, row.failures) {
        (Some(image), Some(scan_id), Some(due_at), Some(failures)) => Some(NextLook {
            image: rows::parse("drift_image", &image)?,
            scan_id: ScanId(scan_id),
            due_at: Timestamp::new(due_at),
            failures: u32::try_from(failures).unwrap_or_default(),
        }),
        _ => None,
    };
    Ok(Some(ScanStep {
        now: Timestamp::new(row.now),
        scan_id: row.scan_id.map(ScanId),
        requested_at: row.requested_at.map(Timestamp::new),
        completed_started_at: row.completed_started_at.map(Timestamp::new),
        next,
    }))
}

/// A scan to begin.
#[derive(Debug)]
pub struct NewScan<'a> {
    /// The id that entries and rows name.
    pub id: ScanId,
    /// A time before AWS was asked for the images, on the database's clock.
    pub started_at: Timestamp,
    /// The images that the account owns.
    pub images: &'a [ImageId],
    /// True if somebody asked for it.
    pub is_requested: bool,
    /// The time over which the looks are spread.
    pub spread: Duration,
}

/// Begins a scan of these images, and of those that the ledger or a finding names. Other images are forgotten. Does nothing
/// if the lease was lost.
///
/// # Errors
/// When Postgres does not answer.
pub async fn begin(database: &Database, scan: &ClaimedScan, new: &NewScan<'_>) -> Result<(), StoreError> {
    let images: Vec<_> = new.images.iter().map(ImageId::to_string).collect();
    let query = sqlx::query!(
        "WITH held AS (
             UPDATE drift_scan SET scan_id = $4, started_at = $5, is_requested = $6, error_code = NULL, failed_at = NULL,
                 requested_at = CASE WHEN requested_at > $5 THEN requested_at END
             WHERE account_id = $1 AND region = $2 AND lease_owner = $3
             RETURNING account_id, region
         ), named AS MATERIALIZED (
             SELECT unnest($7::text[]) AS image_id
             UNION SELECT image_id FROM share_interval WHERE account_id = $1 AND region = $2 AND end_index IS NULL
             UNION SELECT image_id FROM drift_finding WHERE account_id = $1 AND region = $2 AND resolution IS NULL
         ), numbered AS (
             SELECT held.account_id, held.region, image_id, row_number() OVER (ORDER BY image_id) - 1 AS number,
                 count(*) OVER () AS total
             FROM held CROSS JOIN named
         ), forgotten AS (
             DELETE FROM drift_image USING held
             WHERE drift_image.account_id = held.account_id AND drift_image.region = held.region
                 AND image_id NOT IN (SELECT image_id FROM named)
         ), unseen AS (
             DELETE FROM drift_sighting USING held
             WHERE drift_sighting.account_id = held.account_id AND drift_sighting.region = held.region
                 AND image_id NOT IN (SELECT image_id FROM named)
         )
         INSERT INTO drift_image (account_id, region, image_id, scan_id, next_look_at)
         SELECT account_id, region, image_id, $4, statement_timestamp() + make_interval(secs => $8::float8 * number / total) FROM numbered
         ON CONFLICT (account_id, region, image_id) DO UPDATE
         SET scan_id = excluded.scan_id, next_look_at = excluded.next_look_at, failures = 0, error_code = NULL",
        scan.account.as_str(),
        scan.region.as_str(),
        scan.owner.0,
        new.id.0,
        new.started_at.to_offset_date_time(),
        new.is_requested,
        &images,
        new.spread.as_secs_f64(),
    );
    database.run(async |conn| query.execute(conn).await).await?;
    Ok(())
}

/// A scan that looked at every image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedScan {
    /// The id that entries and rows name.
    pub id: ScanId,
    /// The time that it took.
    pub took: Duration,
}

/// Ends the scan in progress, if no image is left, and gives the lease back. The next scan begins one `interval` after this one
/// began. None if an image is left, or if the lease was lost.
///
/// # Errors
/// When Postgres does not answer.
pub async fn complete(
    database: &Database,
    scan: &ClaimedScan,
    interval: Duration,
) -> Result<Option<CompletedScan>, StoreError> {
    let query = sqlx::query!(
        r#"UPDATE drift_scan AS scan SET completed_scan_id = scan_id, completed_started_at = started_at,
             completed_at = statement_timestamp(), scan_id = NULL, started_at = NULL, is_requested = false,
             next_step_at = CASE WHEN requested_at IS NULL AND look_requested_at IS NULL
                 THEN started_at + make_interval(secs => $4) ELSE statement_timestamp() END,
             look_requested_at = NULL, lease_owner = NULL, lease_expires_at = NULL, error_code = NULL, failed_at = NULL
         WHERE account_id = $1 AND region = $2 AND lease_owner = $3 AND scan_id IS NOT NULL
             AND NOT EXISTS (
                 SELECT FROM drift_image AS image
                 WHERE image.account_id = scan.account_id AND image.region = scan.region AND next_look_at IS NOT NULL)
         RETURNING completed_scan_id AS "id!", extract(epoch FROM completed_at - completed_started_at)::float8 AS "took!""#,
        scan.account.as_str(),
        scan.region.as_str(),
        scan.owner.0,
        interval.as_secs_f64(),
    );
    let row = database.run(async |conn| query.fetch_optional(conn).await).await?;
    Ok(row.map(|row| CompletedScan {
        id: ScanId(row.id),
        took: Duration::try_from_secs_f64(row.took).unwrap_or_default(),
    }))
}

/// Gives the lease back. The next step is due after `delay`, or now if a scan or a look was asked for meanwhile. With an error
/// code, the comparison does not get on, and the delay holds in any case.
///
/// # Errors
/// When Postgres does not answer.
pub async fn release(
    database: &Database,
    scan: &ClaimedScan,
    delay: Duration,
    error_code: Option<&str>,
) -> Result<(), StoreError> {
    let query = sqlx::query!(
        "UPDATE drift_scan SET lease_owner = NULL, lease_expires_at = NULL, look_requested_at = NULL,
             next_step_at = CASE WHEN coalesce(requested_at, look_requested_at) IS NOT NULL AND $5::text IS NULL
                 THEN statement_timestamp() ELSE statement_timestamp() + make_interval(secs => $4) END,
             error_code = $5, failed_at = CASE WHEN $5::text IS NULL THEN NULL ELSE coalesce(failed_at, statement_timestamp()) END
         WHERE account_id = $1 AND region = $2 AND lease_owner = $3",
        scan.account.as_str(),
        scan.region.as_str(),
        scan.owner.0,
        delay.as_secs_f64(),
        error_code,
    );
    database.run(async |conn| query.execute(conn).await).await?;
    Ok(())
}

/// Says in the row of each account and Region that no replica has compared for twice the interval, and that is not among
/// `endpoints`, that it is not configured. Returns those that are new.
///
/// # Errors
/// When Postgres does not answer.
pub async fn note_unserved(
    database: &Database,
    endpoints: &[(AccountId, Region)],
    interval: Duration,
) -> Result<Vec<(AccountId, Region)>, StoreError> {
    let (accounts, regions) = texts(endpoints);
    let query = sqlx::query!(
        "UPDATE drift_scan SET error_code = 'NotConfigured', failed_at = statement_timestamp()
         WHERE (account_id, region) NOT IN (SELECT * FROM unnest($1::text[], $2::text[]))
             AND next_step_at < statement_timestamp() - 2 * make_interval(secs => $3::float8)
             AND error_code IS DISTINCT FROM 'NotConfigured'
         RETURNING account_id, region",
        &accounts,
        &regions,
        interval.as_secs_f64(),
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    let unserved = rows
        .into_iter()
        .map(|row| Ok((rows::parse(TABLE, &row.account_id)?, rows::parse(TABLE, &row.region)?)));
    unserved.collect()
}

pub(super) fn texts(endpoints: &[(AccountId, Region)]) -> (Vec<String>, Vec<String>) {
    let texts = endpoints.iter();
    texts
        .map(|(account, region)| (account.to_string(), region.to_string()))
        .unzip()
}
