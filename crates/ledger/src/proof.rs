//! Inclusion and consistency proofs, made from tiles (RFC 6962, sections 2.1.1 and 2.1.2).
//!
//! Each proof takes two calls. The first names the tiles that are needed: O(log n) tiles. The second makes the proof
//! from them. [`check`](super::check) verifies proofs without tiles.

use std::ops::Range;

use crate::{
    merkle::{Frontier, Hash, empty_root, node_hash},
    tile::{HEIGHT, TileId, Tiles, WIDTH, tile_root},
};

/// The proof cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// This tile is missing or too short.
    #[error("tile {} of level {} is missing or incomplete", .0.index, .0.level)]
    Missing(TileId),
    /// The index or the first size is not in the tree.
    #[error("{inner} is not within the tree of {size} entries")]
    Outside {
        /// The index, or the smaller size.
        inner: u64,
        /// The size of the tree.
        size: u64,
    },
}

/// The tiles that [`inclusion`] needs.
pub fn inclusion_tiles(index: u64, size: u64) -> Vec<TileId> {
    inclusion_ranges(index, size).map_or_else(|_| Vec::new(), tiles_of)
}

/// The inclusion proof (audit path) of a leaf in the tree of `size` leaves, the lowest sibling first.
///
/// # Errors
/// If a tile is missing, or `index >= size`.
pub fn inclusion(index: u64, size: u64, tiles: &Tiles) -> Result<Vec<Hash>, ProofError> {
    hashes_of(inclusion_ranges(index, size)?, tiles)
}

/// The tiles that [`consistency`] needs.
pub fn consistency_tiles(first: u64, second: u64) -> Vec<TileId> {
    consistency_ranges(first, second).map_or_else(|_| Vec::new(), tiles_of)
}

/// The proof that the tree of `second` leaves extends the tree of `first` leaves. Empty if `first` is 0 or the sizes
/// are equal.
///
/// # Errors
/// If a tile is missing, or `first > second`.
pub fn consistency(first: u64, second: u64, tiles: &Tiles) -> Result<Vec<Hash>, ProofError> {
    hashes_of(consistency_ranges(first, second)?, tiles)
}

/// The tiles that [`frontier`] and [`root`] need.
pub fn frontier_tiles(size: u64) -> Vec<TileId> {
    tiles_of(std::iter::once(0..size))
}

/// The frontier of the tree of `size` leaves.
///
/// # Errors
/// If a tile is missing.
pub fn frontier(size: u64, tiles: &Tiles) -> Result<Frontier, ProofError> {
    let hashes: Vec<Hash> = subtrees(0..size)
        .map(|subtree| subtree.root(tiles))
        .collect::<Result<_, _>>()?;
    Ok(Frontier::from_hashes(size, hashes).expect("there is one subtree for each bit set in the size"))
}

/// The root of the tree of `size` leaves.
///
/// # Errors
/// If a tile is missing.
pub fn root(size: u64, tiles: &Tiles) -> Result<Hash, ProofError> {
    range_hash(0..size, tiles)
}

/// The split point of RFC 6962: the largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// PATH of RFC 6962, as ranges of leaves. Their hashes lead from the leaf to the root, the lowest first.
fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if index >= size {
        return Err(ProofError::Outside { inner: index, size });
    }
    let (mut start, mut end, mut siblings) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            siblings.push(middle..end);
            end = middle;
        } else {
            siblings.push(start..middle);
            start = middle;
        }
    }
    siblings.reverse();
    Ok(siblings)
}

/// PROOF of RFC 6962, as ranges of leaves. Their hashes lead from the older root to both roots.
fn consistency_ranges(first: u64, second: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if first > second {
        return Err(ProofError::Outside {
            inner: first,
            size: second,
        });
    }
    let (mut start, mut end, mut siblings) = (0, second, Vec::new());
    while first > 0 && end != first {
        let middle = start + split(end - start);
        if first <= middle {
            siblings.push(middle..end);
            end = middle;
        } else {
            siblings.push(start..middle);
            start = middle;
        }
    }
    // If nothing was cut off on the left, the rest is the older tree itself, and the verifier has its root.
    if start > 0 {
        siblings.push(start..end);
    }
    siblings.reverse();
    Ok(siblings)
}

/// A perfect subtree: number `index` among those of its height.
#[derive(Clone, Copy)]
struct Subtree {
    height: u32,
    index: u64,
}

/// The perfect subtrees of a range, the largest first. Only for ranges that RFC 6962 produces.
fn subtrees(range: Range<u64>) -> impl Iterator<Item = Subtree> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let height = (range.end - start).checked_ilog2()?;
        let subtree = Subtree {
            height,
            index: start >> height,
        };
        start += 1 << height;
        Some(subtree)
    })
}

impl Subtree {
    /// The index of its leftmost hash in the level of tiles that holds it.
    fn first_hash(self) -> u64 {
        self.index << (self.height % HEIGHT)
    }

    fn tile(self) -> TileId {
        TileId {
            level: u8::try_from(self.height / HEIGHT).expect("a height is less than 64"),
            index: self.first_hash() / WIDTH as u64,
        }
    }

    fn root(self, tiles: &Tiles) -> Result<Hash, ProofError> {
        let first = usize::try_from(self.first_hash() % WIDTH as u64).expect("it is less than 256");
        tiles
            .get(&self.tile())
            .and_then(|hashes| hashes.get(first..first + (1 << (self.height % HEIGHT))))
            .map(tile_root)
            .ok_or(ProofError::Missing(self.tile()))
    }
}

fn tiles_of(ranges: impl IntoIterator<Item = Range<u64>>) -> Vec<TileId> {
    let mut tiles: Vec<_> = ranges.into_iter().flat_map(subtrees).map(Subtree::tile).collect();
    tiles.sort_unstable();
    tiles.dedup();
    tiles
}

fn hashes_of(ranges: Vec<Range<u64>>, tiles: &Tiles) -> Result<Vec<Hash>, ProofError> {
    ranges.into_iter().map(|range| range_hash(range, tiles)).collect()
}

/// The Merkle tree hash over the leaves of a range.
fn range_hash(range: Range<u64>, tiles: &Tiles) -> Result<Hash, ProofError> {
    let roots: Vec<Hash> = subtrees(range)
        .map(|subtree| subtree.root(tiles))
        .collect::<Result<_, _>>()?;
    let from_the_right = roots.into_iter().rev();
    Ok(from_the_right
        .reduce(|right, left| node_hash(&left, &right))
        .unwrap_or_else(empty_root))
}
