//! Tables as the domain's types and back. Each file loads rows of one table, or lays them out column by column to be saved.

pub(super) mod attempts;
pub(super) mod buckets;
pub(super) mod changes;
pub(super) mod entries;
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

/// Reads a text that a CHECK of the schema vouches for.
pub(super) fn parse<T: FromStr<Err = Invalid>>(table: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|invalid| StoreError::corrupt(table, invalid))
}

/// Reads a name that a CHECK of the schema vouches for.
pub(super) fn named<T>(table: &'static str, parse: fn(&str) -> Option<T>, text: &str) -> Result<T, StoreError> {
    parse(text).ok_or_else(|| StoreError::corrupt(table, "a name that this version does not know"))
}

/// Reads a count that a CHECK of the schema keeps from being negative.
pub(super) fn count(table: &'static str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::corrupt(table, "a negative count"))
}

/// A count as Postgres keeps it. No count of ours comes near 2^63.
pub(super) fn bigint(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Makes sure that a guarded write met just the rows that it was for.
pub(super) fn expect_rows(table: &'static str, written: u64, wanted: usize) -> Result<(), StoreError> {
    if written == wanted as u64 {
        Ok(())
    } else {
        Err(StoreError::corrupt(
            table,
            format_args!("{written} rows were written, not {wanted}"),
        ))
    }
}
