//! Proofs from tiles equal those of the definitions in RFC 6962, and prove nothing else.

use std::sync::LazyLock;

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use sharewarden_ledger::{
    Frontier, Hash, TileId, Tiles,
    check::{verify_consistency, verify_inclusion},
    merkle::{empty_root, leaf_hash},
    proof::{ProofError, consistency, consistency_tiles, frontier, frontier_tiles, inclusion, inclusion_tiles, root},
    tile::{WIDTH, tile_root},
};

use crate::fixtures;

static LEAVES: LazyLock<Vec<Hash>> =
    LazyLock::new(|| (0..66_000_u32).map(|index| leaf_hash(&index.to_be_bytes())).collect());
static TILES: LazyLock<Tiles> = LazyLock::new(|| fixtures::tiles(&LEAVES));

fn node(left: Hash, right: Hash) -> Hash {
    Sha256::digest([&[1], left.as_slice(), &right].concat()).into()
}

fn split(leaves: &[Hash]) -> usize {
    leaves.len().next_power_of_two() / 2
}

/// MTH of RFC 6962, section 2.1, over hashes of leaves.
fn defined_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves));
            node(defined_root(left), defined_root(right))
        }
    }
}

/// PATH of RFC 6962, section 2.1.1.
fn defined_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves));
    let (mut path, sibling) = match index.checked_sub(left.len()) {
        None => (defined_path(index, left), right),
        Some(index) => (defined_path(index, right), left),
    };
    path.push(defined_root(sibling));
    path
}

