//! The Merkle trees of the ledgers, as they are stored: hash tiles and signed checkpoints.

pub mod checkpoints;
pub mod tiles;
