//! The Merkle tree of a ledger, read from its tiles: roots, right edges and proofs. The cost grows with the logarithm of the
//! size.

use std::collections::BTreeSet;

use crate::{
    domain::AccountId,
    ledger::{
        Frontier, Hash, TileId, Tiles, check,
        proof::{self, ProofError},
        tile::WIDTH,
    },
    store::{
        Database, StoreError,
        audit::{self, StoredEntry},
        tiles,
    },
};

use super::{ConsistencyProof, Error, InclusionProof};

/// The tree of an account's ledger at one size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tree<'a> {
    pub(super) database: &'a Database,
    pub(super) account: AccountId,
    pub(super) size: u64,
}

impl Tree<'_> {
    pub(super) async fn root(self) -> Result<Hash, Error> {
        let tiles = self.load(proof::frontier_tiles(self.size), self.size).await?;
        self.or_tampered(proof::root(self.size, &tiles), 0)
    }

    /// The right edge of the tree when it had `size` entries.
    pub(super) async fn frontier(self, size: u64) -> Result<Frontier, Error> {
        let tiles = self.load(proof::frontier_tiles(size), size).await?;
        self.or_tampered(proof::frontier(size, &tiles), size)
    }

    /// Proves that the entry is in the tree. The proof is verified before it is returned.
    pub(super) async fn inclusion(self, index: u64) -> Result<InclusionProof, Error> {
        let leaf_tile = TileId {
            level: 0,
            index: index / WIDTH as u64,
        };
        let needed = [
            proof::inclusion_tiles(index, self.size),
            proof::frontier_tiles(self.size),
            vec![leaf_tile],
        ];
        let tiles = self.load(needed.concat(), index).await?;
        let hashes = self.or_tampered(proof::inclusion(index, self.size, &tiles), index)?;
        let root = self.or_tampered(proof::root(self.size, &tiles), index)?;
        let leaf = tiles
            .get(&leaf_tile)
            .and_then(|hashes| hashes.get((index % WIDTH as u64) as usize));
        let leaf_hash = *leaf.ok_or_else(|| self.tampered(index))?;
        if !check::verify_inclusion(&leaf_hash, index, self.size, &hashes, &root) {
            return Err(self.tampered(index));
        }
        Ok(InclusionProof {
            log_index: index,
            tree_size: self.size,
            leaf_hash,
            hashes,
            root,
            checkpoint: None,
        })
    }

    /// Proves that the tree of the first `first` entries is a prefix of this one. The proof is verified before it is returned.
    pub(super) async fn consistency(self, first: u64) -> Result<ConsistencyProof, Error> {
        let needed = [
            proof::consistency_tiles(first, self.size),
            proof::frontier_tiles(self.size),
            proof::frontier_tiles(first),
        ];
        let tiles = self.load(needed.concat(), first).await?;
        let hashes = self.or_tampered(proof::consistency(first, self.size, &tiles), first)?;
        let first_root = self.or_tampered(proof::root(first, &tiles), first)?;
        let second_root = self.or_tampered(proof::root(self.size, &tiles), first)?;
        if !check::verify_consistency(first, self.size, &first_root, &second_root, &hashes) {
            return Err(self.tampered(first));
        }
        Ok(ConsistencyProof {
            first_size: first,
            second_size: self.size,
            hashes,
            first_root,
            second_root,
        })
    }

    /// The root of the tree of the first `first` entries, and the root of this tree.
    pub(super) async fn roots(self, first: u64) -> Result<(Hash, Hash), Error> {
        let needed = [proof::frontier_tiles(self.size), proof::frontier_tiles(first)];
        let tiles = self.load(needed.concat(), first).await?;
        let first_root = self.or_tampered(proof::root(first, &tiles), first)?;
        Ok((first_root, self.or_tampered(proof::root(self.size, &tiles), first)?))
    }

    /// Loads tiles. The ledger had this size, so a missing hash is tampering.
    async fn load(self, mut ids: Vec<TileId>, log_index: u64) -> Result<Tiles, Error> {
        ids.sort_unstable();
        ids.dedup();
        match tiles::load(self.database, self.account, &ids, self.size).await {
            Err(StoreError::Corrupt { .. }) => {
                let missing = self.first_missing_at_edge().await?;
                Err(self.tampered(missing.unwrap_or(log_index)))
            }
            loaded => Ok(loaded?),
        }
    }

    /// The first missing entry after the last full tile.
    async fn first_missing_at_edge(self) -> Result<Option<u64>, Error> {
        let start = self.size - self.size % WIDTH as u64;
        let index = |entry: StoredEntry<'_>| entry.log_index;
        let (account, size) = (self.account, self.size);
        let present = audit::range(self.database, account, start, size, WIDTH as u32, usize::MAX, index).await?;
        let present: BTreeSet<_> = present.into_iter().collect();
        for index in (start..self.size).filter(|index| !present.contains(index)) {
            if audit::archived_at(self.database, self.account, index).await?.is_none() {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn or_tampered<T>(self, result: Result<T, ProofError>, log_index: u64) -> Result<T, Error> {
        result.map_err(|_| self.tampered(log_index))
    }

    fn tampered(self, log_index: u64) -> Error {
        Error::Tampered {
            account: self.account,
            log_index: log_index.min(self.size.saturating_sub(1)),
        }
    }
}
