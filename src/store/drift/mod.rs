//! The comparison of AWS with the ledger: its progress, what it has seen once, and what it has found.
//!
//! [`scans`] has the progress for each account and Region, and [`images`] what is known of one image before AWS is
//! asked, and what a look at it showed. [`findings`] are the confirmed differences, [`overview`] what they come to, and
//! [`requests`] what somebody asks for. [`trail`] is how far CloudTrail was read, and [`events`] compares its events with what is
//! on record. Findings and events are written by the committer only. Everything else here can be lost: the next scan sees it
//! again.

pub mod baselines;
pub mod events;
pub mod findings;
pub mod images;
pub mod overview;
pub mod requests;
pub mod scans;
pub mod trail;

/// The first build that knows drift. An older one would leave a finding open when a change resolves it.
const FIRST_BUILD: i64 = 10;

/// The first build that knows adoptions. An older one cannot read the cause of such a change.
const BUILD_WITH_ADOPTIONS: i64 = 11;
