//! Writing and reading of tiles, and changes that have ended.

use sharewarden::{
    clock::Clock,
    domain::{
        Action, ChangeFailure, FailureReason, Timestamp,
        transition::{Command, Work, WorkOutcome},
    },
    ledger::{
        Frontier, Hash,
        merkle::leaf_hash,
        proof,
        tile::{TileId, Tiles, WIDTH},
    },
    store::{CommitError, StoreError, tiles},
};

use crate::store::*;

const ACCOUNT: &str = "111122223333";
const OTHER: &str = "000000000001";

#[tokio::test]
async fn a_tile_is_written_in_the_commit_that_fills_it_and_never_before() {
    let store = Store::open().await;
    let mut size = 0;
    for more in [1, 254, 1, 1, 300, 0, 700, 23] {
        tokio::join!(store.refuse(ACCOUNT, more), store.refuse(OTHER, more / 2));
        size += more;
        for (account, size) in [(ACCOUNT, size), (OTHER, store.size(OTHER).await)] {
            let leaves = store.leaves(account).await;
            assert_eq!(leaves.len(), size);
            let rows = store.leaf_tiles(account).await;
            let expected: Vec<_> = leaves.as_chunks::<WIDTH>().0.iter().map(|tile| tile.concat()).collect();
            assert_eq!(rows, expected, "{account} at {size}");
        }
    }
    store.close().await;
}

