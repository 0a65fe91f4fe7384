//! One image: what is known of its permissions before AWS is asked, and what a look at it showed.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    domain::{Access, AccountId, DriftDifference, ImageId, PermissionKey, PermissionStamp, Region, ScanId, Timestamp},
    store::{connection::Database, error::StoreError, rows},
};

const TABLE: &str = "drift_sighting";

/// The key of an image whose permissions are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftImage {
    /// The account that owns it.
    pub account: AccountId,
    /// Where it is.
    pub region: Region,
    /// Its id.
    pub image: ImageId,
}

/// What is known of an image before AWS is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRecord {
    /// When it was read, on the database's clock.
    pub read_at: Timestamp,
    /// Every account that a permission, a share, a finding or a sighting names.
    pub recipients: BTreeMap<AccountId, RecipientRecord>,
}

/// What is known of an account that an image can be shared with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecipientRecord {
    /// The permission. None if there is none.
    pub permission: Option<PermissionStamp>,
    /// True if a change is in progress, or an unresolved call may still take effect.
    pub is_busy: bool,
    /// True if the ledger has an open share.
    pub is_recorded: bool,
    /// True if a finding is open.
    pub is_found: bool,
    /// What was seen once.
    pub sighting: Option<Sighting>,
}

/// What AWS showed once, against the ledger and the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// What AWS showed.
    pub shown: Access,
    /// A time before AWS was asked, on the database's clock.
    pub seen_at: Timestamp,
    /// The permission at that time.
    pub permission: Option<PermissionStamp>,
}

/// Reads what is known of an image, in one snapshot.
///
/// # Errors
/// When Postgres does not answer.
pub async fn known(database: &Database, key: &DriftImage) -> Result<ImageRecord, StoreError> {
    let query = sqlx::query!(
        r#"WITH permission AS (
             SELECT * FROM share_permission WHERE account_id = $1 AND region = $2 AND image_id = $3
         ), share AS (
             SELECT shared_account_id FROM share_interval
             WHERE account_id = $1 AND region = $2 AND image_id = $3 AND end_index IS NULL
         ), finding AS (
             SELECT shared_account_id FROM drift_finding
             WHERE account_id = $1 AND region = $2 AND image_id = $3 AND resolution IS NULL
         ), sighting AS (
             SELECT * FROM drift_sighting WHERE account_id = $1 AND region = $2 AND image_id = $3
         ), recipient AS (
             SELECT shared_account_id FROM permission UNION SELECT shared_account_id FROM share
             UNION SELECT shared_account_id FROM finding UNION SELECT shared_account_id FROM sighting
         )
         SELECT statement_timestamp() AS "read_at!", recipient.shared_account_id AS "shared_account_id?",
             permission.generation AS "generation?", permission.lease_epoch AS "lease_epoch?",
             permission.updated_at AS "updated_at?",
             coalesce(permission.current_change_id IS NOT NULL OR permission.unresolved_call_until > statement_timestamp(), false)
                 AS "is_busy!",
             share.shared_account_id IS NOT NULL AS "is_recorded!", finding.shared_account_id IS NOT NULL AS "is_found!",
             sighting.access AS "access?", sighting.seen_at AS "seen_at?", sighting.generation AS "seen_generation?",
             sighting.lease_epoch AS "seen_lease_epoch?", sighting.updated_at AS "seen_updated_at?"
         FROM (SELECT) AS one LEFT JOIN recipient ON true
         LEFT JOIN permission USING (shared_account_id)
         LEFT JOIN share USING (shared_account_id)
         LEFT JOIN finding USING (shared_account_id)
         LEFT JOIN sighting USING (shared_account_id)"#,
        key.account.as_str(),
        key.region.as_str(),
        key.image.as_str(),
    );
    let found = database.run(async |conn| query.fetch_all(conn).await).await?;
    let read_at = found.first().map(|row| Timestamp::new(row.read_at));
    let mut recipients = BTreeMap::new();
    for row in found {
        let Some(account) = row.shared_account_id else { continue };
        let sighting = match (row.access, row.seen_at) {
            (Some(access), Some(seen_at)) => Some(Sighting {
                shown: rows::named(TABLE, Access::parse, &access)?,
                seen_at: Timestamp::new(seen_at),
                permission: stamp(row.seen_generation, row.seen_lease_epoch, row.seen_updated_at)?,
            }),
            _ => None,
        };
        let known = RecipientRecord {
            permission: stamp(row.generation, row.lease_epoch, row.updated_at)?,
            is_busy: row.is_busy,
            is_recorded: row.is_recorded,
            is_found: row.is_found,
            sighting,
        };
        recipients.insert(rows::parse(TABLE, &account)?, known);
    }
    let read_at = read_at.ok_or_else(|| StoreError::corrupt(TABLE, "the time is missing"))?;
    Ok(ImageRecord { read_at, recipients })
}

