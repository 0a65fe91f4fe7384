//! Ledgers to export, and the tiles of trees.

use std::{sync::Arc, time::Duration};

use sharewarden::{
    domain::{
        AccountId, Action, Body, Cause, ChangeBody, ChangeId, Entry, Intent, PermissionKey, RequestId, Timestamp,
    },
    ledger::{
        Checkpoint, Frontier, Hash, KeyName, SigningKey, TileId, Tiles, VerifierKey, checkpoint, encode,
        export::{Header, Writer},
        merkle::leaf_hash,
        proof,
        tile::{WIDTH, tile_root},
    },
};
use uuid::Uuid;

/// The key that signs the tests' checkpoints.
pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(name(), &[7; 32])
}

pub(crate) fn name() -> KeyName {
    "sharewarden.example/test".parse().unwrap()
}

pub(crate) fn keys() -> Vec<VerifierKey> {
    vec![key().verifier_key()]
}

pub(crate) fn account() -> AccountId {
    "000011112222".parse().unwrap()
}

/// The tiles of the tree over these leaves, the last of each level as wide as it is.
pub(crate) fn tiles(leaves: &[Hash]) -> Tiles {
    let mut tiles = Tiles::new();
    let mut hashes = leaves.to_vec();
    for level in 0.. {
        let chunks = hashes.chunks(WIDTH).zip(0..);
        tiles.extend(chunks.map(|(chunk, index)| (TileId { level, index }, chunk.to_vec())));
        hashes = hashes.chunks_exact(WIDTH).map(tile_root).collect();
        if hashes.is_empty() {
            return tiles;
        }
    }
    tiles
}

pub(crate) fn frontier(leaves: &[Hash]) -> Frontier {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    frontier
}

/// What a store holds of a ledger: lines, their hashes, and checkpoints.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) lines: Vec<String>,
    pub(crate) hashes: Vec<Hash>,
}

impl Ledger {
    pub(crate) fn of(size: u64) -> Self {
        Self::of_lines((0..size).map(|index| line(account(), index, "a reason")).collect())
    }

    pub(crate) fn of_lines(lines: Vec<String>) -> Self {
        let hashes = lines.iter().map(|line| leaf_hash(line.as_bytes())).collect();
        Self { lines, hashes }
    }

    /// The note of the checkpoint over the first `size` entries.
    pub(crate) fn checkpoint(&self, size: usize) -> String {
        let checkpoint = Checkpoint {
            origin: checkpoint::origin(&name(), account()),
            size: size as u64,
            root: frontier(&self.hashes[..size]).root(),
        };
        checkpoint.sign(&key()).unwrap().to_string()
    }

    /// The header of an export under a checkpoint over `size` entries.
    pub(crate) fn header(&self, start: usize, end: usize, size: usize) -> Header {
        let tiles = tiles(&self.hashes[..size]);
        Header {
            account: account(),
            start_index: start as u64,
            end_index: end as u64,
            checkpoint: self.checkpoint(size),
            left_hashes: frontier(&self.hashes[..start]).hashes().to_vec(),
            consistency_proof: proof::consistency(end as u64, size as u64, &tiles).unwrap(),
        }
    }

    /// An export of what is stored, under that header.
    pub(crate) fn export(&self, header: &Header) -> String {
        let mut out = String::new();
        let mut writer = Writer::begin(header, &mut out).unwrap();
        for index in header.start_index as usize..header.end_index as usize {
            writer.entry(&self.lines[index], &self.hashes[index], &mut out).unwrap();
        }
        out
    }

    /// An export of all of it.
    pub(crate) fn export_all(&self) -> String {
        let size = self.lines.len();
        self.export(&self.header(0, size, size))
    }
}

/// The text of an entry.
pub(crate) fn line(account: AccountId, index: u64, reason: &str) -> String {
    let entry = Entry {
        account,
        log_index: index,
        recorded_at: Timestamp::parse("2026-11-22T00:00:00Z").unwrap() + Duration::from_secs(index),
        body: Body::ChangeRequested(ChangeBody {
            intent: Arc::new(Intent {
                change_id: ChangeId(Uuid::from_u128(index.into())),
                request_id: RequestId(Uuid::from_u128(index.into())),
                key: PermissionKey {
                    account,
                    region: "eu-central-1".parse().unwrap(),
                    image: "wsi-123456789".parse().unwrap(),
                    shared_account: "210987654321".parse().unwrap(),
                },
                action: Action::Grant,
                cause: Cause::Caller,
                principal: "tester".parse().unwrap(),
                reason: reason.parse().unwrap(),
                ticket: None,
                trace_id: None,
            }),
            generation: Some(1),
            previous: None,
            attempts: Vec::new(),
            failure: None,
            denied_by: None,
        }),
    };
    encode(&entry, "0.1.0").unwrap()
}
