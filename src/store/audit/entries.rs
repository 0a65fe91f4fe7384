//! Pages of entries, and single ones.

use std::borrow::Cow;

use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};

use crate::{
    domain::{AccountId, EntryColumns, Timestamp},
    ledger::Hash,
    store::{
        Database, StoreError,
        rows::{bigint, count, parse},
    },
};

use super::{EntryFilter, columns, driver, statement::Page, walk};

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
pub struct StoredEntry<'a> {
    /// Whose ledger it is in.
    pub account: AccountId,
    /// Its place in that ledger.
    pub log_index: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The canonical text.
    pub text: Cow<'a, str>,
    /// What the tree says that the text hashes to. Not compared with the text here.
    pub leaf_hash: Hash,
    /// What the row repeats of the text. Not compared with it here.
    pub columns: EntryColumns<'a>,
}

impl StoredEntry<'_> {
    /// Its place in the order.
    pub fn position(&self) -> EntryPosition {
        EntryPosition {
            recorded_at: self.recorded_at,
            account: self.account,
            log_index: self.log_index,
        }
    }

    /// A copy that outlives the row that it was read from.
    pub fn into_owned(self) -> StoredEntry<'static> {
        StoredEntry {
            text: Cow::Owned(self.text.into_owned()),
            columns: self.columns.into_owned(),
            ..self
        }
    }
}

/// Entries that were found, as what was made of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// The entries, in the order that was asked for.
    pub entries: Vec<T>,
    /// True when it was seen, while the last of them was read, that nothing was archived. False when it is not known.
    pub nothing_archived: bool,
    /// When the last of them were read, on the clock that [`archived`](super::archived()) goes by. What was
    /// archived before it, was so when they were read. None if none were found.
    pub read_at: Option<Timestamp>,
}

/// Reads at most `limit` entries that match, those after `after` only. `now` is where the latest are looked for first. What is
/// wanted of an entry is made of its row as soon as it is here, while Postgres is at the next ones: nothing is copied in between.
///
/// # Errors
/// When Postgres does not answer.
pub async fn entries<T: Send>(
    database: &Database,
    filter: &EntryFilter,
    order: Order,
    after: Option<&EntryPosition>,
    limit: u32,
    now: Timestamp,
    mut make: impl FnMut(StoredEntry<'_>) -> T + Send,
) -> Result<Found<T>, StoreError> {
    let page = Page {
        filter,
        order,
        after,
        now,
    };
    let read = async |connection: &mut PgConnection| walk::read(connection, &page, limit, &mut make).await;
    let walked = database.run_planned(driver::planning(filter), read).await?;
    Ok(Found {
        entries: walked.entries.into_iter().collect::<Result<_, _>>()?,
        nothing_archived: walked.nothing_archived,
        read_at: walked.read_at,
    })
}

/// Reads one entry.
///
/// # Errors
/// When Postgres does not answer.
pub async fn entry(
    database: &Database,
    account: AccountId,
    log_index: u64,
) -> Result<Option<StoredEntry<'static>>, StoreError> {
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
) -> Result<Vec<StoredEntry<'static>>, StoreError> {
    let sql = format!(
        "SELECT {} FROM audit_entry
         WHERE account_id = $1 AND log_index >= $2 AND log_index < $3 ORDER BY log_index LIMIT $4",
        selected(),
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(account.to_string())
        .bind(bigint(start))
        .bind(bigint(end))
        .bind(i64::from(limit));
    let rows = database
        .run(async |connection| query.fetch_all(connection).await)
        .await?;
    rows.iter().map(|row| Ok(stored(row)?.into_owned())).collect()
}

/// The columns of an entry that are read, in the order of [`stored`].
pub(super) fn selected() -> String {
    format!(
        "account_id, log_index, recorded_at, entry, leaf_hash, {}",
        columns::NAMES
    )
}

/// How many of [`selected`] there are.
pub(super) const COLUMNS: usize = 19;

/// Reads [`selected`], without a look at their types: a page has thousands of values.
pub(super) fn stored(row: &PgRow) -> Result<StoredEntry<'_>, StoreError> {
    const TABLE: &str = "audit_entry";
    let leaf_hash: &[u8] = row.try_get_unchecked(4)?;
    Ok(StoredEntry {
        account: parse(TABLE, row.try_get_unchecked(0)?)?,
        log_index: count(TABLE, row.try_get_unchecked(1)?)?,
        recorded_at: Timestamp::new(row.try_get_unchecked(2)?),
        text: Cow::Borrowed(row.try_get_unchecked(3)?),
        leaf_hash: leaf_hash
            .try_into()
            .map_err(|_| StoreError::corrupt(TABLE, "a leaf hash that has not 32 bytes"))?,
        columns: columns::read(row, 5)?,
    })
}
