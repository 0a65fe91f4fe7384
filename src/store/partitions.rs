//! The history's partitions: one a month, made ahead. An entry that finds none goes to the default partition, and is moved when
//! its partition is made.

use std::time::Duration;

use time::OffsetDateTime;

use crate::worker::{NextRound, Trigger, Worker};

use super::{Database, StoreError};

/// So many months are made ahead of the current one: time enough to notice that none are made.
pub const MONTHS_AHEAD: u16 = 3;

const LOOK_EVERY: Duration = Duration::from_hours(24);

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ensured {
    /// So many partitions were made.
    pub made: u32,
    /// Entries are left in the default partition.
    pub leftover: bool,
}

/// Makes the partitions that are missing: of this month and of so many after it, and of those that have entries in the default
/// partition.
///
/// # Errors
/// When Postgres does not answer or refuses, or somebody reads the history for so long that it cannot wait.
pub async fn ensure(database: &Database, months_ahead: u16) -> Result<Ensured, StoreError> {
    let now = sqlx::query_scalar!(r#"SELECT now() AS "now!""#);
    let now = database.run(async |connection| now.fetch_one(connection).await).await?;
    let mut made = create(database, now, months_ahead.saturating_add(1)).await?;
    while let Some(stray) = oldest_stray(database).await? {
        match create(database, stray, 1).await? {
            0 => return Ok(Ensured { made, leftover: true }),
            more => made += more,
        }
    }
    Ok(Ensured { made, leftover: false })
}

async fn create(database: &Database, since: OffsetDateTime, months: u16) -> Result<u32, StoreError> {
    let query = sqlx::query_scalar!(
        r#"SELECT create_audit_partitions($1, $2) AS "made!""#,
        since,
        i32::from(months)
    );
    let made = database
        .run(async |connection| query.fetch_one(connection).await)
        .await?;
    Ok(made.unsigned_abs())
}

/// When the first of those entries was recorded that are in no month's partition.
async fn oldest_stray(database: &Database) -> Result<Option<OffsetDateTime>, StoreError> {
    let query = sqlx::query_scalar!("SELECT min(recorded_at) FROM audit_entry_default");
    database.run(async |connection| query.fetch_one(connection).await).await
}

/// The worker that makes partitions.
#[derive(Debug)]
pub struct Partitions {
    /// Where they are made.
    pub database: Database,
}

impl Worker for Partitions {
    const NAME: &'static str = "partitions";
    const FAILURE: &'static str = "cannot make partitions of the history";
    type Error = StoreError;

    fn every(&self) -> Duration {
        LOOK_EVERY
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, StoreError> {
        let Ensured { made, leftover } = ensure(&self.database, MONTHS_AHEAD).await?;
        if made > 0 {
            tracing::info!(made, "made partitions of the history");
        }
        if leftover {
            tracing::warn!("audit_entry_default has entries that belong to no month that can be made");
        }
        Ok(NextRound::Interval)
    }
}
