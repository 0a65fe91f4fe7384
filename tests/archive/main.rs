//! Old months go into files, and what they held can still be proven, asked for and gone on from.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod archived;
mod deletion;
mod history;
mod refusals;
