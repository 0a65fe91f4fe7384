//! The tree of a ledger, by its tiles: roots, right edges and proofs, at a cost that grows with the logarithm of its size.

use std::collections::BTreeSet;

use crate::{
    domain::AccountId,
    ledger::{
        Frontier, Hash, TileId, Tiles, check,
        proof::{self, ProofError},
        tile::WIDTH,
    },
    store::{Database, StoreError, audit, tiles},
};

use super::{ConsistencyProof, Error, InclusionProof};

/// The ledger of an account at one size of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tree<'a> {
    pub(super) database: &'a Database,
    pub(super) account: AccountId,
    pub(super) size: u64,
}

impl Tree<'_> {
    pub(super) async fn root(self) -> Result<Hash, Error> {
        let tiles = self.load(proof::frontier_tiles(self.size), self.size).await?;
        self.made(proof::root(self.size, &tiles), 0)
    }

    /// The right edge of the tree when it had `size` entries.
    pub(super) async fn frontier(self, size: u64) -> Result<Frontier, Error> {
        let tiles = self.load(proof::frontier_tiles(size), size).await?;
        self.made(proof::frontier(size, &tiles), size)
    }

    /// Proves that the entry is in the tree; what the tiles say is verified before it is told.
    pub(super) async fn inclusion(self, index: u64) -> Result<InclusionProof, Error> {
        let place = TileId {
            level: 0,
            index: index / WIDTH as u64,
        };
        let needed = [
            proof::inclusion_tiles(index, self.size),
            proof::frontier_tiles(self.size),
            vec![place],
        ];
        let tiles = self.load(needed.concat(), index).await?;
        let hashes = self.made(proof::inclusion(index, self.size, &tiles), index)?;
        let root = self.made(proof::root(self.size, &tiles), index)?;
        let leaf = tiles
            .get(&place)
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

    /// Proves that the tree of `first` entries is the beginning of this one; what the tiles say is verified before it is told.
    pub(super) async fn consistency(self, first: u64) -> Result<ConsistencyProof, Error> {
        let needed = [
            proof::consistency_tiles(first, self.size),
            proof::frontier_tiles(self.size),
            proof::frontier_tiles(first),
        ];
        let tiles = self.load(needed.concat(), first).await?;
        let hashes = self.made(proof::consistency(first, self.size, &tiles), first)?;
        let first_root = self.made(proof::root(first, &tiles), first)?;
        let second_root = self.made(proof::root(self.size, &tiles), first)?;
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

    /// The roots of the tree of `first` entries, which this one leads on from, and of this one.
    pub(super) async fn roots(self, first: u64) -> Result<(Hash, Hash), Error> {
        let needed = [proof::frontier_tiles(self.size), proof::frontier_tiles(first)];
        let tiles = self.load(needed.concat(), first).await?;
        let first_root = self.made(proof::root(first, &tiles), first)?;
        Ok((first_root, self.made(proof::root(self.size, &tiles), first)?))
    }

    /// Hashes that are not there were there: the ledger had this size.
    async fn load(self, mut ids: Vec<TileId>, asked: u64) -> Result<Tiles, Error> {
        ids.sort_unstable();
        ids.dedup();
        match tiles::load(self.database, self.account, &ids, self.size).await {
            Err(StoreError::Corrupt { .. }) => {
                let missing = self.first_missing_at_edge().await?;
                Err(self.tampered(missing.unwrap_or(asked)))
            }
            loaded => Ok(loaded?),
        }
    }

    /// The first entry that is gone of those whose hashes are in no full tile.
    async fn first_missing_at_edge(self) -> Result<Option<u64>, Error> {
        let start = self.size - self.size % WIDTH as u64;
        let entries = audit::range(self.database, self.account, start, self.size, WIDTH as u32).await?;
        let there: BTreeSet<_> = entries.iter().map(|entry| entry.log_index).collect();
        for index in (start..self.size).filter(|index| !there.contains(index)) {
            if audit::archived_at(self.database, self.account, index).await?.is_none() {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn made<T>(self, result: Result<T, ProofError>, asked: u64) -> Result<T, Error> {
        result.map_err(|_| self.tampered(asked))
    }

    fn tampered(self, log_index: u64) -> Error {
        Error::Tampered {
            account: self.account,
            log_index: log_index.min(self.size.saturating_sub(1)),
        }
    }
}
