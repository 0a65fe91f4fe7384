//! Applies the migrations, and checks that this build may use the schema.
//!
//! The number of a build is the version of its newest migration. A build needs its own migrations, and accepts newer ones as
//! long as `build_admission` admits it. A migration only expands the schema and raises that number to the oldest build that it
//! admits; [`finalize`] raises it to the newest migration.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool,
    migrate::{Migrate, Migrator},
};

use crate::{
    clock::Clock,
    store::error::{PostgresFault, StoreError},
};

use super::installation;

/// A step of a migration of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationStep<'a> {
    /// The version of the migration, from 1.
    pub version: i64,
    /// The words of its file name.
    pub name: &'a str,
    /// How long it took. None when it begins.
    pub took: Option<Duration>,
}

/// What a check compares.
pub(super) struct SchemaState {
    /// None before the first `migrate`.
    applied: Vec<AppliedMigration>,
    /// None before the migration that creates `build_admission`.
    oldest_build: Option<i64>,
    is_read_only: bool,
}

/// The version of a migration, its checksum, and whether it succeeded.
type AppliedMigration = (i64, Vec<u8>, bool);

const MIGRATIONS: &str = "_sqlx_migrations";

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!();
    // Every role that may connect could hold the driver's advisory lock.
    migrator.set_locking(false);
    // Migrations of newer builds are accepted by `check`.
    migrator.set_ignore_missing(true);
    migrator
});

/// The number of this build: the version of its newest migration.
pub(in crate::store) static BUILD: LazyLock<i64> = LazyLock::new(|| {
    let versions = MIGRATOR.iter().map(|migration| migration.version);
    versions.max().unwrap_or_default()
});

/// A migration waits for a lock for at most 30 s: other sessions queue behind it.
const LIMIT_LOCK_TIMEOUT: &str = "SELECT set_config('lock_timeout', least(setting::integer, 30000)::text, false)
    FROM pg_settings WHERE name = 'lock_timeout'";

/// Keeps other migrations out. It takes more rights than the roles of servers and dashboards have, and does not stop their reads.
const LOCK: &str = "LOCK TABLE _sqlx_migrations IN SHARE UPDATE EXCLUSIVE MODE";

const VERSIONS: &str = "SELECT version FROM _sqlx_migrations";