/// SUBPROOF of RFC 6962, section 2.1.2.
fn defined_subproof(first: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if first == leaves.len() {
        return if whole { Vec::new() } else { vec![defined_root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves));
    let (mut proof, sibling) = if first <= left.len() {
        (defined_subproof(first, left, whole), right)
    } else {
        (defined_subproof(first - left.len(), right, false), left)
    };
    proof.push(defined_root(sibling));
    proof
}

/// The named tiles, with their width in a tree of `size`, and no others.
fn only(ids: &[TileId], size: u64) -> Tiles {
    ids.iter()
        .map(|id| (*id, TILES[id][..id.width(size)].to_vec()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn inclusion_proofs_match_the_rfc_definition((size, index) in (1_u64..3000).prop_flat_map(|size| (Just(size), 0..size))) {
        let leaves = &LEAVES[..size as usize];
        let tiles = only(&inclusion_tiles(index, size), size);
        let path = inclusion(index, size, &tiles).unwrap();
        prop_assert_eq!(&path, &defined_path(index as usize, leaves));
        prop_assert!(verify_inclusion(&leaves[index as usize], index, size, &path, &defined_root(leaves)));
    }

    #[test]
    fn consistency_proofs_match_the_rfc_definition((second, first) in (1_u64..3000).prop_flat_map(|size| (Just(size), 1..=size))) {
        let leaves = &LEAVES[..second as usize];
        let tiles = only(&consistency_tiles(first, second), second);
        let proof = consistency(first, second, &tiles).unwrap();
        prop_assert_eq!(&proof, &defined_subproof(first as usize, leaves, true));
        let first_root = defined_root(&leaves[..first as usize]);
        prop_assert!(verify_consistency(first, second, &first_root, &defined_root(leaves), &proof));
    }

    #[test]
    fn root_and_frontier_are_computed_from_the_named_tiles(size in 0_u64..3000) {
        let tiles = only(&frontier_tiles(size), size);
        prop_assert_eq!(root(size, &tiles).unwrap(), defined_root(&LEAVES[..size as usize]));
        prop_assert_eq!(frontier(size, &tiles).unwrap(), fixtures::frontier(&LEAVES[..size as usize]));
    }

    #[test]
    fn a_changed_proof_is_refused(
        (second, first) in (2_u64..600).prop_flat_map(|size| (Just(size), 1..size)),
        (change, bit) in (any::<prop::sample::Index>(), 0_usize..256),
    ) {
        let leaves = &LEAVES[..second as usize];
        let (first_root, second_root) = (defined_root(&leaves[..first as usize]), defined_root(leaves));
        let flip = |hashes: &[Hash]| {
            let mut hashes = hashes.to_vec();
            let at = change.index(hashes.len());
            hashes[at][bit / 8] ^= 1 << (bit % 8);
            hashes
        };
        let leaf = leaves[first as usize];
        let path = inclusion(first, second, &TILES).unwrap();
        prop_assert!(verify_inclusion(&leaf, first, second, &path, &second_root));
        prop_assert!(!verify_inclusion(&leaf, first, second, &flip(&path), &second_root));
        prop_assert!(!verify_inclusion(&leaf, first - 1, second, &path, &second_root));
        prop_assert!(!verify_inclusion(&leaf, first, second, &path[1..], &second_root));
        prop_assert!(!verify_inclusion(&leaf, first, second, &[path.clone(), vec![leaf]].concat(), &second_root));
        prop_assert!(!verify_inclusion(&leaf, first, first, &path, &second_root));

        let proof = consistency(first, second, &TILES).unwrap();
        prop_assert!(verify_consistency(first, second, &first_root, &second_root, &proof));
        prop_assert!(!verify_consistency(first, second, &first_root, &second_root, &flip(&proof)));
        prop_assert!(!verify_consistency(first, second, &flip(&[first_root])[0], &second_root, &proof));
        prop_assert!(!verify_consistency(first, second, &first_root, &flip(&[second_root])[0], &proof));
        prop_assert!(!verify_consistency(first, second, &first_root, &second_root, &proof[1..]));
        prop_assert!(!verify_consistency(first, second, &first_root, &second_root, &[proof.clone(), vec![leaf]].concat()));
        prop_assert!(!verify_consistency(second, first, &first_root, &second_root, &proof));
    }
}

#[test]
fn proofs_verify_around_a_new_level_of_tiles() {
    let mut tree = Frontier::default();
    let roots: Vec<_> = LEAVES
        .iter()
        .map(|leaf| {
            tree.append(*leaf);
            (tree.size() > 65_500 || tree.size() % 256 < 2).then(|| tree.root())
        })
        .collect();
    let root_of = |size: u64| roots[size as usize - 1].unwrap();
    for size in [65_535, 65_536, 65_537, 65_791, 65_792, 65_793, 66_000] {
        let expected = root_of(size);
        assert_eq!(root(size, &only(&frontier_tiles(size), size)).unwrap(), expected);
        for index in [0, 255, 256, 32_768, 65_279, 65_280, size - 1] {
            let tiles = inclusion_tiles(index, size);
            assert!(tiles.len() <= 8, "{} tiles", tiles.len());
            let path = inclusion(index, size, &only(&tiles, size)).unwrap();
            assert!(verify_inclusion(&LEAVES[index as usize], index, size, &path, &expected));
        }
        for first in [1, 256, 257, 40_192, 65_535] {
            let proof = consistency(first, size, &only(&consistency_tiles(first, size), size)).unwrap();
            assert!(verify_consistency(first, size, &root_of(first), &expected, &proof));
        }
    }
}

#[test]
fn a_proof_over_ten_million_entries_needs_at_most_eight_tiles() {
    for (index, size) in [(0, 10_000_000), (9_999_999, 10_000_000), (4_999_999, 9_876_543)] {
        assert!(inclusion_tiles(index, size).len() <= 8);
        assert!(consistency_tiles(index + 1, size).len() <= 8);
        assert!(frontier_tiles(size).len() <= 4);
    }
    assert!(inclusion_tiles(u64::MAX - 1, u64::MAX).len() < 20);
}

#[test]
fn an_index_or_a_size_outside_of_the_tree_has_no_proof() {
    assert_eq!(inclusion(5, 5, &TILES), Err(ProofError::Outside { inner: 5, size: 5 }));
    assert_eq!(
        consistency(6, 5, &TILES),
        Err(ProofError::Outside { inner: 6, size: 5 })
    );
    assert_eq!(inclusion_tiles(5, 5), []);
    assert_eq!(consistency_tiles(6, 5), []);
    let missing = TileId { level: 0, index: 0 };
    assert_eq!(inclusion(0, 2, &Tiles::new()), Err(ProofError::Missing(missing)));
    assert_eq!(
        root(3, &Tiles::from([(missing, LEAVES[..2].to_vec())])),
        Err(ProofError::Missing(missing))
    );
    assert!(!verify_inclusion(&LEAVES[0], 0, 0, &[], &LEAVES[0]));
    assert!(!verify_consistency(1, 2, &LEAVES[0], &LEAVES[0], &[]));
}

#[test]
fn the_proof_for_an_empty_or_equal_tree_is_empty() {
    assert_eq!(consistency(0, 9, &Tiles::new()), Ok(vec![]));
    assert_eq!(consistency(9, 9, &Tiles::new()), Ok(vec![]));
    assert!(verify_consistency(0, 9, &empty_root(), &LEAVES[0], &[]));
    assert!(!verify_consistency(0, 9, &LEAVES[0], &LEAVES[0], &[]));
    assert!(verify_consistency(9, 9, &LEAVES[0], &LEAVES[0], &[]));
    assert!(!verify_consistency(9, 9, &LEAVES[0], &LEAVES[1], &[]));
    assert_eq!(tile_root(&LEAVES[..WIDTH]), defined_root(&LEAVES[..WIDTH]));
}
