//! Applies the migrations, and checks that the database has exactly these.

use std::collections::BTreeMap;

use sqlx::{PgConnection, PgPool, migrate::Migrator};

use crate::store::error::{PostgresFault, StoreError};

/// The version of a migration, its checksum, and whether it succeeded.
type Applied = (i64, Vec<u8>, bool);

static MIGRATOR: Migrator = sqlx::migrate!();

pub(super) async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    Ok(MIGRATOR.run(pool).await?)
}

pub(super) fn check(applied: Vec<Applied>, read_only: bool) -> Result<(), StoreError> {
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
pub(super) async fn state(connection: &mut PgConnection) -> Result<(Vec<Applied>, bool), sqlx::Error> {
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
