//! The ledger of one account: entries as canonical JSON under one Merkle tree, with proofs and signed checkpoints. No
//! I/O, no async, no clock.
//!
//! An auditor can depend on this package alone. Anyone who has the entries can recompute the root, in any language,
//! without this program. Read in this order:
//!
//! 1. [`envelope`] defines an entry byte for byte. [`merkle`] hashes entries as RFC 6962 does.
//! 2. [`tile`] defines what is stored of the tree. [`proof`] makes proofs from tiles. [`check`] verifies proofs.
//! 3. [`key`], [`note`] and [`checkpoint`]: the signed statement of a ledger's size and root.
//! 4. [`export`] is the file that an auditor keeps. [`verify`] verifies it without trusting it, and names what is
//!    wrong.
//!
//! `Hash`, [`tile::Tiles`] and [`export::Header`] share their names with types of other packages. They keep the
//! terms of the RFC and of the format, and are used with their module's name.

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
