//! Pages of entries, and single ones.

use sqlx::PgConnection;
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
    EntryFilter,
    driver::Driver,
    statement::Page,
    windows::{self, Span},
};

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

/// Reads at most `limit` entries that match, those after `after` only.
///
/// # Errors
/// When Postgres does not answer.
pub async fn entries(
    database: &Database,
    filter: &EntryFilter,
    order: Order,
    after: Option<&EntryPosition>,
    limit: u32,
) -> Result<Vec<StoredEntry>, StoreError> {
    let page = Page { filter, order, after };
    let rows = database
        .run(async |connection| read(connection, &page, limit).await)
        .await?;
    rows.into_iter().map(stored).collect()
}

/// Looks for a page in one span of time after the other, until it is full.
async fn read(connection: &mut PgConnection, page: &Page<'_>, limit: u32) -> Result<Vec<Row>, sqlx::Error> {
    let driver = Driver::of(page.filter);
    let mut found = Vec::new();
    for span in spans(connection, page, &driver).await? {
        let wanted = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if wanted == 0 {
            break;
        }
        let mut statement = page.statement(&driver, span, wanted);
        // Not kept: Postgres shall plan it for these values and these months.
        let query = statement.build_query_as::<Row>().persistent(false);
        found.extend(query.fetch_all(&mut *connection).await?);
    }
    Ok(found)
}

async fn spans(connection: &mut PgConnection, page: &Page<'_>, driver: &Driver) -> Result<Vec<Span>, sqlx::Error> {
    let EntryFilter { from, to, .. } = *page.filter;
    let span = Span { from, to };
    if *driver == Driver::Few || span.is_empty() {
        return Ok(if span.is_empty() { vec![] } else { vec![span] });
    }
    let start = match (page.after, page.order) {
        (Some(after), _) => Some(after.recorded_at),
        (None, Order::NewestFirst) => newest(connection).await?.into_iter().chain(to).min(),
        (None, Order::OldestFirst) => oldest(connection).await?.max(from),
    };
    Ok(start.map_or(vec![span], |start| windows::divide(span, start, page.order)))
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
    let query = sqlx::query_as(
        "SELECT account_id, log_index, recorded_at, entry, leaf_hash FROM audit_entry
         WHERE account_id = $1 AND log_index >= $2 AND log_index < $3 ORDER BY log_index LIMIT $4",
    )
    .bind(account.to_string())
    .bind(bigint(start))
    .bind(bigint(end))
    .bind(i64::from(limit));
    let rows: Vec<Row> = database
        .run(async |connection| query.fetch_all(connection).await)
        .await?;
    rows.into_iter().map(stored).collect()
}

/// The columns of an entry that are read.
type Row = (String, i64, OffsetDateTime, String, Vec<u8>);

fn stored((account, log_index, recorded_at, text, leaf_hash): Row) -> Result<StoredEntry, StoreError> {
    const TABLE: &str = "audit_entry";
    Ok(StoredEntry {
        account: parse(TABLE, &account)?,
        log_index: count(TABLE, log_index)?,
        recorded_at: Timestamp::new(recorded_at),
        text,
        leaf_hash: leaf_hash
            .try_into()
            .map_err(|_| StoreError::corrupt(TABLE, "a leaf hash that has not 32 bytes"))?,
    })
}
