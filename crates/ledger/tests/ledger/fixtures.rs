//! Test ledgers and their tiles.

use std::time::Duration;

use serde_json::json;
use sharewarden_ledger::{
    AccountId, Checkpoint, Envelope, Frontier, Hash, KeyName, SigningKey, TileId, Tiles, Timestamp, VerifierKey,
    checkpoint,
    export::{ExportWriter, Header},
    merkle::leaf_hash,
    proof,
    tile::{WIDTH, tile_root},
};

/// The key that signs the test checkpoints.
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

/// The tiles of the tree over these leaves. The last tile of each level may be partial.
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

/// The stored entries of a ledger with their hashes.
#[derive(Clone)]
pub(crate) struct TestLedger {
    pub(crate) lines: Vec<String>,
    pub(crate) hashes: Vec<Hash>,
}

impl TestLedger {
    pub(crate) fn of(size: u64) -> Self {
        Self::of_lines((0..size).map(|index| line(account(), index, "a reason")).collect())
    }

    pub(crate) fn of_lines(lines: Vec<String>) -> Self {
        let hashes = lines.iter().map(|line| leaf_hash(line.as_bytes())).collect();
        Self { lines, hashes }
    }

    /// The signed checkpoint over the first `size` entries.
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

    /// An export of the stored entries with this header.
    pub(crate) fn export(&self, header: &Header) -> String {
        let mut out = String::new();
        let mut writer = ExportWriter::begin(header, &mut out).unwrap();
        for index in header.start_index as usize..header.end_index as usize {
            writer.entry(&self.lines[index], &self.hashes[index], &mut out).unwrap();
        }
        out
    }

    /// An export of the whole ledger.
    pub(crate) fn export_all(&self) -> String {
        let size = self.lines.len();
        self.export(&self.header(0, size, size))
    }
}

/// The text of an entry.
pub(crate) fn line(account: AccountId, index: u64, reason: &str) -> String {
    let id = format!("00000000-0000-0000-0000-{index:012x}");
    let body = json!({
        "action": "GRANT",
        "cause": "CALLER",
        "change_id": id,
        "generation": 1,
        "image_id": "wsi-123456789",
        "principal": "tester",
        "reason": reason,
        "region": "eu-central-1",
        "request_id": id,
        "shared_account_id": "210987654321",
    });
    let envelope = Envelope {
        account,
        body,
        kind: "change.requested",
        log_index: index,
        recorded_at: Timestamp::parse("2026-11-22T00:00:00Z").unwrap() + Duration::from_secs(index),
        schema: 1,
        server_version: "0.1.0".into(),
    };
    envelope.encode().unwrap()
}
