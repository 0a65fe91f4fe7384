//! Finding work that nobody holds: its lease ran out, or its next attempt is due.

use crate::domain::PermissionKey;

use super::{Database, StoreError, rows};

/// Names at most `limit` permissions with work that is due, the longest due first. Whoever wants one claims it through the
/// committer, which decides between those who find the same.
///
/// # Errors
/// When Postgres does not answer.
pub async fn due(database: &Database, limit: u32) -> Result<Vec<PermissionKey>, StoreError> {
    let query = sqlx::query!(
        "SELECT account_id, region, image_id, shared_account_id FROM share_permission
         WHERE current_change_id IS NOT NULL AND coalesce(lease_expires_at, next_attempt_at) <= statement_timestamp()
         ORDER BY coalesce(lease_expires_at, next_attempt_at) LIMIT $1",
        i64::from(limit),
    );
    let rows = database
        .run(async |connection| query.fetch_all(connection).await)
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(PermissionKey {
                account: rows::parse("share_permission", &row.account_id)?,
                region: rows::parse("share_permission", &row.region)?,
                image: rows::parse("share_permission", &row.image_id)?,
                shared_account: rows::parse("share_permission", &row.shared_account_id)?,
            })
        })
        .collect()
}
