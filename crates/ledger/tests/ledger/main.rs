//! Tests of the ledger against the specifications: proofs, notes, exports, and every kind of tampering.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod fixtures;
mod forged;
mod notes;
mod proofs;
mod python;
mod random_input;
mod tampering;
mod verifying;
