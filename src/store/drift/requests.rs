//! Scans and looks that somebody asks for, and how far scans are.

use crate::{
    domain::{AccountId, ImageId, Region, ScanId, Timestamp},
    store::{connection::Database, error::StoreError, rows},
};

use super::{images::DriftImage, scans::texts};

const TABLE: &str = "drift_scan";

/// The most accounts and Regions of an answer.
const LIMIT: i64 = 10_000;

/// A scan that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedScan {
    /// The account that is compared.
    pub account: AccountId,
    /// The Region that is compared.
    pub region: Region,
    /// The scan begins at this time or later.
    pub start_time: Timestamp,
}

/// Asks for a scan of each of these accounts and Regions. A scan in progress that was asked for is not begun again.
///
/// # Errors
/// When Postgres does not answer.
pub async fn request(database: &Database, endpoints: &[(AccountId, Region)]) -> Result<Vec<RequestedScan>, StoreError> {
    let (accounts, regions) = texts(endpoints);
    let query = sqlx::query!(
        r#"UPDATE drift_scan SET next_step_at = statement_timestamp(),
             requested_at = CASE WHEN scan_id IS NOT NULL AND is_requested THEN requested_at
                 ELSE coalesce(requested_at, statement_timestamp()) END
         WHERE (account_id, region) IN (SELECT * FROM unnest($1::text[], $2::text[]))
         RETURNING account_id, region,
             coalesce(requested_at, CASE WHEN is_requested THEN started_at END, statement_timestamp()) AS "start_time!""#,
        &accounts,
        &regions,
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    let requested = rows.into_iter().map(|row| {
        Ok(RequestedScan {
            account: rows::parse(TABLE, &row.account_id)?,
            region: rows::parse(TABLE, &row.region)?,
            start_time: Timestamp::new(row.start_time),
        })
    });
    requested.collect()
}

/// Asks for a look at one image. None if no scan has seen it.
///
/// # Errors
/// When Postgres does not answer.
pub async fn request_look(database: &Database, key: &DriftImage) -> Result<Option<RequestedScan>, StoreError> {
    // The row of the scan says it too: the replica with the lease may have looked for the next image just before.
    let query = sqlx::query!(
        r#"WITH image AS (
             UPDATE drift_image SET next_look_at = statement_timestamp(), failures = 0, error_code = NULL
             WHERE account_id = $1 AND region = $2 AND image_id = $3
             RETURNING account_id, region
         )
         UPDATE drift_scan AS scan SET next_step_at = statement_timestamp(), look_requested_at = statement_timestamp()
         FROM image WHERE (scan.account_id, scan.region) = (image.account_id, image.region)
         RETURNING statement_timestamp() AS "start_time!""#,
        key.account.as_str(),
        key.region.as_str(),
        key.image.as_str(),
    );
    let row = database.run(async |conn| query.fetch_optional(conn).await).await?;
    Ok(row.map(|row| RequestedScan {
        account: key.account,
        region: key.region.clone(),
        start_time: Timestamp::new(row.start_time),
    }))
}

/// The comparison of an account and Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanProgress {
    /// The account that is compared.
    pub account: AccountId,
    /// The Region that is compared.
    pub region: Region,
    /// The scan in progress, and when it began.
    pub current: Option<(ScanId, Timestamp)>,
    /// The begin and the end of the last complete scan.
    pub complete: Option<(Timestamp, Timestamp)>,
    /// Why the scan does not get on, and since when. Of one image: why it could not be read.
    pub failure: Option<(String, Option<Timestamp>)>,
    /// The number of images.
    pub images: u64,
    /// How many of them are left.
    pub images_left: u64,
    /// How many of them could not be read the last time.
    pub images_failing: u64,
    /// Differences that were seen once.
    pub unconfirmed: u64,
    /// Findings that are open.
    pub findings: u64,
    /// Until when CloudTrail was read completely.
    pub trail_complete_until: Option<Timestamp>,
    /// Why CloudTrail is not read.
    pub trail_error_code: Option<String>,
    /// When the one image was last looked at, if the progress is that of one image.
    pub looked_at: Option<Timestamp>,
}

/// Reads how far the scans are, in the order of the accounts and Regions. With an image, counts only this one.
///
/// # Errors
/// When Postgres does not answer.
pub async fn progress(
    database: &Database,
    account: Option<AccountId>,
    region: Option<&Region>,
    image: Option<&ImageId>,
) -> Result<Vec<ScanProgress>, StoreError> {
    let account = account.map(|account| account.to_string());
    let query = sqlx::query!(
        r#"SELECT scan.account_id, scan.region, scan.scan_id, started_at, completed_started_at, completed_at,
             coalesce(scan.error_code, image.error_code) AS error_code, scan.failed_at, image.looked_at,
             trail.complete_until AS "trail_complete_until?", trail.error_code AS "trail_error_code?", image.images AS "images!", image.images_left AS "images_left!", image.failing AS "failing!",
             (SELECT count(*) FROM drift_sighting AS sighting
              WHERE (sighting.account_id, sighting.region) = (scan.account_id, scan.region)
                  AND ($4::text IS NULL OR sighting.image_id = $4)) AS "unconfirmed!",
             (SELECT count(*) FROM drift_finding AS finding
              WHERE (finding.account_id, finding.region) = (scan.account_id, scan.region) AND resolution IS NULL
                  AND ($4::text IS NULL OR finding.image_id = $4)) AS "findings!"
         FROM drift_scan AS scan LEFT JOIN drift_trail AS trail USING (account_id, region) CROSS JOIN LATERAL (
             SELECT count(*) AS images, count(next_look_at) AS images_left, count(image.error_code) AS failing,
                 max(image.error_code) FILTER (WHERE $4::text IS NOT NULL) AS error_code,
                 max(image.looked_at) FILTER (WHERE $4::text IS NOT NULL) AS looked_at
             FROM drift_image AS image
             WHERE (image.account_id, image.region) = (scan.account_id, scan.region) AND ($4::text IS NULL OR image.image_id = $4)
         ) AS image
         WHERE ($1::text IS NULL OR scan.account_id = $1) AND ($2::text IS NULL OR scan.region = $2)
         ORDER BY scan.account_id, scan.region LIMIT $3"#,
        account,
        region.map(Region::as_str),
        LIMIT,
        image.map(ImageId::as_str),
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    let progress = rows.into_iter().map(|row| {
        let times = row.completed_started_at.zip(row.completed_at);
        Ok(ScanProgress {
            account: rows::parse(TABLE, &row.account_id)?,
            region: rows::parse(TABLE, &row.region)?,
            current: row.scan_id.map(ScanId).zip(row.started_at.map(Timestamp::new)),
            complete: times.map(|(begun, ended)| (Timestamp::new(begun), Timestamp::new(ended))),
            failure: row.error_code.map(|code| (code, row.failed_at.map(Timestamp::new))),
            looked_at: row.looked_at.map(Timestamp::new),
            images: rows::count(TABLE, row.images)?,
            images_left: rows::count(TABLE, row.images_left)?,
            images_failing: rows::count(TABLE, row.failing)?,
            unconfirmed: rows::count(TABLE, row.unconfirmed)?,
            findings: rows::count(TABLE, row.findings)?,
            trail_complete_until: row.trail_complete_until.map(Timestamp::new),
            trail_error_code: row.trail_error_code,
        })
    });
    progress.collect()
}
