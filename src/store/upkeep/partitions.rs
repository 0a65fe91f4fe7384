//! The partitions of `audit_entry`: one per month, created ahead. An entry without one goes to the default partition,
//! and moves when its month's partition is created.

use std::time::Duration;

use time::OffsetDateTime;

use crate::{
    store::{connection::Database, error::StoreError},
    worker::{NextRound, Trigger, Worker},
};

/// How many months ahead partitions are created. It leaves time to notice a failure.
pub const MONTHS_AHEAD: u16 = 3;

const LOOK_EVERY: Duration = Duration::from_hours(24);

/// The result of [`ensure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ensured {
    /// Number of partitions created.
    pub made: u32,
    /// The default partition still has entries.
    pub leftover: bool,
}

/// Creates missing partitions: of this month, of `months_ahead` more, and of the months that have entries in the
/// default partition.
///
/// # Errors
/// When Postgres does not answer or refuses, or a long query on the history blocks it.
pub async fn ensure(database: &Database, months_ahead: u16) -> Result<Ensured, StoreError> {
    let now = sqlx::query_scalar!(r#"SELECT now() AS "now!""#);
    let now = database.run(async |conn| now.fetch_one(conn).await).await?;
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
    let made = database.run(async |conn| query.fetch_one(conn).await).await?;
    Ok(made.unsigned_abs())
}

/// The time of the oldest entry in the default partition.
async fn oldest_stray(database: &Database) -> Result<Option<OffsetDateTime>, StoreError> {
    let query = sqlx::query_scalar!("SELECT min(recorded_at) FROM audit_entry_default");
    database.run(async |conn| query.fetch_one(conn).await).await
}

/// The worker that creates partitions.
#[derive(Debug)]
pub struct Partitions {
    /// Where the partitions are made. Its role may call `create_audit_partitions`.
    pub database: Database,
}

impl Worker for Partitions {
    const NAME: &'static str = "partitions";
    const FAILURE: &'static str = "cannot create partitions of the history";
    type Error = StoreError;

    fn every(&self) -> Duration {
        LOOK_EVERY
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, StoreError> {
        let Ensured { made, leftover } = ensure(&self.database, MONTHS_AHEAD).await?;
        if made > 0 {
            tracing::info!(made, "created partitions of the history");
        }
        if leftover {
            tracing::warn!(
                "audit_entry_default has entries whose month has a table already; look at their recorded_at"
            );
        }
        Ok(NextRound::Interval)
    }
}
