//! Pages of entries, and single ones.

use sqlx::{AssertSqlSafe, FromRow, PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::{
    domain::{AccountId, Timestamp},
    ledger::Hash,
    store::{
        Database, StoreError,
        rows::{bigint, count, parse},
    },
};

use super::{Columns, EntryFilter, driver::has_one_plan, statement::Page, walk};

/// In which order entries are listed: by time, then by account and index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The latest first.
    NewestFirst,
    /// The earliest first.
    OldestFirst,
}

/// The place of an entry in the order: a page goes on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryPosition {
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Whose ledger it is in.
    pub account: AccountId,
    /// Its place in that ledger.
    pub log_index: u64,
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Whose ledger it is in.
    pub account: AccountId,
    /// Its place in that ledger.
    pub log_index: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The canonical text.
    pub text: String,
    /// What the tree says that the text hashes to. Not compared with the text here.
    pub leaf_hash: Hash,
    /// What the row repeats of the text. Not compared with it here.
    pub columns: Columns<'static>,
}

impl StoredEntry {
    /// Its place in the order.
    pub fn position(&self) -> EntryPosition {
        EntryPosition {
            recorded_at: self.recorded_at,
            account: self.account,
            log_index: self.log_index,
        }
    }
}

/// Entries that were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The entries, in the order that was asked for.
    pub entries: Vec<StoredEntry>,
    /// True when it was seen, while the last of them was read, that nothing was archived. False when it is not known.
    pub nothing_archived: bool,
    /// When the last of them were read, on the clock that [`archived`](super::archived()) goes by. What was
    /// archived before it, was so when they were read. None if none were found.
    pub read_at: Option<Timestamp>,
}

/// Reads at most `limit` entries that match, those after `after` only. `now` is where the latest are looked for first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn entries(
    database: &Database,
    filter: &EntryFilter,
    order: Order,
    after: Option<&EntryPosition>,
    limit: u32,
    now: Timestamp,
) -> Result<Found, StoreError> {
    let page = Page {
        filter,
        order,
        after,
        now,
    };
    let read = async |connection: &mut PgConnection| walk::read(connection, &page, limit).await;
    let walked = if has_one_plan(filter) {
        database.run(read).await?
    } else {
        database.run_planned_by_values(read).await?
    };
    Ok(Found {
        entries: walked
            .rows
            .into_iter()
            .map(|row| stored(row.entry))
            .collect::<Result<_, _>>()?,
        nothing_archived: walked.nothing_archived,
        read_at: walked.read_at,
    })
}

/// Reads one entry.
///
/// # Errors
/// When Postgres does not answer.
pub async fn entry(database: &Database, account: AccountId, log_index: u64) -> Result<Option<StoredEntry>, StoreError> {
    Ok(range(database, account, log_index, log_index.saturating_add(1), 1)
        .await?
        .pop())
}

/// Reads at most `limit` entries of a ledger, from index `start` to before index `end`, in their order. Archived entries are
/// left out.
///
/// # Errors
/// When Postgres does not answer.
pub async fn range(
    database: &Database,
    account: AccountId,
    start: u64,
    end: u64,
    limit: u32,
) -> Result<Vec<StoredEntry>, StoreError> {
    let sql = format!(
        "SELECT {} FROM audit_entry
         WHERE account_id = $1 AND log_index >= $2 AND log_index < $3 ORDER BY log_index LIMIT $4",
        columns(),
    );
    let query = sqlx::query_as(AssertSqlSafe(sql))
        .bind(account.to_string())
        .bind(bigint(start))
        .bind(bigint(end))
        .bind(i64::from(limit));
    let rows: Vec<Row> = database
        .run(async |connection| query.fetch_all(connection).await)
        .await?;
    rows.into_iter().map(stored).collect()
}

pub(super) struct Row {
    account_id: String,
    log_index: i64,
    recorded_at: OffsetDateTime,
    entry: String,
    leaf_hash: Vec<u8>,
    columns: Columns<'static>,
}

/// The columns of an entry that are read, in the order of [`Row`].
pub(super) fn columns() -> String {
    format!(
        "account_id, log_index, recorded_at, entry, leaf_hash, {}",
        Columns::NAMES
    )
}

/// How many of [`columns`] there are.
pub(super) const COLUMNS: usize = 19;

impl FromRow<'_, PgRow> for Row {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            account_id: row.try_get(0)?,
            log_index: row.try_get(1)?,
            recorded_at: row.try_get(2)?,
            entry: row.try_get(3)?,
            leaf_hash: row.try_get(4)?,
            columns: Columns::read(row, 5)?,
        })
    }
}

fn stored(row: Row) -> Result<StoredEntry, StoreError> {
    const TABLE: &str = "audit_entry";
    Ok(StoredEntry {
        account: parse(TABLE, &row.account_id)?,
        log_index: count(TABLE, row.log_index)?,
        recorded_at: Timestamp::new(row.recorded_at),
        text: row.entry,
        leaf_hash: row
            .leaf_hash
            .try_into()
            .map_err(|_| StoreError::corrupt(TABLE, "a leaf hash that has not 32 bytes"))?,
        columns: row.columns,
    })
}
