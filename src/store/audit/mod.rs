//! The questions about the history. They only read.
//!
//! Read in this order: [`mod@filter`] (which entries), [`mod@entries`] (a page of them), [`mod@history`] (those of one permission),
//! [`mod@at`] (what was shared at a moment), [`mod@summary`] (counts), [`mod@ranking`] (who asked most, and about what),
//! [`mod@archived`] (what is in files), [`heads`] (how long the ledgers are).

mod archived;
mod at;
mod columns;
mod cover;
mod driver;
mod entries;
mod filter;
mod heads;
mod history;
mod ranking;
mod statement;
mod summary;
mod walk;
mod windows;

pub use crate::store::rows::Order;
pub use archived::{Archived, archived, archived_at};
pub use at::{Share, ShareFilter, shares_at};
pub use entries::{EntryPosition, Found, StoredEntry, entries, entry, range};
pub use filter::EntryFilter;
pub use heads::sizes;
pub use history::history;
pub use ranking::{Ranking, ranking};
pub use summary::{Count, CountQuery, Dimension, Interval, counts};
