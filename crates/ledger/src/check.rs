//! Verifies inclusion and consistency proofs as in RFC 9162, sections 2.1.3.2 and 2.1.4.2.

use crate::merkle::{Hash, empty_root, node_hash};

/// True if `path` is an inclusion proof (audit path) of the leaf at `index` in the tree with `size` leaves and this
/// root.
#[must_use]
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            climb_to_a_right_child(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// True if `proof` shows that the tree of `second` leaves extends the tree of `first` leaves.
#[must_use]
pub fn verify_consistency(first: u64, second: u64, first_root: &Hash, second_root: &Hash, proof: &[Hash]) -> bool {
    match first {
        0 => return proof.is_empty() && *first_root == empty_root(),
        _ if first > second => return false,
        _ if first == second => return proof.is_empty() && first_root == second_root,
        _ => {}
    }
    // If `first` is a power of two, the older root is itself the first hash, and the proof omits it.
    let start = first.is_power_of_two().then_some(first_root);
    let mut hashes = start.into_iter().chain(proof);
    let Some(start) = hashes.next() else {
        return false;
    };
    let (mut node, mut last) = (first - 1, second - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut older, mut newer) = (*start, *start);
    for sibling in hashes {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            older = node_hash(sibling, &older);
            newer = node_hash(sibling, &newer);
            climb_to_a_right_child(&mut node, &mut last);
        } else {
            newer = node_hash(&newer, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && older == *first_root && newer == *second_root
}

/// Moves up while the node is the last of its level without a sibling: such a node equals its parent.
fn climb_to_a_right_child(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}