/// What a permission was last seen as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastLook {
    /// A time before AWS was asked for all pages of the image's permissions, on the database's clock.
    pub at: Timestamp,
    /// What AWS showed. None if a change of the permission was in progress then, or followed.
    pub shown: Option<Access>,
}

/// Reads what the last complete look at an image showed of one permission. None if there was no look.
///
/// # Errors
/// When Postgres does not answer.
pub async fn last_look(database: &Database, key: &PermissionKey) -> Result<Option<LastLook>, StoreError> {
    let query = sqlx::query!(
        r#"SELECT image.looked_at AS "looked_at!",
             coalesce(permission.current_change_id IS NOT NULL OR permission.updated_at > image.looked_at
                 OR permission.unresolved_call_until > image.looked_at, false) AS "is_changed!",
             sighting.access AS "sighted?", finding.difference AS "found?",
             EXISTS (
                 SELECT FROM share_interval
                 WHERE account_id = $1 AND region = $2 AND image_id = $3 AND shared_account_id = $4 AND end_index IS NULL
             ) AS "is_recorded!"
         FROM drift_image AS image
         LEFT JOIN share_permission AS permission
             ON (permission.account_id, permission.region, permission.image_id, permission.shared_account_id) = ($1, $2, $3, $4)
         LEFT JOIN drift_sighting AS sighting
             ON (sighting.account_id, sighting.region, sighting.image_id, sighting.shared_account_id) = ($1, $2, $3, $4)
         LEFT JOIN drift_finding AS finding
             ON (finding.account_id, finding.region, finding.image_id, finding.shared_account_id) = ($1, $2, $3, $4)
                 AND finding.resolution IS NULL
         WHERE image.account_id = $1 AND image.region = $2 AND image.image_id = $3 AND image.looked_at IS NOT NULL"#,
        key.account.as_str(),
        key.region.as_str(),
        key.image.as_str(),
        key.shared_account.as_str(),
    );
    let row = database.run(async |conn| query.fetch_optional(conn).await).await?;
    let Some(row) = row else { return Ok(None) };
    // A sighting is newer than a finding that is open. Without either, AWS showed what the ledger says.
    let shown = match (row.sighted, row.found, row.is_recorded) {
        (Some(access), _, _) => rows::named(TABLE, Access::parse, &access)?,
        (None, Some(difference), _) => rows::named(TABLE, DriftDifference::parse, &difference)?.shown(),
        (None, None, true) => Access::Shared,
        (None, None, false) => Access::NotShared,
    };
    Ok(Some(LastLook {
        at: Timestamp::new(row.looked_at),
        shown: (!row.is_changed).then_some(shown),
    }))
}

fn stamp(
    generation: Option<i64>,
    lease_epoch: Option<i64>,
    updated_at: Option<time::OffsetDateTime>,
) -> Result<Option<PermissionStamp>, StoreError> {
    let (Some(generation), Some(lease_epoch), Some(updated_at)) = (generation, lease_epoch, updated_at) else {
        return Ok(None);
    };
    Ok(Some(PermissionStamp {
        generation: rows::count(TABLE, generation)?,
        lease_epoch: rows::count(TABLE, lease_epoch)?,
        updated_at: Timestamp::new(updated_at),
    }))
}

