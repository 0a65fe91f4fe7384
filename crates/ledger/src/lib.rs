//! The ledger of an account: its entries as canonical text, under one Merkle tree, and what proves it. No I/O, no async, no clock.
//!
//! An auditor can depend on it without the service. Whoever holds the lines can recompute the root, in any language, without this
//! program. Read in this order:
//!
//! 1. [`envelope`] says what an entry looks like, byte for byte; [`merkle`] hashes the lines as RFC 6962 does.
//! 2. [`tile`] cuts the tree into what is stored of it; [`proof`] makes proofs from these tiles; [`check`] verifies them.
//! 3. [`key`], [`note`] and [`checkpoint`]: the signed statement of a ledger's size and root.
//! 4. [`export`] is the file that an auditor takes home; [`verify`] reads it, trusts nothing in it, and names what is wrong.

pub mod check;
pub mod checkpoint;
pub mod envelope;
pub mod export;
pub mod id;
pub mod key;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod tile;
pub mod timestamp;
pub mod verify;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use envelope::{Envelope, OpaqueBody};
pub use id::{AccountId, Invalid, KindName};
pub use key::{KeyName, SigningKey, VerifierKey};
pub use merkle::{Frontier, Hash};
pub use note::Note;
pub use tile::{TileId, Tiles};
pub use timestamp::Timestamp;
