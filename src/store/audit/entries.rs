//! Pages of entries, and single ones.

use std::borrow::Cow;

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};

use crate::{
    domain::{AccountId, EntryColumns, Timestamp},
    ledger::Hash,
    store::{
        connection::Database,
        error::StoreError,
        rows::{bigint, count, parse},
    },
};

use super::{EntryFilter, Order, columns, driver, statement::PageSelect, walk};

/// The position of an entry in the order. A page starts after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryPosition {
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The account of the ledger.
    pub account: AccountId,
    /// Its index in that ledger.
    pub log_index: u64,
}

/// Where a page ends.
#[derive(Debug, Clone, Copy)]
pub struct PageLimit {
    /// Maximum number of entries.
    pub entries: u32,
    /// Maximum bytes of text. The entry that exceeds it is the last.
    pub bytes: usize,
}

impl PageLimit {
    /// A limit of the number of entries only.
    pub fn entries(entries: u32) -> Self {
        let bytes = usize::MAX;
        Self { entries, bytes }
    }
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry<'a> {
    /// The account of the ledger.
    pub account: AccountId,
    /// Its index in that ledger.
    pub log_index: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The canonical text.
    pub text: Cow<'a, str>,
    /// The leaf hash in the tree. Not compared with the text here.
    pub leaf_hash: Hash,
    /// The columns that repeat members of the text. Not compared with the text here.
    pub columns: EntryColumns<'a>,
}

impl StoredEntry<'_> {
    /// Its position in the order.
    pub fn position(&self) -> EntryPosition {
        EntryPosition {
            recorded_at: self.recorded_at,
            account: self.account,
            log_index: self.log_index,
        }
    }

    /// A copy that owns its texts.
    pub fn into_owned(self) -> StoredEntry<'static> {
        StoredEntry {
            text: Cow::Owned(self.text.into_owned()),
            columns: self.columns.into_owned(),
            ..self
        }
    }
}

/// A page, with each entry mapped by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRows<T> {
    /// The mapped entries, in the requested order.
    pub entries: Vec<T>,
    /// True when the statement that read the last of them saw that nothing was archived. False when it is not known.
    pub nothing_archived: bool,
    /// When the last of them were read, on the clock of [`archived`](super::archived()): what was archived before this
    /// time was archived at the read. None if the page is empty.
    pub read_at: Option<Timestamp>,
}

/// Reads entries that match the filter, after `after` and up to `limit`. The search for the latest starts at `now`.
/// `make` maps each row as it arrives, while Postgres sends the next ones, without a copy in between.
///
/// # Errors
/// When Postgres does not answer.
pub async fn entries<T: Send>(
    database: &Database,
    filter: &EntryFilter,
    order: Order,
    after: Option<&EntryPosition>,
    limit: PageLimit,
    now: Timestamp,
    mut make: impl FnMut(StoredEntry<'_>) -> T + Send,
) -> Result<EntryRows<T>, StoreError> {
    let conditions = &filter.conditions();
    let page = PageSelect {
        filter,
        conditions,
        order,
        after,
        now,
    };
    let read = async |connection: &mut PgConnection| walk::read(connection, &page, limit, &mut make).await;
    let walked = database
        .run_planned(driver::plan_cache_mode(filter, conditions), read)
        .await?;
    Ok(EntryRows {
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
    let next = log_index.saturating_add(1);
    let owned = |entry: StoredEntry<'_>| entry.into_owned();
    Ok(range(database, account, log_index, next, 1, usize::MAX, owned)
        .await?
        .pop())
}

/// Reads at most `limit` entries of a ledger, from index `start` to before index `end`, in order. Omits archived entries. Ends
/// before an entry whose text would exceed `max_bytes` of text in all, unless it is the first. `make` maps each row as in
/// [`entries`].
///
/// # Errors
/// When Postgres does not answer.
pub async fn range<T: Send>(
    database: &Database,
    account: AccountId,
    start: u64,
    end: u64,
    limit: u32,
    max_bytes: usize,
    mut make: impl FnMut(StoredEntry<'_>) -> T + Send,
) -> Result<Vec<T>, StoreError> {
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
    let read = async |connection: &mut PgConnection| {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let mut rows = query.fetch(connection);
        // The rest is read and dropped, so that the connection can be used again.
        while let Some(row) = rows.try_next().await? {
            let entry = stored(&row);
            bytes += entry.as_ref().map_or(0, |entry| entry.text.len());
            if bytes <= max_bytes || entries.is_empty() {
                entries.push(entry.map(&mut make));
            }
        }
        Ok(entries)
    };
    database.run(read).await?.into_iter().collect()
}

/// The selected columns of an entry, in the order of [`stored`].
pub(super) fn selected() -> String {
    format!(
        "account_id, log_index, recorded_at, entry, leaf_hash, {}",
        columns::NAMES
    )
}

/// The number of columns in [`selected`].
pub(super) const COLUMNS: usize = 19;

/// Reads the columns of [`selected`] without type checks: a page has thousands of values.
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
            .map_err(|_| StoreError::corrupt(TABLE, "leaf_hash is not 32 bytes long"))?,
        columns: columns::read(row, 5)?,
    })
}
