//! The tree in tiles of height 8, as in C2SP tlog-tiles. Tiles are stored, so that a proof reads a few of them and
//! hashes no entry again.
//!
//! A tile of level 0 has the hashes of 256 leaves. A tile of level L has the roots of 256 tiles of level L-1. Only
//! the last tile of a level may have fewer hashes.

use std::collections::BTreeMap;

use crate::merkle::{Hash, node_hash};

/// The height of a tile's perfect tree.
pub const HEIGHT: u32 = 8;

/// The number of hashes in a full tile.
pub const WIDTH: usize = 1 << HEIGHT;

/// The coordinates of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0 for hashes of leaves. At most 7.
    pub level: u8,
    /// The index in the level, from 0.
    pub index: u64,
}

/// Loaded tiles. A tile may have fewer hashes than the tree needs; a proof that needs a missing hash fails.
pub type Tiles = BTreeMap<TileId, Vec<Hash>>;

impl TileId {
    /// The number of hashes that this tile has in a tree of `size` leaves.
    pub fn width(self, size: u64) -> usize {
        let before = self.index.saturating_mul(WIDTH as u64);
        let here = hashes_in_level(self.level, size).saturating_sub(before);
        usize::try_from(here).map_or(WIDTH, |here| here.min(WIDTH))
    }
}

/// The number of hashes that a level has in a tree of `size` leaves.
fn hashes_in_level(level: u8, size: u64) -> u64 {
    size.checked_shr(HEIGHT * u32::from(level)).unwrap_or(0)
}

/// The root over the hashes. Their number must be a power of two.
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

/// The tiles that become full when the tree grows, lower levels first: a tile depends only on earlier ones.
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
    fn a_tile_is_completed_by_its_last_hash() {
        assert_eq!(completed(0, 255), []);
        assert_eq!(completed(255, 256), [tile(0, 0)]);
        assert_eq!(completed(256, 511), []);
        assert_eq!(completed(200, 800), [tile(0, 0), tile(0, 1), tile(0, 2)]);
        assert_eq!(completed(65_535, 65_536), [tile(0, 255), tile(1, 0)]);
        assert_eq!(completed(65_536, 65_536), []);
        assert_eq!(completed(9, 3), []);
    }

    #[test]
    fn the_width_of_a_tile_depends_on_the_tree_size() {
        assert_eq!(tile(0, 0).width(70_000), 256);
        assert_eq!(tile(0, 273).width(70_000), 112);
        assert_eq!(tile(0, 274).width(70_000), 0);
        assert_eq!(tile(1, 1).width(70_000), 17);
        assert_eq!(tile(2, 0).width(70_000), 1);
        assert_eq!(tile(255, u64::MAX).width(u64::MAX), 0);
    }

    #[test]
    fn a_tile_root_equals_the_root_over_its_leaves() {
        let hashes: Vec<_> = (0..=u8::MAX).map(|byte| leaf_hash(&[byte])).collect();
        let mut frontier = Frontier::default();
        hashes.iter().for_each(|hash| frontier.append(*hash));
        assert_eq!(tile_root(&hashes), frontier.root());
    }
}
