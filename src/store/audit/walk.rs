//! Looking for a page of entries in one span of time after the other, until it is full.

use std::time::Duration;

use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::domain::Timestamp;

use super::{
    EntryFilter, Order,
    driver::Driver,
    entries::{COLUMNS, Row},
    statement::Page,
    windows::{self, Span},
};

/// A text that is in fewer than one of so many entries is looked for in its index.
const WALKED_FOR_EACH: u32 = 20;
const MOST_WALKED: u32 = 5000;

/// What was found.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) rows: Vec<PageRow>,
    /// True when the last look, if it found anything, saw that nothing was archived.
    pub(super) nothing_archived: bool,
    /// When the last look that found anything began.
    pub(super) read_at: Option<Timestamp>,
}

/// An entry of a page.
pub(super) struct PageRow {
    pub(super) entry: Row,
    any_archived: bool,
    read_at: OffsetDateTime,
}

impl FromRow<'_, PgRow> for PageRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            entry: Row::from_row(row)?,
            any_archived: row.try_get(COLUMNS)?,
            read_at: row.try_get(COLUMNS + 1)?,
        })
    }
}

impl Walked {
    fn add(&mut self, rows: Vec<PageRow>) {
        let first = rows.first();
        self.nothing_archived = first.is_some_and(|row| !row.any_archived);
        self.read_at = first.map(|row| Timestamp::new(row.read_at)).or(self.read_at);
        self.rows.extend(rows);
    }
}

/// Reads a page.
pub(super) async fn read(connection: &mut PgConnection, page: &Page<'_>, limit: u32) -> Result<Walked, sqlx::Error> {
    let mut walked = Walked::default();
    let driver = Driver::of(page.filter);
    let spans = spans(connection, page, &driver).await?;
    if let (Driver::Text, Some(first)) = (&driver, spans.first()) {
        let most = limit.saturating_mul(WALKED_FOR_EACH).min(MOST_WALKED);
        let found = rows(connection, page.walk(*first, most, limit), false).await?;
        if found.len() == limit as usize {
            walked.add(found);
            return Ok(walked);
        }
    }
    // A statement is kept for each month; the limit is the same in all of them, so that these are few. How rare a text is
    // differs from one to the other: each is planned for itself.
    let keep = page.filter.text.is_none();
    for span in spans {
        walked.add(rows(connection, page.statement(&driver, span, limit), keep).await?);
        if walked.rows.len() >= limit as usize {
            walked.rows.truncate(limit as usize);
            break;
        }
    }
    Ok(walked)
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
