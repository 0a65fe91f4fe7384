//! Monthly partitions of the history. An entry without a partition goes into the default one and is moved later.

use std::time::Duration;

use sharewarden::{
    clock::Clock,
    domain::Timestamp,
    store::partitions::{self, Ensured, MONTHS_AHEAD, Partitions},
    telemetry::Instruments,
    worker::Supervisor,
};
use sharewarden_testkit::stack::TIMEOUT;
use sqlx::{Postgres, pool::PoolConnection};
use tokio_util::sync::CancellationToken;

use crate::{
    append_only::{entry_at, partitions},
    store::*,
};

#[tokio::test]
async fn an_entry_without_a_partition_is_kept_and_moved_when_one_is_created() {
    let store = Store::open().await;
    for time in [
        "2024-05-01 00:00+00",
        "2024-05-31 23:59:59.999999+00",
        "2024-06-01 00:00+00",
        "2020-02-29 12:00+00",
    ] {
        store.execute(&entry_at(time)).await;
    }
    assert_eq!(store.tables_of_entries().await, ["audit_entry_default"; 4]);
    let ensured = partitions::ensure(&store.database, MONTHS_AHEAD).await.unwrap();
    assert_eq!(
        ensured,
        Ensured {
            made: 3,
            leftover: false
        }
    );
    let moved = [
        "audit_entry_2020_02",
        "audit_entry_2024_05",
        "audit_entry_2024_05",
        "audit_entry_2024_06",
    ];
    assert_eq!(store.tables_of_entries().await, moved);
    let ensured = partitions::ensure(&store.database, MONTHS_AHEAD).await.unwrap();
    assert_eq!(
        ensured,
        Ensured {
            made: 0,
            leftover: false
        },
        "a second run changes nothing"
    );

    // New partitions have the same unique indexes and triggers as the others.
    let expected = store.constraints("audit_entry_default").await;
    assert_eq!(
        expected.0.len(),
        3,
        "unique: the position in the ledger, and two for `once`: {expected:?}"
    );
    assert_eq!(
        expected.1.len(),
        2,
        "triggers for rows and for statements: {expected:?}"
    );
    for partition in partitions(&store.pool).await {
        assert_eq!(store.constraints(&partition).await, expected, "{partition}");
    }
    let again = "INSERT INTO audit_entry SELECT * FROM audit_entry WHERE recorded_at < '2021-01-01'";
    let twice = sqlx::query(again).execute(&store.pool).await.unwrap_err();
    assert!(twice.as_database_error().unwrap().is_unique_violation(), "{twice}");
    store.close().await;
}

#[tokio::test]
async fn creating_partitions_for_more_than_three_years_is_refused() {
    let store = Store::open().await;
    let before = partitions(&store.pool).await;
    for months in [-1, 37, i32::MAX] {
        let made = sqlx::query("SELECT create_audit_partitions('2020-01-01', $1)").bind(months);
        let refused = made.execute(&store.pool).await.unwrap_err();
        let refused = refused.as_database_error().unwrap();
        assert_eq!(refused.code().as_deref(), Some("22023"));
        assert_eq!(refused.message(), format!("months must be from 0 to 36, not {months}"));
    }
    assert_eq!(partitions(&store.pool).await, before);
    store.close().await;
}

#[tokio::test]
async fn a_taken_partition_name_leaves_the_entries_in_the_default_and_is_reported() {
    let store = Store::open().await;
    store.execute("CREATE TABLE audit_entry_2024_05 ()").await;
    store.execute(&entry_at("2024-05-01 00:00+00")).await;
    let ensured = partitions::ensure(&store.database, MONTHS_AHEAD).await.unwrap();
    assert_eq!(
        ensured,
        Ensured {
            made: 0,
            leftover: true
        }
    );
    store.close().await;
}

#[tokio::test]
async fn two_concurrent_runs_create_each_partition_once() {
    let store = Store::open().await;
    let other = connect(store.test.url());
    let before = partitions(&store.pool).await.len();
    let months = 20;
    let (one, two) = tokio::join!(
        partitions::ensure(&store.database, months),
        partitions::ensure(&other, months)
    );
    let made = one.unwrap().made + two.unwrap().made;
    assert_eq!(made, u32::from(months - MONTHS_AHEAD));
    assert_eq!(partitions(&store.pool).await.len(), before + made as usize);
    other.close().await;
    store.close().await;
}

