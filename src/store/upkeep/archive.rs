//! Archives a month: reads what its partition holds, and detaches the partition in one transaction.
//!
//! Needs the rights of the owner. The entries leave the table; the hashes of the tree, the counts and the intervals stay.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    domain::{AccountId, Timestamp},
    store::{
        audit::Archived,
        connection::Database,
        error::StoreError,
        rows::{bigint, count, expect_rows, parse},
    },
};

use super::summaries;

/// The partition of `audit_entry` that holds a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthPartition {
    name: String,
    /// The start of the month, UTC.
    pub start: Timestamp,
    /// The start of the next month, UTC.
    pub end: Timestamp,
}

/// The entries of an account in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveRange {
    /// The account of the ledger.
    pub account: AccountId,
    /// The first entry.
    pub start_index: u64,
    /// One past the last entry.
    pub end_index: u64,
    /// Number of entries. Equal to the length of the range if none is missing.
    pub entries: u64,
    /// The time of the first entry.
    pub start_time: Timestamp,
    /// The time of the last entry.
    pub end_time: Timestamp,
}

/// What happens to the archived partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detached {
    /// It stays as a table of the same name.
    Kept,
    /// It is dropped.
    Dropped,
}

/// The partitions of months that end at or before this time, the oldest first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn months_before(database: &Database, before: Timestamp) -> Result<Vec<MonthPartition>, StoreError> {
    let query = sqlx::query!(
        r#"SELECT name AS "name!", month_start AT TIME ZONE 'UTC' AS "start!",
               (month_start + interval '1 month') AT TIME ZONE 'UTC' AS "end!"
           FROM (
               SELECT relname::text AS name, to_timestamp(right(relname, 7), 'YYYY_MM')::timestamp AS month_start
               FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
               WHERE inhparent = 'audit_entry'::regclass AND relname ~ '^audit_entry_[0-9]{4}_[0-9]{2}$'
           ) AS partition
           WHERE (month_start + interval '1 month') AT TIME ZONE 'UTC' <= $1
           ORDER BY month_start"#,
        before.to_offset_date_time(),
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    let months = rows.into_iter().map(|row| MonthPartition {
        name: row.name,
        start: Timestamp::new(row.start),
        end: Timestamp::new(row.end),
    });
    Ok(months.collect())
}

/// The entries of a month, by account.
///
/// # Errors
/// When Postgres does not answer.
pub async fn ranges(database: &Database, month: &MonthPartition) -> Result<Vec<ArchiveRange>, StoreError> {
    let query = sqlx::query!(
        r#"SELECT account_id, min(log_index) AS "first!", max(log_index) AS "last!", count(*) AS "entries!",
               min(recorded_at) AS "start!", max(recorded_at) AS "end!"
           FROM audit_entry WHERE recorded_at >= $1 AND recorded_at < $2 GROUP BY account_id ORDER BY account_id"#,
        month.start.to_offset_date_time(),
        month.end.to_offset_date_time(),
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    rows.into_iter()
        .map(|row| {
            Ok(ArchiveRange {
                account: parse("audit_entry", &row.account_id)?,
                start_index: count("audit_entry", row.first)?,
                end_index: count("audit_entry", row.last)? + 1,
                entries: count("audit_entry", row.entries)?,
                start_time: Timestamp::new(row.start),
                end_time: Timestamp::new(row.end),
            })
        })
        .collect()
}

/// Counts all uncounted entries. Then, in one transaction, stores the hashes that no full tile holds, detaches the
/// month, and records where its entries went.
///
/// # Errors
/// When Postgres does not answer or refuses, or the month and `files` have different entries.
pub async fn detach(
    database: &Database,
    month: &MonthPartition,
    files: &[Archived],
    then: Detached,
) -> Result<(), StoreError> {
    summaries::catch_up(database).await?;
    database
        .within("archive", database.timeout(), async |connection| {
            run(connection, month, files, then).await
        })
        .await
}

#[expect(
    clippy::disallowed_methods,
    reason = "the owner's one transaction; `Database::within` bounds it"
)]
async fn run(
    connection: &mut PgConnection,
    month: &MonthPartition,
    files: &[Archived],
    then: Detached,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    let table = &month.name;
    // No writer should add to a past month. If one does, it waits for this lock, or is counted.
    execute(&mut transaction, format!("LOCK TABLE {table} IN SHARE MODE")).await?;
    let held: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
        .fetch_one(&mut *transaction)
        .await?;
    let archived: u64 = files.iter().map(|file| file.end_index - file.start_index).sum();
    expect_rows(
        "audit_entry",
        count("audit_entry", held)?,
        usize::try_from(archived).unwrap_or(usize::MAX),
    )?;
    expect_counted(&mut transaction, files).await?;
    keep_hashes(&mut transaction, files).await?;
    // Commits queue behind this lock. If a long query holds it, fail and let the operator retry.
    execute(&mut transaction, "SET LOCAL lock_timeout = '2s'".into()).await?;
    execute(
        &mut transaction,
        format!("ALTER TABLE audit_entry DETACH PARTITION {table}"),
    )
    .await?;
    // After the detach, no query can read the entries until the commit. So a page read before `archived_at` had the
    // entries, and a page read later finds the archive record.
    record(&mut transaction, files).await?;
    if then == Detached::Dropped {
        execute(&mut transaction, format!("DROP TABLE {table}")).await?;
    }
    Ok(transaction.commit().await?)
}

