//! Archived months: the files verify, proofs of their entries still work, and ledgers continue after them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod archived;
mod deletion;
mod history;
mod refusals;
