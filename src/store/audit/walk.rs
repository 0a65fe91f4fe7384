//! Searches time span after time span for the entries of a page, until the page is full.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row as _};

use crate::{domain::Timestamp, store::error::StoreError};

use super::{
    EntryFilter, Order, StoredEntry,
    driver::Driver,
    entries::{COLUMNS, PageLimit, stored},
    statement::PageSelect,
    windows::{self, Span},
};

/// A walk reads at most this number of entries for each entry of the page. A rarer text is searched in its index.
const WALKED_PER_ENTRY: u32 = 20;

/// The maximum number of entries that a walk reads.
const MAX_WALKED: u32 = 5000;

/// The mapped entries that were found.
pub(super) struct Walked<T> {
    pub(super) entries: Vec<Result<T, StoreError>>,
    /// The size of their texts.
    bytes: usize,
    /// True when the last statement that found entries saw that nothing was archived.
    pub(super) nothing_archived: bool,
    /// When the last statement that found entries began.
    pub(super) read_at: Option<Timestamp>,
}

impl<T> Walked<T> {
    fn nothing() -> Self {
        Self {
            entries: Vec::new(),
            bytes: 0,
            nothing_archived: false,
            read_at: None,
        }
    }

    fn add(&mut self, next: Self) {
        self.nothing_archived = next.nothing_archived;
        self.read_at = next.read_at.or(self.read_at);
        self.bytes += next.bytes;
        self.entries.extend(next.entries);
    }

    fn is_full(&self, limit: PageLimit) -> bool {
        self.entries.len() >= limit.entries as usize || self.bytes > limit.bytes
    }
}

/// Searches for a frequent text in the month where the page starts, with one statement. None if the page has other
/// conditions, or is not full.
async fn walk_near<T: Send>(
    connection: &mut PgConnection,
    page: &PageSelect<'_>,
    limit: PageLimit,
    make: &mut (impl FnMut(StoredEntry<'_>) -> T + Send),
) -> Result<Option<Walked<T>>, sqlx::Error> {
    let Some(near) = near(page) else { return Ok(None) };
    let found = walk(connection, page, near, limit, make).await?;
    Ok(found.is_full(limit).then_some(found))
}

/// The month where the page starts. A text is searched there first, before the start and the end of the history are read.
fn near(page: &PageSelect<'_>) -> Option<Span> {
    if Driver::of(page.filter, page.conditions) != Driver::Text {
        return None;
    }
    let EntryFilter { from, to, .. } = *page.filter;
    let after = page.after.map(|after| after.recorded_at);
    let start = after.or(match page.order {
        Order::NewestFirst => to.into_iter().chain([page.now]).min(),
        Order::OldestFirst => from,
    })?;
    windows::divide(Span { from, to }, start, page.order, windows::MONTHLY)
        .first()
        .copied()
}

/// Reads a page, and maps each entry.
pub(super) async fn read<T: Send>(
    connection: &mut PgConnection,
    page: &PageSelect<'_>,
    limit: PageLimit,
    make: &mut (impl FnMut(StoredEntry<'_>) -> T + Send),
) -> Result<Walked<T>, sqlx::Error> {
    if let Some(found) = walk_near(connection, page, limit, make).await? {
        return Ok(found);
    }
    let mut walked = Walked::nothing();
    let driver = Driver::of(page.filter, page.conditions);
    let spans = spans(connection, page, &driver).await?;
    if let (Driver::Text, Some(first)) = (&driver, spans.first()) {
        let was_walked = |near: Span| near.far_edge(page.order) == first.far_edge(page.order);
        if !near(page).is_some_and(was_walked) {
            let found = walk(connection, page, *first, limit, make).await?;
            if found.is_full(limit) {
                return Ok(found);
            }
        }
    }
    for span in spans {
        let missing = limit.entries - u32::try_from(walked.entries.len()).unwrap_or(limit.entries);
        let statement = page.statement(&driver, span, at_least(missing, limit.entries));
        let bytes = limit.bytes - walked.bytes;
        walked.add(look(connection, statement, bytes, make).await?);
        if walked.is_full(limit) {
            walked.entries.truncate(limit.entries as usize);
            break;
        }
    }
    Ok(walked)
}

/// Searches for a text in the next entries of any content.
async fn walk<T: Send>(
    connection: &mut PgConnection,
    page: &PageSelect<'_>,
    span: Span,
    limit: PageLimit,
    make: &mut (impl FnMut(StoredEntry<'_>) -> T + Send),
) -> Result<Walked<T>, sqlx::Error> {
    let max_walked = limit.entries.saturating_mul(WALKED_PER_ENTRY).min(MAX_WALKED);
    let statement = page.walk(span, max_walked, limit.entries);
    look(connection, statement, limit.bytes, make).await
}

/// Rounds the number of missing entries up. Each limit and month has its own prepared statement, so there are few limits.
fn at_least(missing: u32, limit: u32) -> u32 {
    missing.next_multiple_of(limit.div_ceil(4).max(1)).min(limit)
}

/// Runs one statement. After `max_bytes` of text, the rest is read and dropped, so that the connection can be used again.
async fn look<T: Send>(
    connection: &mut PgConnection,
    mut statement: QueryBuilder<Postgres>,
    max_bytes: usize,
    make: &mut (impl FnMut(StoredEntry<'_>) -> T + Send),
) -> Result<Walked<T>, sqlx::Error> {
    let mut found = Walked::nothing();
    let mut rows = statement.build().fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if found.read_at.is_none() {
            found.nothing_archived = !row.try_get::<bool, _>(COLUMNS)?;
            found.read_at = Some(Timestamp::new(row.try_get(COLUMNS + 1)?));
        }
        if found.bytes <= max_bytes {
            let entry = stored(&row);
            found.bytes += entry.as_ref().map_or(0, |entry| entry.text.len());
            found.entries.push(entry.map(&mut *make));
        }
    }
    Ok(found)
}

/// The time spans to search, in order.
async fn spans(
    connection: &mut PgConnection,
    page: &PageSelect<'_>,
    driver: &Driver,
) -> Result<Vec<Span>, sqlx::Error> {
    let EntryFilter { from, to, .. } = *page.filter;
    let mut span = Span { from, to };
    if *driver == Driver::Few {
        return Ok(vec![span]);
    }
    // The frequency of a text differs between months, so each month has its own statement.
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

/// The time of the latest entry.
async fn newest(connection: &mut PgConnection) -> Result<Option<Timestamp>, sqlx::Error> {
    let newest = sqlx::query_scalar!("SELECT max(last_recorded_at) FROM ledger")
        .fetch_one(connection)
        .await?;
    Ok(newest.map(Timestamp::new))
}

/// The time of the earliest entry that is not archived.
async fn oldest(connection: &mut PgConnection) -> Result<Option<Timestamp>, sqlx::Error> {
    let oldest = sqlx::query_scalar!("SELECT min(recorded_at) FROM audit_entry WHERE log_index >= 0")
        .fetch_one(connection)
        .await?;
    Ok(oldest.map(Timestamp::new))
}
