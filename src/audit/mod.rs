//! The use cases of auditors: what the audit API means, apart from gRPC. Nothing here changes a ledger.
//!
//! Whatever is read of a ledger is compared with its hash before it is shown.

mod error;

use crate::{clock::Clock, store::Database};

pub use error::Error;

/// The use cases, and what they need.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Where the ledgers are.
    pub database: Database,
    /// Tells the time.
    pub clock: Clock,
}