#[tokio::test]
async fn the_root_at_any_size_is_computed_from_loaded_tiles() {
    let store = Store::open().await;
    store.refuse(ACCOUNT, 1300).await;
    let leaves = store.leaves(ACCOUNT).await;
    let mut frontier = Frontier::default();
    let account = ACCOUNT.parse().unwrap();
    for (before, leaf) in leaves.iter().enumerate() {
        frontier.append(*leaf);
        let size = before as u64 + 1;
        if ![1, 2, 255, 256, 257, 511, 512, 768, 1024, 1279, 1280, 1281, 1299, 1300].contains(&size) {
            continue;
        }
        let tiles = tiles::load(&store.database, account, &proof::frontier_tiles(size), size)
            .await
            .unwrap();
        assert_eq!(proof::root(size, &tiles), Ok(frontier.root()), "{size}");
        // Tiles are loaded as they are in a tree of this size, not of the current size.
        let all = every_tile(size);
        let tiles = tiles::load(&store.database, account, &all, size).await.unwrap();
        assert_eq!(tiles, tiles_of_leaves(&leaves[..size as usize]), "{size}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_missing_hash_is_an_error() {
    let store = Store::open().await;
    store.refuse(ACCOUNT, 300).await;
    let account = ACCOUNT.parse().unwrap();
    let beyond = tiles::load(&store.database, account, &every_tile(301), 301).await;
    assert!(matches!(beyond, Err(StoreError::Corrupt { .. })), "{beyond:?}");

    store.execute("DELETE FROM ledger_tile").await;
    // The entries still have these leaf hashes. The hash of the full tile is gone.
    let leaves = every_tile(255);
    assert!(tiles::load(&store.database, account, &leaves, 300).await.is_ok());
    let missing = tiles::load(&store.database, account, &every_tile(300), 300).await;
    assert!(matches!(missing, Err(StoreError::Corrupt { .. })), "{missing:?}");
    store.tamper("DELETE FROM audit_entry WHERE log_index = 299").await;
    let missing = tiles::load(&store.database, account, &[TileId { level: 0, index: 1 }], 300).await;
    assert!(matches!(missing, Err(StoreError::Corrupt { .. })), "{missing:?}");
    store.close().await;
}

/// Most entries of this ledger are archived, and only their hashes remain.
#[tokio::test]
async fn tiles_of_every_level_are_computed_without_archived_entries() {
    let store = Store::open().await;
    let archived = 65_536 - 100;
    let mut leaves: Vec<Hash> = (0..archived)
        .map(|index: u32| leaf_hash(&index.to_be_bytes()))
        .collect();
    store.archive(ACCOUNT, &leaves).await;
    for more in [60, 30, 300] {
        store.refuse(ACCOUNT, more).await;
        leaves.truncate(archived as usize);
        leaves.extend(store.leaves(ACCOUNT).await);
        let size = leaves.len() as u64;
        let account = ACCOUNT.parse().unwrap();
        let tiles = tiles::load(&store.database, account, &every_tile(size), size)
            .await
            .unwrap();
        assert_eq!(tiles, tiles_of_leaves(&leaves), "{size}");
        let root: Vec<u8> = sqlx::query_scalar("SELECT root FROM ledger")
            .fetch_one(&store.pool)
            .await
            .unwrap();
        assert_eq!(proof::root(size, &tiles).unwrap().to_vec(), root);
    }
    let high: Vec<(i16, i64)> =
        sqlx::query_as("SELECT level, tile_index FROM ledger_tile WHERE level > 0 ORDER BY level, tile_index")
            .fetch_all(&store.pool)
            .await
            .unwrap();
    assert_eq!(high, [(1, 0)]);
    store.close().await;
}

#[tokio::test]
async fn a_change_that_has_ended_never_changes() {
    let mut store = Store::open().await;
    let work = work_on_ended_change(&mut store).await;
    let before: String = store.change().await;
    for outcome in [
        WorkOutcome::Succeeded,
        WorkOutcome::Failed {
            failure: refused(),
            observed: None,
        },
    ] {
        let settled = store.committer.commit(settle(&work, outcome)).await;
        assert_eq!(settled, Err(CommitError::Rejected));
    }
    assert_eq!(store.change().await, before);
    assert_eq!(store.size(ACCOUNT).await, 1, "no entry was recorded");
    store.close().await;
}

/// The connection cache keeps the connection for the next batch. The clock stands still, so nothing closes it.
#[tokio::test]
async fn a_batch_that_fails_leaves_no_lock_behind() {
    let start = Timestamp::parse("2026-11-25T00:00:00Z").unwrap();
    let mut store = Store::open_on(Clock::manual(start)).await;
    let work = work_on_ended_change(&mut store).await;
    let settled = store.committer.commit(settle(&work, WorkOutcome::Succeeded)).await;
    assert_eq!(settled, Err(CommitError::Rejected));
    store
        .execute("BEGIN; SET LOCAL lock_timeout = '10s'; SELECT FROM ledger FOR UPDATE; COMMIT")
        .await;
    store.close().await;
}

/// Work on a change that a manual statement has ended. The committer never causes this state.
async fn work_on_ended_change(store: &mut Store) -> Work {
    let opened = Command::Open(intent(key(ACCOUNT, OTHER), Action::Grant, "ann"));
    store.committer.commit(opened).await.unwrap();
    store
        .execute("UPDATE change SET state = 'SUCCEEDED', ended_at = created_at")
        .await;
    store.take_work().remove(0)
}

fn refused() -> ChangeFailure {
    ChangeFailure {
        reason: FailureReason::UpstreamRefused,
        code: None,
        message: None,
    }
}

/// All tiles of a tree of this size.
fn every_tile(size: u64) -> Vec<TileId> {
    let levels = 0..3u8;
    levels
        .flat_map(|level| {
            let ids = (0..).map(move |index| TileId { level, index });
            ids.take_while(|id| id.width(size) > 0).collect::<Vec<_>>()
        })
        .collect()
}

/// The tiles of a tree, computed from its leaves.
fn tiles_of_leaves(leaves: &[Hash]) -> Tiles {
    let mut tiles = Tiles::new();
    let mut hashes = leaves.to_vec();
    for level in 0..3 {
        for (index, tile) in (0..).zip(hashes.chunks(WIDTH)) {
            tiles.insert(TileId { level, index }, tile.to_vec());
        }
        hashes = hashes.as_chunks::<WIDTH>().0.iter().map(|tile| root(tile)).collect();
    }
    tiles
}

fn root(leaves: &[Hash]) -> Hash {
    frontier(leaves).root()
}

fn frontier(leaves: &[Hash]) -> Frontier {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    frontier
}

impl Store {
    async fn size(&self, account: &str) -> usize {
        let size: Option<i64> = sqlx::query_scalar("SELECT size FROM ledger WHERE account_id = $1")
            .bind(account)
            .fetch_optional(&self.pool)
            .await
            .unwrap();
        size.unwrap_or(0) as usize
    }

    async fn leaves(&self, account: &str) -> Vec<Hash> {
        let query = "SELECT leaf_hash FROM audit_entry WHERE account_id = $1 ORDER BY log_index";
        let leaves: Vec<Vec<u8>> = sqlx::query_scalar(query)
            .bind(account)
            .fetch_all(&self.pool)
            .await
            .unwrap();
        leaves.iter().map(|leaf| leaf[..].try_into().unwrap()).collect()
    }

    /// The stored tiles of level 0.
    async fn leaf_tiles(&self, account: &str) -> Vec<Vec<u8>> {
        let query = "SELECT hashes FROM ledger_tile WHERE account_id = $1 AND level = 0 ORDER BY tile_index";
        sqlx::query_scalar(query)
            .bind(account)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    async fn change(&self) -> String {
        sqlx::query_scalar("SELECT change::text FROM change")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Changes history as a superuser, bypassing the triggers.
    async fn tamper(&self, sql: &str) {
        self.execute(&format!(
            "BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT"
        ))
        .await;
    }

    /// Makes a ledger with a head and tiles, and without entries.
    async fn archive(&self, account: &str, leaves: &[Hash]) {
        let frontier = frontier(leaves);
        sqlx::query("INSERT INTO ledger VALUES ($1, $2, $3, $4, now())")
            .bind(account)
            .bind(leaves.len() as i64)
            .bind(frontier.to_bytes())
            .bind(frontier.root().to_vec())
            .execute(&self.pool)
            .await
            .unwrap();
        for (index, tile) in leaves.chunks(WIDTH).enumerate() {
            sqlx::query("INSERT INTO ledger_tile VALUES ($1, 0, $2, $3, $4)")
                .bind(account)
                .bind(index as i64)
                .bind(tile.concat())
                .bind((tile.len() == WIDTH).then(|| root(tile).to_vec()))
                .execute(&self.pool)
                .await
                .unwrap();
        }
    }
}
