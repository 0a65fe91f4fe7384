//! Queries on the history.
//!
//! Read in this order: [`mod@filter`] (which entries), [`mod@entries`] (pages of entries), [`mod@at`] (shares at a
//! point in time), [`mod@summary`] (counts), [`mod@ranking`] (top principals, images and accounts), [`mod@archived`]
//! (archive files), [`heads`] (sizes of the ledgers), [`absent`] (entries that are missing).

mod absent;
mod archived;
mod at;
mod columns;
mod cover;
mod driver;
mod entries;
mod filter;
mod heads;
mod ranking;
mod statement;
mod summary;
mod walk;
mod windows;

pub use crate::store::rows::Order;
pub use absent::{CompleteList, Edge, Stretch, first_absent};
pub use archived::{Archived, archived, archived_at};
pub use at::{Share, ShareFilter, SharePosition, grants_at, shares_at};
pub use entries::{EntryPosition, EntryRows, PageLimit, StoredEntry, entries, entry, range};
pub use filter::{Column, Condition, EntryFilter};
pub use heads::sizes;
pub use ranking::{Ranking, ranking};
pub use summary::{Count, CountQuery, Dimension, Interval, counts};
