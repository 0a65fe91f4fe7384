//! Finds due work: permissions whose lease has expired, or whose next attempt is due. First the accounts and Regions
//! with due work, then the work of each, so that an account with much work does not delay the others. The forwarder
//! claims the work through the committer, which decides if several replicas find the same.
//!
//! A time that lies further ahead than [`LONGEST_WAIT`] is found too: the database's clock was set back since, and a claim
//! corrects it. These rows have a branch of their own in each query, so that each branch reads one range of the index.

use std::time::Duration;

use crate::{
    domain::{AccountId, ImageId, PermissionKey, Region, transition::LONGEST_WAIT},
    store::{connection::Database, error::StoreError, rows},
};

const TABLE: &str = "share_permission";

/// The accounts and Regions that have due work. Each takes one index lookup, so the cost depends on their number and not on the
/// amount of work.
///
/// # Errors
/// When Postgres does not answer.
pub async fn endpoints(database: &Database) -> Result<Vec<(AccountId, Region)>, StoreError> {
    let accounts = sqlx::query_scalar!(
        "SELECT account_id FROM ledger AS l WHERE EXISTS (
             SELECT FROM share_permission AS p
             WHERE p.account_id = l.account_id AND p.current_change_id IS NOT NULL
                 AND coalesce(p.lease_expires_at, p.next_attempt_at) <= statement_timestamp())
             OR EXISTS (
             SELECT FROM share_permission AS p
             WHERE p.account_id = l.account_id AND p.current_change_id IS NOT NULL
                 AND coalesce(p.lease_expires_at, p.next_attempt_at) > statement_timestamp() + make_interval(secs => $1))",
        LONGEST_WAIT.as_secs_f64(),
    );
    let mut endpoints = Vec::new();
    let accounts = database.run(async |conn| accounts.fetch_all(conn).await).await?;
    for account in accounts {
        for region in regions(database, &account).await? {
            endpoints.push((rows::parse(TABLE, &account)?, rows::parse(TABLE, &region)?));
        }
    }
    Ok(endpoints)
}

/// The Regions in which an account has pending changes.
async fn regions(database: &Database, account: &str) -> Result<Vec<String>, StoreError> {
    let regions = sqlx::query_scalar!(
        r#"WITH RECURSIVE found AS (
             (SELECT region FROM share_permission WHERE account_id = $1 AND current_change_id IS NOT NULL
              ORDER BY region LIMIT 1)
             UNION ALL
             SELECT (SELECT p.region FROM share_permission AS p
                     WHERE p.account_id = $1 AND p.current_change_id IS NOT NULL AND p.region > found.region
                     ORDER BY p.region LIMIT 1)
             FROM found WHERE found.region IS NOT NULL)
         SELECT region AS "region!" FROM found WHERE region IS NOT NULL"#,
        account,
    );
    database.run(async |conn| regions.fetch_all(conn).await).await
}

/// Due work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The permission.
    pub key: PermissionKey,
    /// The work starts with a read of AWS: the permission is in doubt, or its lease has expired.
    pub reads: bool,
}

/// Finds at most `limit` permissions of an account and Region with due work. Alternates between the images, the longest
/// due of each first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn due(database: &Database, account: AccountId, region: &Region, limit: u32) -> Result<Vec<Due>, StoreError> {
    let query = sqlx::query!(
        r#"WITH RECURSIVE image AS (
             (SELECT image_id FROM share_permission
              WHERE account_id = $1 AND region = $2 AND current_change_id IS NOT NULL ORDER BY image_id LIMIT 1)
             UNION ALL
             SELECT (SELECT p.image_id FROM share_permission AS p
                     WHERE p.account_id = $1 AND p.region = $2 AND p.current_change_id IS NOT NULL
                         AND p.image_id > image.image_id
                     ORDER BY p.image_id LIMIT 1)
             FROM image WHERE image.image_id IS NOT NULL)
         SELECT due.image_id AS "image_id!", due.shared_account_id AS "shared_account_id!", due.reads AS "reads!"
         FROM image CROSS JOIN LATERAL (
             (SELECT p.image_id, p.shared_account_id, p.in_doubt OR p.lease_owner IS NOT NULL AS reads,
                  coalesce(p.lease_expires_at, p.next_attempt_at) AS since,
                  row_number() OVER (ORDER BY coalesce(p.lease_expires_at, p.next_attempt_at)) AS turn
              FROM share_permission AS p
              WHERE p.account_id = $1 AND p.region = $2 AND p.image_id = image.image_id
                  AND p.current_change_id IS NOT NULL
                  AND coalesce(p.lease_expires_at, p.next_attempt_at) <= statement_timestamp()
              ORDER BY coalesce(p.lease_expires_at, p.next_attempt_at) LIMIT $3)
             UNION ALL
             (SELECT p.image_id, p.shared_account_id, p.in_doubt OR p.lease_owner IS NOT NULL AS reads,
                  coalesce(p.lease_expires_at, p.next_attempt_at) AS since,
                  row_number() OVER (ORDER BY coalesce(p.lease_expires_at, p.next_attempt_at)) AS turn
              FROM share_permission AS p
              WHERE p.account_id = $1 AND p.region = $2 AND p.image_id = image.image_id
                  AND p.current_change_id IS NOT NULL
                  AND coalesce(p.lease_expires_at, p.next_attempt_at) > statement_timestamp() + make_interval(secs => $4)
              ORDER BY coalesce(p.lease_expires_at, p.next_attempt_at) LIMIT $3)) AS due
         ORDER BY due.turn, due.since LIMIT $3"#,
        account.to_string(),
        region.to_string(),
        i64::from(limit),
        LONGEST_WAIT.as_secs_f64(),
    );
    let rows = database
        .run(async |conn| query.fetch_all(conn).await)
        .await?
        .into_iter()
        .map(|row| {
            let key = key(account, region, &row.image_id, &row.shared_account_id)?;
            let reads = row.reads;
            Ok(Due { key, reads })
        });
    rows.collect()
}

