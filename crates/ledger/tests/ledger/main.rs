//! The ledger against the definitions: proofs, notes, exports, and every way to tamper with them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod forged;
mod nonsense;
mod notes;
mod proofs;
mod python;
mod tampering;
mod verifying;
mod world;
