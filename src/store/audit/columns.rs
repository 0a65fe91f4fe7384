//! The columns of an entry's row that repeat its text ([`EntryColumns`]).

use std::borrow::Cow;

use sqlx::{Row, postgres::PgRow};

use crate::domain::EntryColumns;

/// The selected columns, in the order of [`read`].
pub(super) const NAMES: &str = "kind, action, cause, change_id, request_id, principal, reason, ticket, region, image_id, \
    shared_account_id, generation, aws_request_id, error_reason";

/// Reads the columns of a row that start at index `first`. By index, without copies and type checks: a page has
/// thousands of values.
pub(super) fn read(row: &PgRow, first: usize) -> Result<EntryColumns<'_>, sqlx::Error> {
    let text = |at: usize| {
        let text: Option<&str> = row.try_get_unchecked(first + at)?;
        Ok::<_, sqlx::Error>(text.map(Cow::from))
    };
    let generation: Option<i64> = row.try_get_unchecked(first + 11)?;
    Ok(EntryColumns {
        kind: row.try_get_unchecked::<&str, _>(first)?.into(),
        action: text(1)?,
        cause: text(2)?,
        change_id: row.try_get_unchecked(first + 3)?,
        request_id: row.try_get_unchecked(first + 4)?,
        principal: text(5)?,
        reason: text(6)?,
        ticket: text(7)?,
        region: text(8)?,
        image_id: text(9)?,
        shared_account_id: text(10)?,
        // A CHECK keeps it from being negative.
        generation: generation.map(i64::cast_unsigned),
        aws_request_id: text(12)?,
        error_reason: text(13)?,
    })
}
