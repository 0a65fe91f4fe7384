//! Which builds the schema admits, and which replicas run.

use std::{fmt, time::Duration};

use serde::Serialize;
use sqlx::PgConnection;

use crate::{
    domain::ReplicaId,
    store::{connection::Database, error::StoreError},
};

use super::schema::{self, BUILD};

/// A replica counts as running for this long after it was seen last.
const RUNNING_FOR: Duration = Duration::from_mins(1);

/// How long the row of a replica that ended without a goodbye is kept.
const KEPT_FOR: Duration = Duration::from_mins(10);

/// Where an installation stands between two versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Installation {
    /// The number of this build: the version of its newest migration.
    pub build: i64,
    /// The newest migration of the database.
    pub schema: i64,
    /// Builds from this number on may use the database.
    pub oldest_build: i64,
    /// The replicas that were seen in the last minute, by build, the oldest first.
    pub running: Vec<RunningBuild>,
}

/// The running replicas of one build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunningBuild {
    /// The number of the build.
    pub build: i64,
    /// Its version, such as `0.1.0`.
    pub version: String,
    /// The number of its replicas. At least 1.
    pub replicas: u64,
}

impl fmt::Display for RunningBuild {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            build,
            version,
            replicas,
        } = self;
        let noun = if *replicas == 1 { "replica" } else { "replicas" };
        write!(formatter, "{replicas} {noun} of build {build} ({version})")
    }
}

impl Installation {
    /// True if only builds with all migrations of the database may use it.
    pub fn is_finalized(&self) -> bool {
        self.oldest_build >= self.schema
    }
}

/// A few lines for people.
impl fmt::Display for Installation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            build,
            schema,
            oldest_build,
            ..
        } = self;
        let running: Vec<_> = self.running.iter().map(ToString::to_string).collect();
        let running = if running.is_empty() {
            "no replica".into()
        } else {
            running.join(", ")
        };
        writeln!(
            formatter,
            "this program is build {build}; the schema is {schema} and admits builds from {oldest_build} on"
        )?;
        write!(formatter, "running: {running}")?;
        if !self.is_finalized() {
            write!(
                formatter,
                "\nnot finalized: run `sharewarden finalize` of build {schema} when all replicas are of build {schema}; until then \
                 build {oldest_build} can be run again"
            )?;
        }
        Ok(())
    }
}

impl Database {
    /// Where the installation stands.
    ///
    /// # Errors
    /// When Postgres does not answer, or has no schema.
    pub async fn installation(&self) -> Result<Installation, StoreError> {
        self.within("statement", self.timeout(), async |connection| {
            // `scripts/prepare-sql` has no table of the driver.
            let head = sqlx::query_as::<_, (i64, i64)>(
                "SELECT (SELECT max(version) FROM _sqlx_migrations), oldest_build FROM build_admission",
            );
            let (schema, oldest_build) = head.fetch_one(&mut *connection).await?;
            let running = sqlx::query!(
                r#"SELECT build, version, count(*) AS "replicas!" FROM replica
                   WHERE seen_at > clock_timestamp() - make_interval(secs => $1) GROUP BY build, version ORDER BY build, version"#,
                RUNNING_FOR.as_secs_f64()
            );
            let running = running.fetch_all(connection).await?;
            Ok(Installation {
                build: *BUILD,
                schema,
                oldest_build,
                running: running
                    .into_iter()
                    .map(|row| RunningBuild {
                        build: row.build,
                        version: row.version,
                        replicas: row.replicas.unsigned_abs(),
                    })
                    .collect(),
            })
        })
        .await
    }

    /// Admits only builds with all migrations of the database, which this build must have too. Then it may write what older
    /// builds do not understand.
    ///
    /// # Errors
    /// When Postgres does not answer, the schema is not the one of this build, or a replica of an older build runs. Then nothing
    /// was changed.
    pub async fn finalize(&self) -> Result<(), StoreError> {
        self.check_sessions().await?;
        schema::finalize(&self.cache.pool).await
    }

    /// Records that this replica runs, and removes the rows of replicas that ended long ago.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn record_replica(&self, replica: ReplicaId) -> Result<(), StoreError> {
        let query = sqlx::query!(
            "WITH ended AS (DELETE FROM replica WHERE seen_at <= clock_timestamp() - make_interval(secs => $4) AND replica_id <> $1)
             INSERT INTO replica (replica_id, build, version, seen_at) VALUES ($1, $2, $3, clock_timestamp())
             ON CONFLICT (replica_id) DO UPDATE SET seen_at = excluded.seen_at",
            replica.0,
            *BUILD,
            env!("CARGO_PKG_VERSION"),
            KEPT_FOR.as_secs_f64(),
        );
        self.run(async |connection| query.execute(connection).await).await?;
        Ok(())
    }

    /// Records that this replica ends.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn forget_replica(&self, replica: ReplicaId) -> Result<(), StoreError> {
        let query = sqlx::query!("DELETE FROM replica WHERE replica_id = $1", replica.0);
        self.run(async |connection| query.execute(connection).await).await?;
        Ok(())
    }
}

/// Raises the number of the oldest build that may use the schema.
pub(super) async fn admit(connection: &mut PgConnection, build: i64) -> Result<(), StoreError> {
    let query = sqlx::query!(
        "UPDATE build_admission SET oldest_build = greatest(oldest_build, $1)",
        build
    );
    query.execute(connection).await?;
    Ok(())
}

/// The running replicas that the schema does not admit, in words. None if there is none.
pub(super) async fn not_admitted(connection: &mut PgConnection) -> Result<Option<String>, StoreError> {
    let query = sqlx::query!(
        r#"SELECT replica_id, build, version FROM replica
           WHERE build < (SELECT oldest_build FROM build_admission) AND seen_at > clock_timestamp() - make_interval(secs => $1)
           ORDER BY build, replica_id"#,
        RUNNING_FOR.as_secs_f64()
    );
    let rows = query.fetch_all(connection).await?;
    let Some(oldest) = rows.first() else {
        return Ok(None);
    };
    let mut names: Vec<_> = rows.iter().take(3).map(|row| row.replica_id.to_string()).collect();
    names.extend((rows.len() > 3).then(|| "…".to_owned()));
    let noun = if rows.len() == 1 { "replica" } else { "replicas" };
    Ok(Some(format!(
        "{} {noun} of older builds (the oldest is build {}, version {}) were seen in the last minute: {}",
        rows.len(),
        oldest.build,
        oldest.version,
        names.join(", ")
    )))
}
