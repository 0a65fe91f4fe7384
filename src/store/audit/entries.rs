//! Pages of entries, and single ones.

use std::time::Duration;

use sqlx::{AssertSqlSafe, FromRow, PgConnection, Postgres, QueryBuilder, Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::{
    domain::{AccountId, Timestamp},
    ledger::Hash,
    store::{
        Database, StoreError,
        rows::{bigint, count, parse},
    },
};

use super::{
    Columns, EntryFilter,
    driver::{Driver, has_one_plan},
    statement::Page,
    windows::{self, Span},
};

/// A text that is in fewer than one of so many entries is looked for in its index.
const WALKED_FOR_EACH: u32 = 20;
const MOST_WALKED: u32 = 5000;

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
    let read = async |connection: &mut PgConnection| read(connection, &page, limit).await;
    let (rows, nothing_archived) = if has_one_plan(filter) {
        database.run(read).await?
    } else {
        database.run_planned_by_values(read).await?
    };
    Ok(Found {
        entries: rows
            .into_iter()
            .map(|row| stored(row.entry))
            .collect::<Result<_, _>>()?,
        nothing_archived,
    })
}

/// Looks for a page in one span of time after the other, until it is full; and tells whether the last look, if it found
/// anything, saw that nothing was archived.
async fn read(connection: &mut PgConnection, page: &Page<'_>, limit: u32) -> Result<(Vec<PageRow>, bool), sqlx::Error> {
    let driver = Driver::of(page.filter);
    let spans = spans(connection, page, &driver).await?;
    if let (Driver::Text, Some(first)) = (&driver, spans.first()) {
        let most = limit.saturating_mul(WALKED_FOR_EACH).min(MOST_WALKED);
        let found = rows(connection, page.walk(*first, most, limit), false).await?;
        if found.len() == limit as usize {
            let nothing_archived = saw_nothing_archived(&found);
            return Ok((found, nothing_archived));
        }
    }
    // A statement is kept for each month; the limit is the same in all of them, so that these are few. How rare a text is
    // differs from one to the other: each is planned for itself.
    let keep = page.filter.text.is_none();
    let (mut found, mut nothing_archived) = (Vec::new(), false);
    for span in spans {
        let rows = rows(connection, page.statement(&driver, span, limit), keep).await?;
        nothing_archived = saw_nothing_archived(&rows);
        found.extend(rows);
        if found.len() >= limit as usize {
            found.truncate(limit as usize);
            break;
        }
    }
    Ok((found, nothing_archived))
}

fn saw_nothing_archived(rows: &[PageRow]) -> bool {
    rows.first().is_some_and(|row| !row.any_archived)
}

async fn rows(
    connection: &mut PgConnection,
    mut statement: QueryBuilder<Postgres>,
    keep: bool,
) -> Result<Vec<PageRow>, sqlx::Error> {
    let query = statement.build_query_as::<PageRow>().persistent(keep);
    query.fetch_all(connection).await
}

/// The spans of time to look in, one after the other.
async fn spans(connection: &mut PgConnection, page: &Page<'_>, driver: &Driver) -> Result<Vec<Span>, sqlx::Error> {
    let EntryFilter { from, to, .. } = *page.filter;
    let mut span = Span { from, to };
    if *driver == Driver::Few {
        return Ok(vec![span]);
    }
    // How often a text is met in a month says nothing about other months; so there is a statement for each.
    let monthly = page.filter.text.is_some();
    let after = page.after.map(|after| after.recorded_at);
    if monthly {
        let newest = newest(connection)
            .await?
            .map(|newest| newest + Duration::from_micros(1));
        span.to = to.into_iter().chain(newest).min();
    }
    if monthly || (after.is_none() && page.order == Order::OldestFirst) {
        span.from = from.max(oldest(connection).await?);
    }
    let start = after.or(match page.order {
        Order::NewestFirst => span.to.or(Some(page.now)),
        Order::OldestFirst => span.from,
    });
    let months = if monthly {
        windows::MONTHLY
    } else if page.filter.shared_account.is_some() {
        windows::WIDE
    } else {
        windows::WIDER_AND_WIDER
    };
    Ok(match start {
        _ if span.is_empty() => Vec::new(),
        None => vec![span],
        Some(start) => windows::divide(span, start, page.order, months),
    })
}

/// When the latest entry was recorded.
async fn newest(connection: &mut PgConnection) -> Result<Option<Timestamp>, sqlx::Error> {
    let newest = sqlx::query_scalar!("SELECT max(last_recorded_at) FROM ledger")
        .fetch_one(connection)
        .await?;
    Ok(newest.map(Timestamp::new))
}

/// When the earliest entry was recorded that is not archived.
async fn oldest(connection: &mut PgConnection) -> Result<Option<Timestamp>, sqlx::Error> {
    let oldest = sqlx::query_scalar!("SELECT min(recorded_at) FROM audit_entry WHERE log_index >= 0")
        .fetch_one(connection)
        .await?;
    Ok(oldest.map(Timestamp::new))
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

struct Row {
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
const COLUMNS: usize = 19;

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

/// An entry of a page.
struct PageRow {
    entry: Row,
    any_archived: bool,
}

impl FromRow<'_, PgRow> for PageRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            entry: Row::from_row(row)?,
            any_archived: row.try_get(COLUMNS)?,
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
