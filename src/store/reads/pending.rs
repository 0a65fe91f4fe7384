//! The number and the age of pending changes.

use std::time::Duration;

use crate::store::{connection::Database, error::StoreError, rows::count};

/// Pending changes, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pending {
    /// Number of pending changes.
    pub changes: u64,
    /// Number of them in doubt: a call may have had an effect that was not read back yet.
    pub in_doubt: u64,
    /// Age of the oldest; zero if there is none.
    pub oldest_age: Duration,
}

/// Counts pending changes. Two partial indexes answer it.
///
/// # Errors
/// When Postgres does not answer.
pub async fn pending(database: &Database) -> Result<Pending, StoreError> {
    let query = sqlx::query!(
        r#"SELECT count(*) AS "changes!", (SELECT count(*) FROM share_permission WHERE in_doubt) AS "in_doubt!",
               coalesce(extract(epoch FROM statement_timestamp() - min(created_at)), 0)::float8 AS "oldest_age!"
           FROM change WHERE state = 'PENDING'"#
    );
    let row = database.run(async |conn| query.fetch_one(conn).await).await?;
    Ok(Pending {
        changes: count("change", row.changes)?,
        in_doubt: count("share_permission", row.in_doubt)?,
        oldest_age: Duration::try_from_secs_f64(row.oldest_age).unwrap_or_default(),
    })
}