/// What a complete look at an image showed.
#[derive(Debug, Default)]
pub struct Look {
    /// What was seen for the first time.
    pub seen: Vec<(AccountId, Sighting)>,
    /// Accounts whose sighting no longer counts.
    pub over: Vec<AccountId>,
    /// The number of accounts that AWS shares the image with.
    pub recipients: u32,
    /// When to look again. None if the scan is done with the image.
    pub again_after: Option<Duration>,
}

/// Saves a complete look that was due at `due_at`, and began at `begun_at`. If somebody asked for another look meanwhile, that
/// one stays due.
///
/// # Errors
/// When Postgres does not answer.
pub async fn save(
    database: &Database,
    key: &DriftImage,
    scan_id: ScanId,
    due_at: Timestamp,
    begun_at: Timestamp,
    look: &Look,
) -> Result<(), StoreError> {
    let over: Vec<_> = look.over.iter().map(AccountId::to_string).collect();
    let accounts: Vec<_> = look.seen.iter().map(|(account, _)| account.to_string()).collect();
    let seen = || look.seen.iter().map(|(_, sighting)| sighting);
    let shown: Vec<_> = seen().map(|sighting| sighting.shown.as_str().to_owned()).collect();
    let times: Vec<_> = seen().map(|sighting| sighting.seen_at.to_offset_date_time()).collect();
    let stamps = || seen().map(|sighting| sighting.permission);
    let generations: Vec<_> = stamps()
        .map(|stamp| stamp.map(|it| rows::bigint(it.generation)))
        .collect();
    let epochs: Vec<_> = stamps()
        .map(|stamp| stamp.map(|it| rows::bigint(it.lease_epoch)))
        .collect();
    let updates: Vec<_> = stamps()
        .map(|stamp| stamp.map(|it| it.updated_at.to_offset_date_time()))
        .collect();
    let query = sqlx::query!(
        "WITH over AS (
             DELETE FROM drift_sighting
             WHERE account_id = $1 AND region = $2 AND image_id = $3 AND shared_account_id = ANY ($4)
         ), seen AS (
             INSERT INTO drift_sighting (account_id, region, image_id, shared_account_id, access, seen_at, generation, lease_epoch, updated_at)
             SELECT $1, $2, $3, * FROM unnest($5::text[], $6::text[], $7::timestamptz[], $8::bigint[], $9::bigint[], $10::timestamptz[])
             ON CONFLICT (account_id, region, image_id, shared_account_id) DO UPDATE
             SET access = excluded.access, seen_at = excluded.seen_at, generation = excluded.generation,
                 lease_epoch = excluded.lease_epoch, updated_at = excluded.updated_at
         )
         UPDATE drift_image SET scan_id = $11, looked_at = $13, recipients = $14, failures = 0, error_code = NULL,
             next_look_at = CASE WHEN next_look_at IS DISTINCT FROM $12 THEN next_look_at
                 ELSE statement_timestamp() + make_interval(secs => $15) END
         WHERE account_id = $1 AND region = $2 AND image_id = $3",
        key.account.as_str(),
        key.region.as_str(),
        key.image.as_str(),
        &over,
        &accounts,
        &shown,
        &times,
        &generations as &[Option<i64>],
        &epochs as &[Option<i64>],
        &updates as &[Option<time::OffsetDateTime>],
        scan_id.0,
        due_at.to_offset_date_time(),
        begun_at.to_offset_date_time(),
        i32::try_from(look.recipients).unwrap_or(i32::MAX),
        look.again_after.map(|delay| delay.as_secs_f64()),
    );
    database.run(async |conn| query.execute(conn).await).await?;
    Ok(())
}

/// Notes that an image could not be read completely. The scan reads it again after `delay`.
///
/// # Errors
/// When Postgres does not answer.
pub async fn failed(database: &Database, key: &DriftImage, code: &str, delay: Duration) -> Result<(), StoreError> {
    let query = sqlx::query!(
        "UPDATE drift_image SET failures = failures + 1, error_code = $4,
             next_look_at = statement_timestamp() + make_interval(secs => $5)
         WHERE account_id = $1 AND region = $2 AND image_id = $3",
        key.account.as_str(),
        key.region.as_str(),
        key.image.as_str(),
        code,
        delay.as_secs_f64(),
    );
    database.run(async |conn| query.execute(conn).await).await?;
    Ok(())
}
