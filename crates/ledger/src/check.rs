//! Verifies proofs as RFC 9162 does (sections 2.1.3.2 and 2.1.4.2), from what is given and nothing else.

use super::merkle::{Hash, empty_root, node_hash};

/// True when the path leads from the hash of the leaf at `index` to the root of the tree of `size` leaves.
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

/// True when the proof shows that the tree of `second` leaves begins with the tree of `first` leaves.
#[must_use]
pub fn verify_consistency(first: u64, second: u64, first_root: &Hash, second_root: &Hash, proof: &[Hash]) -> bool {
    match first {
        0 => return proof.is_empty() && *first_root == empty_root(),
        _ if first > second => return false,
        _ if first == second => return proof.is_empty() && first_root == second_root,
        _ => {}
    }
    // The root of a perfect older tree is the place to start from, and is not repeated in the proof.
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

/// The last node of a level may have no sibling: it stands for its parent, up to where it is a right child.
fn climb_to_a_right_child(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}
