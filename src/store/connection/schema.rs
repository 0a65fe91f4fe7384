//! Applies the migrations, and checks that the database has exactly these.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool,
    migrate::{Migrate, Migrator},
};

use crate::{
    clock::Clock,
    store::error::{PostgresFault, StoreError},
};

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

/// The version of a migration, its checksum, and whether it succeeded.
type AppliedMigration = (i64, Vec<u8>, bool);

const MIGRATIONS: &str = "_sqlx_migrations";

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!();
    // Every role that may connect could hold the driver's advisory lock.
    migrator.set_locking(false);
    migrator
});

/// A migration waits for a lock for at most 30 s: other sessions queue behind it.
const LIMIT_LOCK_TIMEOUT: &str = "SELECT set_config('lock_timeout', least(setting::integer, 30000)::text, false)
    FROM pg_settings WHERE name = 'lock_timeout'";

/// Keeps other migrations out. It takes more rights than the roles of servers and dashboards have, and does not stop their reads.
const LOCK: &str = "LOCK TABLE _sqlx_migrations IN SHARE UPDATE EXCLUSIVE MODE";

const VERSIONS: &str = "SELECT version FROM _sqlx_migrations";

/// Applies the missing migrations in one transaction: all of them, or none.
pub(super) async fn migrate(
    pool: &PgPool,
    clock: &Clock,
    tell: &mut (dyn FnMut(MigrationStep<'_>) + Send),
) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    // The next user of the pool would have the lock timeout.
    connection.close_on_drop();
    sqlx::query(LIMIT_LOCK_TIMEOUT).execute(&mut *connection).await?;
    match migrate_locked(&mut connection, clock, tell).await {
        Err(error) if error.is_lock_timeout() => Err(StoreError::Schema(
            "nothing was migrated, because another session holds a lock: another migration, or an open transaction of a server or a \
             dashboard. Run `sharewarden migrate` again when it has ended; pg_locks shows it"
                .into(),
        )),
        migrated => migrated,
    }
}

#[expect(clippy::disallowed_methods, reason = "the owner's command; no caller waits for it")]
async fn migrate_locked(
    connection: &mut PgConnection,
    clock: &Clock,
    tell: &mut (dyn FnMut(MigrationStep<'_>) + Send),
) -> Result<(), StoreError> {
    // If two sessions create the table at once, one of them gets an error, and then the table is there.
    if connection.ensure_migrations_table(MIGRATIONS).await.is_err() {
        connection.ensure_migrations_table(MIGRATIONS).await?;
    }
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
    // Compares those that were applied before.
    MIGRATOR.run(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

pub(super) fn check(applied: Vec<AppliedMigration>, read_only: bool) -> Result<(), StoreError> {
    if read_only {
        return Err(StoreError::Postgres {
            what: "the server is read-only".into(),
            fault: PostgresFault::Server,
        });
    }
    let mut applied: BTreeMap<_, _> = applied
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
    match applied.keys().next() {
        None => Ok(()),
        Some(version) => Err(StoreError::Schema(format!(
            "the schema is newer than this version: it has migration {version}; run a newer sharewarden"
        ))),
    }
}

/// The migrations of the database (none before the first `migrate`), and whether the server is read-only.
pub(super) async fn state(connection: &mut PgConnection) -> Result<(Vec<AppliedMigration>, bool), sqlx::Error> {
    let state = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL, current_setting('transaction_read_only')::boolean";
    let (migrated, read_only) = sqlx::query_as::<_, (bool, bool)>(state)
        .fetch_one(&mut *connection)
        .await?;
    if !migrated {
        return Ok((Vec::new(), read_only));
    }
    let applied = sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations")
        .fetch_all(connection)
        .await?;
    Ok((applied, read_only))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_can_run_in_the_one_transaction() {
        assert!(MIGRATOR.iter().all(|migration| !migration.no_tx));
    }
}