/// Applies the missing migrations in one transaction: all of them, or none. An empty database admits only this build.
pub(super) async fn migrate(
    pool: &PgPool,
    clock: &Clock,
    tell: &mut (dyn FnMut(MigrationStep<'_>) + Send),
) -> Result<(), StoreError> {
    locked(pool, async |connection| {
        // If two sessions create the table at once, one of them gets an error, and then the table is there.
        if connection.ensure_migrations_table(MIGRATIONS).await.is_err() {
            connection.ensure_migrations_table(MIGRATIONS).await?;
        }
        migrate_locked(connection, clock, tell).await
    })
    .await
}

/// Admits only builds with all migrations of the database, in one transaction.
pub(super) async fn finalize(pool: &PgPool) -> Result<(), StoreError> {
    locked(pool, finalize_locked).await
}

async fn locked(
    pool: &PgPool,
    change: impl AsyncFnOnce(&mut PgConnection) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    // The next user of the pool would have the lock timeout.
    connection.close_on_drop();
    sqlx::query(LIMIT_LOCK_TIMEOUT).execute(&mut *connection).await?;
    match change(&mut connection).await {
        Err(error) if error.is_lock_timeout() => Err(StoreError::Schema(
            "nothing was changed, because another session holds a lock: another migration, or an open transaction of a server or a \
             dashboard. Run the command again when it has ended; pg_locks shows it"
                .into(),
        )),
        changed => changed,
    }
}

#[expect(clippy::disallowed_methods, reason = "the owner's command; no caller waits for it")]
async fn migrate_locked(
    connection: &mut PgConnection,
    clock: &Clock,
    tell: &mut (dyn FnMut(MigrationStep<'_>) + Send),
) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    sqlx::query(LOCK).execute(&mut *transaction).await?;
    let applied: Vec<i64> = sqlx::query_scalar(VERSIONS).fetch_all(&mut *transaction).await?;
    for missing in MIGRATOR
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
    {
        let (version, name, begun) = (missing.version, &*missing.description, clock.monotonic_now());
        let step = |took| MigrationStep { version, name, took };
        tell(step(None));
        MIGRATOR.run_to(version, &mut *transaction).await?;
        tell(step(Some(clock.monotonic_now().since(begun))));
    }
    check(state(&mut transaction).await?)?;
    if applied.is_empty() {
        installation::admit(&mut transaction, *BUILD).await?;
    } else if let Some(running) = installation::not_admitted(&mut transaction).await? {
        return Err(StoreError::Schema(format!(
            "nothing was migrated, because the new schema would not admit {running}: stop them, or first upgrade to a version \
             between"
        )));
    }
    Ok(transaction.commit().await?)
}

#[expect(clippy::disallowed_methods, reason = "the owner's command; no caller waits for it")]
async fn finalize_locked(connection: &mut PgConnection) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    let state = state(&mut transaction).await?;
    let newest = state.applied.iter().map(|(version, ..)| *version).max();
    check(state)?;
    sqlx::query(LOCK).execute(&mut *transaction).await?;
    if newest.is_some_and(|newest| newest > *BUILD) {
        return Err(StoreError::Schema(format!(
            "not finalized, because the schema is newer than this program: it has migration {}, and this program is build {}; run \
             `finalize` of the newer program",
            newest.unwrap_or_default(),
            *BUILD
        )));
    }
    installation::admit(&mut transaction, *BUILD).await?;
    if let Some(running) = installation::not_admitted(&mut transaction).await? {
        return Err(StoreError::Schema(format!(
            "not finalized, because {running}: replace them, then run `sharewarden finalize` again"
        )));
    }
    Ok(transaction.commit().await?)
}

/// Checks that the schema has all migrations of this build, and admits it.
pub(super) fn check(state: SchemaState) -> Result<(), StoreError> {
    if state.is_read_only {
        return Err(StoreError::Postgres {
            what: "the server is read-only".into(),
            fault: PostgresFault::Server,
        });
    }
    let mut applied: BTreeMap<_, _> = state
        .applied
        .into_iter()
        .map(|(version, checksum, success)| (version, (checksum, success)))
        .collect();
    for migration in MIGRATOR.iter() {
        match applied.remove(&migration.version) {
            None => {
                return Err(StoreError::Schema(format!(
                    "the schema is older than this version: migration {} is missing; run `sharewarden migrate`",
                    migration.version
                )));
            }
            Some((checksum, success)) if !success || checksum != *migration.checksum => {
                return Err(StoreError::Schema(format!(
                    "migration {} of the database differs from the one of this version",
                    migration.version
                )));
            }
            Some(_) => {}
        }
    }
    if let Some((version, _)) = applied.iter().find(|(_, (_, success))| !success) {
        return Err(StoreError::Schema(format!(
            "migration {version} of the database is not complete"
        )));
    }
    admitted(state.oldest_build).map(|_| ())
}

/// Checks that this build may use the schema, and returns the oldest build that may. `oldest_build` is the value of
/// `build_admission`.
pub(in crate::store) fn admitted(oldest_build: Option<i64>) -> Result<i64, StoreError> {
    match oldest_build {
        None => Err(StoreError::corrupt("build_admission", "the row is missing")),
        Some(oldest_build) if oldest_build > *BUILD => Err(StoreError::NotAdmitted {
            build: *BUILD,
            oldest_build,
        }),
        Some(oldest_build) => Ok(oldest_build),
    }
}

pub(super) async fn state(connection: &mut PgConnection) -> Result<SchemaState, sqlx::Error> {
    let tables = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL, to_regclass('build_admission') IS NOT NULL,
            current_setting('transaction_read_only')::boolean";
    let (is_migrated, has_admission, is_read_only) = sqlx::query_as::<_, (bool, bool, bool)>(tables)
        .fetch_one(&mut *connection)
        .await?;
    let mut state = SchemaState {
        applied: Vec::new(),
        oldest_build: None,
        is_read_only,
    };
    if is_migrated {
        state.applied = sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations")
            .fetch_all(&mut *connection)
            .await?;
    }
    if has_admission {
        state.oldest_build = sqlx::query_scalar("SELECT oldest_build FROM build_admission")
            .fetch_optional(connection)
            .await?;
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_can_run_in_the_one_transaction() {
        assert!(MIGRATOR.iter().all(|migration| !migration.no_tx));
    }

    #[test]
    fn the_versions_of_the_migrations_have_no_gap() {
        let versions = MIGRATOR.iter().map(|migration| migration.version);
        assert_eq!(versions.collect::<Vec<_>>(), (1..=*BUILD).collect::<Vec<_>>());
    }
}
