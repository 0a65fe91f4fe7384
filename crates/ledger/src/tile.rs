//! The tree cut into tiles, as C2SP tlog-tiles lays them out, height 8: what is stored of the tree so that a proof is made
//! of a few of them, and no entry is hashed again.
//!
//! A tile of level 0 has the hashes of 256 leaves; one of level L the roots of 256 tiles of level L-1. Only the last tile of
//! a level can have fewer.

use std::collections::BTreeMap;

use super::merkle::{Hash, node_hash};

/// A tile is a perfect tree of this height.
pub const HEIGHT: u32 = 8;

/// A full tile has so many hashes.
pub const WIDTH: usize = 1 << HEIGHT;

/// Names a tile of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0 for the hashes of leaves, up to 7.
    pub level: u8,
    /// Its place in the level, from 0.
    pub index: u64,
}

/// Tiles at hand. One may have fewer hashes than it will, or than it has in the tree that is asked about.
pub type Tiles = BTreeMap<TileId, Vec<Hash>>;

impl TileId {
    /// How many hashes it has in a tree of `size` leaves.
    pub fn width(self, size: u64) -> usize {
        let before = self.index.saturating_mul(WIDTH as u64);
        let here = hashes_in_level(self.level, size).saturating_sub(before);
        usize::try_from(here).map_or(WIDTH, |here| here.min(WIDTH))
    }
}

/// How many hashes a level has in a tree of `size` leaves.
fn hashes_in_level(level: u8, size: u64) -> u64 {
    size.checked_shr(HEIGHT * u32::from(level)).unwrap_or(0)
}

/// The root over the hashes of a full tile; in general over any hashes whose number is a power of two.
pub fn tile_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [hash] => *hash,
        [left, right] => node_hash(left, right),
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&tile_root(left), &tile_root(right))
        }
    }
}

/// The tiles that become full when a tree grows, the lower levels first: what a tile needs is in those before it.
pub fn completed(old_size: u64, new_size: u64) -> Vec<TileId> {
    let full = |level, size| hashes_in_level(level, size) / WIDTH as u64;
    (0..u8::MAX)
        .take_while(|level| full(*level, new_size) > 0)
        .flat_map(|level| (full(level, old_size)..full(level, new_size)).map(move |index| TileId { level, index }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frontier, merkle::leaf_hash};

    fn tile(level: u8, index: u64) -> TileId {
        TileId { level, index }
    }

    #[test]
    fn a_tile_is_complete_when_its_last_hash_is_there() {
        assert_eq!(completed(0, 255), []);
        assert_eq!(completed(255, 256), [tile(0, 0)]);
        assert_eq!(completed(256, 511), []);
        assert_eq!(completed(200, 800), [tile(0, 0), tile(0, 1), tile(0, 2)]);
        assert_eq!(completed(65_535, 65_536), [tile(0, 255), tile(1, 0)]);
        assert_eq!(completed(65_536, 65_536), []);
        assert_eq!(completed(9, 3), []);
    }

    #[test]
    fn the_widths_of_tiles_are_those_of_the_tree() {
        assert_eq!(tile(0, 0).width(70_000), 256);
        assert_eq!(tile(0, 273).width(70_000), 112);
        assert_eq!(tile(0, 274).width(70_000), 0);
        assert_eq!(tile(1, 1).width(70_000), 17);
        assert_eq!(tile(2, 0).width(70_000), 1);
        assert_eq!(tile(255, u64::MAX).width(u64::MAX), 0);
    }

    #[test]
    fn the_root_of_a_tile_is_the_root_of_its_leaves() {
        let hashes: Vec<_> = (0..=u8::MAX).map(|byte| leaf_hash(&[byte])).collect();
        let mut frontier = Frontier::default();
        hashes.iter().for_each(|hash| frontier.append(*hash));
        assert_eq!(tile_root(&hashes), frontier.root());
    }
}