#[tokio::test]
async fn entries_are_added_while_a_partition_is_created() {
    let store = Store::open().await;
    let mut maker = store.transaction().await;
    // The transaction is open and holds all its locks.
    sqlx::query("SELECT create_audit_partitions('2031-01-01', 1)")
        .execute(&mut *maker)
        .await
        .unwrap();
    tokio::time::timeout(TIMEOUT, store.refuse("111122223333", 10))
        .await
        .expect("no entry waits for the partition");
    sqlx::query("COMMIT").execute(&mut *maker).await.unwrap();
    drop(maker);
    assert_eq!(store.tables_of_entries().await.len(), 10);
    store.close().await;
}

#[tokio::test]
async fn a_long_read_of_the_history_delays_partition_creation_and_not_writers() {
    let store = Store::open().await;
    let mut reader = store.transaction().await;
    sqlx::query("SELECT count(*) FROM audit_entry")
        .execute(&mut *reader)
        .await
        .unwrap();
    let put_off = partitions::ensure(&store.database, 12).await.unwrap_err();
    assert!(put_off.is_transient(), "{put_off:?}");
    store.refuse("111122223333", 300).await;
    sqlx::query("COMMIT").execute(&mut *reader).await.unwrap();
    drop(reader);
    assert_eq!(partitions::ensure(&store.database, 12).await.unwrap().made, 9);
    store.close().await;
}

#[tokio::test]
async fn the_partition_worker_runs_at_once_a_minute_after_a_failure_and_then_daily() {
    let store = Store::open().await;
    let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
    let (begun, stop) = (clock.monotonic_now(), CancellationToken::new());
    store.execute(&entry_at("2024-01-15 00:00+00")).await;
    store.execute(BREAK_FUNCTION).await;
    let database = store.database.clone();
    let supervisor = Supervisor::new(&clock, &Instruments::default(), &stop);
    let worker = tokio::spawn(supervisor.run(Partitions { database }));
    wait_until(&store.pool, "(SELECT is_called FROM tried)").await;
    store.execute(RESTORE_FUNCTION).await;
    let january = "to_regclass('audit_entry_2024_01') IS NOT NULL";
    tokio::select! {
        () = keep_advancing(&clock, Duration::from_mins(1)) => {}
        () = wait_until(&store.pool, january) => {}
    }
    let took = clock.monotonic_now().since(begun);
    assert!(took < Duration::from_hours(24), "{took:?}");

    store.execute(&entry_at("2024-02-15 00:00+00")).await;
    tokio::select! {
        () = keep_advancing(&clock, Duration::from_hours(1)) => {}
        () = wait_until(&store.pool, "to_regclass('audit_entry_2024_02') IS NOT NULL") => {}
    }
    stop.cancel();
    tokio::time::timeout(TIMEOUT, worker).await.unwrap().unwrap();
    store.close().await;
}

/// Makes the function fail. A call leaves no trace except the next number of the sequence.
const BREAK_FUNCTION: &str = "CREATE SEQUENCE tried;
    ALTER FUNCTION create_audit_partitions RENAME TO mended;
    CREATE FUNCTION create_audit_partitions(timestamptz, integer) RETURNS integer LANGUAGE plpgsql AS
        $$ BEGIN PERFORM nextval('tried'); RAISE EXCEPTION 'no'; END $$";

const RESTORE_FUNCTION: &str = "DROP FUNCTION create_audit_partitions;
    ALTER FUNCTION mended RENAME TO create_audit_partitions";

impl Store {
    /// The partition of each entry, oldest first.
    async fn tables_of_entries(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT tableoid::regclass::text FROM audit_entry ORDER BY recorded_at")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// The unique indexes and the enabled triggers of a partition.
    async fn constraints(&self, partition: &str) -> (Vec<String>, Vec<(String, String)>) {
        let unique = "SELECT regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '') FROM pg_index
            WHERE indrelid = $1::regclass AND indisunique AND indisvalid ORDER BY 1";
        let triggers = "SELECT tgname::text, tgtype::text FROM pg_trigger
            WHERE tgrelid = $1::regclass AND tgenabled = 'O' ORDER BY 1";
        (
            sqlx::query_scalar(unique)
                .bind(partition)
                .fetch_all(&self.pool)
                .await
                .unwrap(),
            sqlx::query_as(triggers)
                .bind(partition)
                .fetch_all(&self.pool)
                .await
                .unwrap(),
        )
    }

    /// A connection with an open transaction.
    pub(crate) async fn transaction(&self) -> PoolConnection<Postgres> {
        let mut connection = self.pool.acquire().await.unwrap();
        sqlx::query("BEGIN").execute(&mut *connection).await.unwrap();
        connection
    }
}
