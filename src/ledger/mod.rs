//! The ledger of an account: its entries as canonical text, under one Merkle tree. Pure.
//!
//! [`encoding`] says what an entry looks like, byte for byte; [`merkle`] hashes the lines as RFC 6962 does. Whoever holds the
//! lines can recompute the root, in any language, without this program.

pub mod encoding;
pub mod merkle;
pub mod tile;

pub use encoding::encode;
pub use merkle::{Frontier, Hash};