/// `sql` has no input but names of partitions: letters, digits and underscores.
async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

fn accounts_and_ends(files: &[Archived]) -> (Vec<String>, Vec<i64>) {
    let pairs = files
        .iter()
        .map(|file| (file.account.to_string(), bigint(file.end_index)));
    pairs.unzip()
}

/// Checks that these entries are counted.
async fn expect_counted(connection: &mut PgConnection, files: &[Archived]) -> Result<(), StoreError> {
    let (accounts, ends) = accounts_and_ends(files);
    let ranked = sqlx::query_scalar!(
        r#"SELECT count(*) AS "ranked!" FROM unnest($1::text[], $2::bigint[]) AS file (account_id, end_index)
           JOIN audit_summary_progress AS progress ON progress.account_id = file.account_id AND progress.size >= file.end_index"#,
        &accounts,
        &ends,
    )
    .fetch_one(connection)
    .await?;
    if usize::try_from(ranked) == Ok(files.len()) {
        return Ok(());
    }
    Err(StoreError::corrupt(
        "audit_summary_progress",
        "entries of the month are not counted",
    ))
}

/// Entries at the right edge of a tree are in no full tile. Stores their hashes in a partial tile.
async fn keep_hashes(connection: &mut PgConnection, files: &[Archived]) -> Result<(), StoreError> {
    let (accounts, ends) = accounts_and_ends(files);
    sqlx::query!(
        "INSERT INTO ledger_tile (account_id, level, tile_index, hashes, root)
         SELECT file.account_id, 0, ledger.size / 256,
             coalesce(tile.hashes, '') || string_agg(audit_entry.leaf_hash, '' ORDER BY audit_entry.log_index), NULL
         FROM unnest($1::text[], $2::bigint[]) AS file (account_id, end_index)
         JOIN ledger ON ledger.account_id = file.account_id
         LEFT JOIN ledger_tile AS tile
             ON tile.account_id = file.account_id AND tile.level = 0 AND tile.tile_index = ledger.size / 256
         JOIN audit_entry ON audit_entry.account_id = file.account_id AND audit_entry.log_index < file.end_index
             AND audit_entry.log_index >= ledger.size / 256 * 256 + coalesce(octet_length(tile.hashes), 0) / 32
         GROUP BY file.account_id, ledger.size, tile.hashes
         ON CONFLICT (account_id, level, tile_index) DO UPDATE SET hashes = excluded.hashes
         WHERE octet_length(ledger_tile.hashes) < octet_length(excluded.hashes)",
        &accounts,
        &ends,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn record(connection: &mut PgConnection, files: &[Archived]) -> Result<(), StoreError> {
    let (accounts, ends) = accounts_and_ends(files);
    let starts: Vec<_> = files.iter().map(|file| bigint(file.start_index)).collect();
    let start_times: Vec<_> = files.iter().map(|file| file.start_time.to_offset_date_time()).collect();
    let end_times: Vec<_> = files.iter().map(|file| file.end_time.to_offset_date_time()).collect();
    let locations: Vec<_> = files.iter().map(|file| file.location.clone()).collect();
    let digests: Vec<_> = files.iter().map(|file| file.sha256.to_vec()).collect();
    let recorded = sqlx::query!(
        "INSERT INTO audit_archive (account_id, start_index, end_index, start_time, end_time, location, sha256, archived_at)
         SELECT *, clock_timestamp() FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::timestamptz[],
             $6::text[], $7::bytea[])",
        &accounts,
        &starts,
        &ends,
        &start_times,
        &end_times,
        &locations,
        &digests,
    )
    .execute(connection)
    .await?;
    expect_rows("audit_archive", recorded.rows_affected(), files.len())
}