/// Finds permissions of these images, at most `limit` of each, with due work that starts with a read of AWS. The
/// longest due first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn due_to_read(
    database: &Database,
    account: AccountId,
    region: &Region,
    images: &[ImageId],
    limit: u32,
) -> Result<Vec<PermissionKey>, StoreError> {
    let images: Vec<_> = images.iter().map(ImageId::to_string).collect();
    let query = sqlx::query!(
        r#"SELECT due.image_id AS "image_id!", due.shared_account_id AS "shared_account_id!"
         FROM unnest($3::text[]) AS image (image_id) CROSS JOIN LATERAL (
             (SELECT p.image_id, p.shared_account_id FROM share_permission AS p
              WHERE p.account_id = $1 AND p.region = $2 AND p.image_id = image.image_id
                  AND p.current_change_id IS NOT NULL AND (p.in_doubt OR p.lease_owner IS NOT NULL)
                  AND coalesce(p.lease_expires_at, p.next_attempt_at) <= statement_timestamp()
              ORDER BY coalesce(p.lease_expires_at, p.next_attempt_at) LIMIT $4)
             UNION ALL
             (SELECT p.image_id, p.shared_account_id FROM share_permission AS p
              WHERE p.account_id = $1 AND p.region = $2 AND p.image_id = image.image_id
                  AND p.current_change_id IS NOT NULL AND (p.in_doubt OR p.lease_owner IS NOT NULL)
                  AND coalesce(p.lease_expires_at, p.next_attempt_at) > statement_timestamp() + make_interval(secs => $5)
              ORDER BY coalesce(p.lease_expires_at, p.next_attempt_at) LIMIT $4)) AS due"#,
        account.to_string(),
        region.to_string(),
        &images,
        i64::from(limit),
        LONGEST_WAIT.as_secs_f64(),
    );
    let rows = database
        .run(async |conn| query.fetch_all(conn).await)
        .await?
        .into_iter();
    rows.map(|row| key(account, region, &row.image_id, &row.shared_account_id))
        .collect()
}

/// Finds at most `limit` permissions of an account and Region with due work, not in doubt, whose change was accepted more than
/// `give_up_after` ago.
///
/// # Errors
/// When Postgres does not answer.
pub async fn expired(
    database: &Database,
    account: AccountId,
    region: &Region,
    give_up_after: Duration,
    limit: u32,
) -> Result<Vec<PermissionKey>, StoreError> {
    let query = sqlx::query!(
        "SELECT p.image_id, p.shared_account_id FROM share_permission AS p
         JOIN change AS c ON c.account_id = p.account_id AND c.change_id = p.current_change_id
         WHERE p.account_id = $1 AND p.region = $2 AND p.current_change_id IS NOT NULL AND NOT p.in_doubt
             AND p.lease_owner IS NULL
             AND (p.next_attempt_at <= statement_timestamp()
                 OR p.next_attempt_at > statement_timestamp() + make_interval(secs => $5))
             AND c.created_at <= statement_timestamp() - make_interval(secs => $3)
         LIMIT $4",
        account.to_string(),
        region.to_string(),
        give_up_after.as_secs_f64(),
        i64::from(limit),
        LONGEST_WAIT.as_secs_f64(),
    );
    let rows = database
        .run(async |conn| query.fetch_all(conn).await)
        .await?
        .into_iter();
    rows.map(|row| key(account, region, &row.image_id, &row.shared_account_id))
        .collect()
}

fn key(account: AccountId, region: &Region, image: &str, shared_account: &str) -> Result<PermissionKey, StoreError> {
    Ok(PermissionKey {
        account,
        region: region.clone(),
        image: rows::parse(TABLE, image)?,
        shared_account: rows::parse(TABLE, shared_account)?,
    })
}
