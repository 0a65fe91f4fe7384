//! The Merkle tree hash of RFC 6962, section 2.1. Only the right edge of the tree is kept: it suffices to append a
//! leaf and to compute the root in O(log n).

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The hash of a leaf: `SHA-256(0x00 || leaf)`.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Reads a hash that [`hex`] wrote: 64 lower-case hexadecimal digits.
pub fn parse_hash(text: &str) -> Option<Hash> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let pairs: &[_; 32] = pairs.try_into().ok()?;
    let digit = |letter: u8| match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    };
    let mut hash = Hash::default();
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(hash)
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
pub(super) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The root of a tree without leaves: SHA-256 of the empty string.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The right edge of a tree: the roots of its perfect subtrees, the largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

/// The bytes are not the frontier of a tree of this size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frontier of a tree of {size} leaves cannot have {bytes} bytes")]
pub struct InvalidFrontier {
    size: u64,
    bytes: usize,
}

impl Frontier {
    /// Parses [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// If the number of hashes differs from the number of bits set in `size`.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Result<Self, InvalidFrontier> {
        let (subtrees, rest) = bytes.as_chunks::<32>();
        match rest {
            [] => Self::from_hashes(size, subtrees.to_vec()),
            _ => Err(InvalidFrontier {
                size,
                bytes: bytes.len(),
            }),
        }
    }

    /// The tree of `size` leaves with these perfect subtrees, the largest first.
    ///
    /// # Errors
    /// If the number of hashes differs from the number of bits set in `size`.
    pub fn from_hashes(size: u64, subtrees: Vec<Hash>) -> Result<Self, InvalidFrontier> {
        if subtrees.len() != size.count_ones() as usize {
            return Err(InvalidFrontier {
                size,
                bytes: 32 * subtrees.len(),
            });
        }
        Ok(Self { size, subtrees })
    }

    /// The roots of the perfect subtrees, the largest first.
    pub fn hashes(&self) -> &[Hash] {
        &self.subtrees
    }

    /// The hashes, concatenated.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.subtrees.concat()
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf, given by its hash.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self
                .subtrees
                .pop()
                .expect("there is one subtree for each bit set in the size");
            hash = node_hash(&left, &hash);
        }
        self.subtrees.push(hash);
        self.size += 1;
    }

    /// The root. For an empty tree [`empty_root`].
    pub fn root(&self) -> Hash {
        let mut subtrees = self.subtrees.iter().rev();
        match subtrees.next() {
            None => empty_root(),
            Some(smallest) => subtrees.fold(*smallest, |right, left| node_hash(left, &right)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition of MTH in RFC 6962, section 2.1.
    fn defined_root(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => leaf_hash(leaf),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash(&defined_root(&leaves[..split]), &defined_root(&leaves[split..]))
            }
        }
    }

    #[test]
    fn roots_match_the_certificate_transparency_test_vectors() {
        let leaves: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[
                0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f,
            ],
        ];
        let mut frontier = Frontier::default();
        assert_eq!(
            hex(&frontier.root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        frontier.append(leaf_hash(leaves[0]));
        assert_eq!(
            hex(&frontier.root()),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        leaves[1..].iter().for_each(|leaf| frontier.append(leaf_hash(leaf)));
        assert_eq!(
            hex(&frontier.root()),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    proptest! {
        #[test]
        fn the_frontier_root_matches_the_rfc_definition(leaves in proptest::collection::vec(any::<Vec<u8>>(), 0..130)) {
            let mut frontier = Frontier::default();
            for leaf in &leaves {
                frontier.append(leaf_hash(leaf));
                frontier = Frontier::from_bytes(frontier.size(), &frontier.to_bytes()).unwrap();
            }
            prop_assert_eq!(frontier.root(), defined_root(&leaves));
        }
    }

    #[test]
    fn a_hash_is_read_from_64_lower_case_digits_only() {
        let hash: Hash = std::array::from_fn(|index| (index * 8) as u8);
        let text = hex(&hash);
        assert_eq!(parse_hash(&text), Some(hash));
        for wrong in [
            "",
            &text[2..],
            &text[1..],
            &format!("{text}00"),
            &text.to_uppercase(),
            &text.replace('0', "g"),
        ] {
            assert_eq!(parse_hash(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_frontier_with_the_wrong_number_of_bytes_is_refused() {
        assert!(Frontier::from_bytes(3, &[0; 32]).is_err());
        assert!(Frontier::from_bytes(1, &[0; 31]).is_err());
    }
}
