//! The use cases of auditors: what the audit API means, apart from gRPC. Nothing here changes a ledger.
//!
//! Whatever is read of a ledger is compared with its hash before it is shown: [`entry`] does that. [`list`] has pages of
//! entries and single ones, [`shares`] what was shared at a moment, [`summary`] counts and rankings.

mod entry;
mod error;
mod list;
mod shares;
mod summary;

use crate::{clock::Clock, store::Database};

pub use entry::AuditEntry;
pub use error::Error;
pub use list::EntryPage;
pub use shares::SharePage;
pub use summary::{MOST_COUNTS, Summary, SummaryQuery};

/// The use cases, and what they need.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Where the ledgers are.
    pub database: Database,
    /// Tells the time.
    pub clock: Clock,
}
