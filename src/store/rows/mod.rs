//! Converts rows to the domain's types and back. Each file has the columns of one table; [`table`] has the macros.

pub(super) mod attempts;
pub(super) mod buckets;
pub(super) mod changes;
pub(super) mod entries;
pub(super) mod events;
pub(super) mod findings;
pub(super) mod heads;
pub(super) mod permissions;
pub(super) mod requests;
pub(super) mod table;
pub(super) mod tiles;

use std::str::FromStr;

use crate::{domain::Invalid, store::error::StoreError};

/// In which order entries and changes are listed: by time, then by account, then by index or change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The latest first.
    NewestFirst,
    /// The earliest first.
    OldestFirst,
}

/// Parses a text that a CHECK of the schema constrains.
pub(super) fn parse<T: FromStr<Err = Invalid>>(table: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|invalid| StoreError::corrupt(table, invalid))
}

/// Parses a name that a CHECK of the schema constrains.
pub(super) fn named<T>(table: &'static str, parse: fn(&str) -> Option<T>, text: &str) -> Result<T, StoreError> {
    parse(text).ok_or_else(|| StoreError::corrupt(table, "a name that this version does not know"))
}

/// Converts a count that a CHECK of the schema keeps from being negative.
pub(super) fn count(table: &'static str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::corrupt(table, "a negative count"))
}

/// Converts a count for Postgres. No count of ours comes near 2^63.
pub(super) fn bigint(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Checks the number of rows that a statement wrote.
pub(super) fn expect_rows(table: &'static str, written: u64, wanted: usize) -> Result<(), StoreError> {
    match written == wanted as u64 {
        true => Ok(()),
        false => Err(StoreError::corrupt(
            table,
            format_args!("{written} rows, and not {wanted}"),
        )),
    }
}
