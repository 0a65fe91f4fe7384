//! The lock of `sharewarden migrate`: who can take it, and what happens if another session has it.

use std::time::Duration;

use sharewarden::{clock::Clock, config::DatabaseConfig, store::Database};
use sharewarden_testkit::stack::*;
use sqlx::{Connection, PgConnection};

use crate::{
    roles::{Login, assert_refused},
    store::Store,
};

/// A database whose sessions wait for a lock for half a second.
fn impatient(url: &str) -> Database {
    let settings = DatabaseConfig {
        url: url.into(),
        max_connections: 1,
        acquire_timeout: TIMEOUT,
        statement_timeout: Duration::from_secs(1),
    };
    Database::new(&settings, &Clock::system()).unwrap()
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test]
async fn a_server_or_a_dashboard_cannot_hold_up_a_migration() {
    let store = Store::open().await;
    for group in ["sharewarden_writer", "sharewarden_reader"] {
        let login = Login::of(group, &store.pool, store.test.url()).await;
        let mut session = login.connect().await;
        for mode in [
            "ROW SHARE",
            "ROW EXCLUSIVE",
            "SHARE UPDATE EXCLUSIVE",
            "SHARE",
            "SHARE ROW EXCLUSIVE",
            "EXCLUSIVE",
            "ACCESS EXCLUSIVE",
        ] {
            let lock = format!("BEGIN; LOCK TABLE _sqlx_migrations IN {mode} MODE");
            assert_refused(&mut session, &lock).await;
            execute(&mut session, "ROLLBACK").await;
        }
        let name: String = sqlx::query_scalar("SELECT current_database()")
            .fetch_one(&store.pool)
            .await
            .unwrap();
        let advisory = format!("SELECT pg_advisory_lock({})", advisory_lock_of_the_driver(&name));
        execute(&mut session, &advisory).await;
        let database = impatient(store.test.url());
        database.migrate().await.unwrap();
        database.close().await;
        session.close().await.unwrap();
        login.remove(&store.pool).await;
    }
    store.close().await;
}

#[tokio::test]
async fn a_migration_that_waits_for_a_lock_ends_with_an_error_and_changes_nothing() {
    let store = Store::open().await;
    let mut other = PgConnection::connect(store.test.url()).await.unwrap();
    let missing = "DELETE FROM _sqlx_migrations WHERE version = 6";
    for lock in [
        "BEGIN; LOCK TABLE _sqlx_migrations IN SHARE UPDATE EXCLUSIVE MODE",
        "BEGIN; GRANT SELECT ON audit_archive TO sharewarden_reader",
    ] {
        execute(&mut other, missing).await;
        execute(&mut other, lock).await;
        let database = impatient(store.test.url());
        let error = database.migrate().await.unwrap_err().to_string();
        assert!(error.contains("another session holds a lock"), "{error}");
        execute(&mut other, "ROLLBACK").await;
        database.migrate().await.unwrap();
        database.check().await.unwrap();
        database.close().await;
    }
    other.close().await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn migrations_that_start_at_the_same_time_all_succeed() {
    let store = Store::open().await;
    let mut admin = PgConnection::connect(store.test.url()).await.unwrap();
    execute(
        &mut admin,
        "DROP SCHEMA public, reporting CASCADE; CREATE SCHEMA public",
    )
    .await;
    let migrations = (0..4).map(|_| async {
        let settings = DatabaseConfig {
            url: store.test.url().into(),
            max_connections: 1,
            acquire_timeout: TIMEOUT,
            statement_timeout: TIMEOUT,
        };
        let database = Database::new(&settings, &Clock::system()).unwrap();
        database.migrate().await.unwrap();
        database.check().await.unwrap();
        database.close().await;
    });
    futures_util::future::join_all(migrations).await;
    admin.close().await.unwrap();
    store.close().await;
}

/// The key of the advisory lock that sqlx takes by default: a CRC-32 of the database's name times a constant.
fn advisory_lock_of_the_driver(database: &str) -> i64 {
    let crc = database.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    });
    0x3d32_ad9e * i64::from(!crc)
}
