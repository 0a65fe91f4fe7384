//! The migrations, and whether the database has just these.

use std::collections::BTreeMap;

use sqlx::{PgPool, migrate::Migrator};

use super::StoreError;

static MIGRATOR: Migrator = sqlx::migrate!();

pub(super) async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    Ok(MIGRATOR.run(pool).await?)
}

pub(super) async fn check(pool: &PgPool) -> Result<(), StoreError> {
    let applied =
        match sqlx::query_as::<_, (i64, Vec<u8>, bool)>("SELECT version, checksum, success FROM _sqlx_migrations")
            .fetch_all(pool)
            .await
        {
            Ok(rows) => rows,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Vec::new(),
            Err(error) => return Err(error.into()),
        };
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
                    "migration {} of the database is not the one that this version knows",
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
