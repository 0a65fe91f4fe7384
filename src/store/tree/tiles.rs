//! Reading hash tiles: what proofs are made of.
//!
//! A full tile is a row. What is at the right edge of the tree is in no row yet: the hashes of the newest entries are in the
//! history, and those of a higher level are the roots of the tiles below. Three short queries at most, whatever the size.

use std::ops::Range;

use sqlx::PgConnection;

use crate::{
    domain::AccountId,
    ledger::{
        Hash,
        tile::{TileId, Tiles, WIDTH},
    },
    store::{
        connection::Database,
        error::StoreError,
        rows::{bigint, count, tiles::hashes},
    },
};

const TABLE: &str = "ledger_tile";

/// Reads tiles of an account's tree, as they are when the tree has `size` leaves; those that it does not have then are left out.
///
/// # Errors
/// When Postgres does not answer, or hashes are missing: the ledger is shorter than `size`, or history was removed.
pub async fn load(database: &Database, account: AccountId, ids: &[TileId], size: u64) -> Result<Tiles, StoreError> {
    let mut ids: Vec<_> = ids.iter().copied().filter(|id| id.width(size) > 0).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut tiles = read_all(database, account, &ids, size).await?;
    if !short(&ids, size, &tiles).is_empty() {
        // Between two of the queries the entries may have been archived, and their hashes have gone into a tile.
        tiles = read_all(database, account, &ids, size).await?;
    }
    match short(&ids, size, &tiles).first() {
        None => Ok(tiles),
        Some(id) => {
            let problem = format_args!("hashes are missing for {account}, {id:?} of a tree of {size}");
            Err(StoreError::corrupt(TABLE, problem))
        }
    }
}

/// What is there of the tiles, without what was added after the tree had this size.
async fn read_all(database: &Database, account: AccountId, ids: &[TileId], size: u64) -> Result<Tiles, StoreError> {
    let read = database.run(async |connection| read(connection, account, ids, size).await);
    let mut tiles = read.await??;
    for (id, tile) in &mut tiles {
        tile.truncate(id.width(size));
    }
    Ok(tiles)
}

/// A tile and what is in it, or that its row makes no sense.
type Read<T> = Result<Result<T, StoreError>, sqlx::Error>;

async fn read(connection: &mut PgConnection, account: AccountId, ids: &[TileId], size: u64) -> Read<Tiles> {
    if ids.is_empty() {
        return Ok(Ok(Tiles::new()));
    }
    let mut tiles = match stored(connection, account, ids).await? {
        Ok(tiles) => tiles,
        failed => return Ok(failed),
    };
    let (leaves, nodes): (Vec<_>, Vec<_>) = short(ids, size, &tiles).into_iter().partition(|id| id.level == 0);
    for id in leaves {
        let tile = tiles.entry(id).or_default();
        let start = id.index * WIDTH as u64;
        let rest = start + tile.len() as u64..start + id.width(size) as u64;
        match hashes(leaf_hashes(connection, account, rest).await?) {
            Ok(rest) => tile.extend(rest),
            Err(failed) => return Ok(Err(failed)),
        }
    }
    if !nodes.is_empty() {
        match roots(connection, account, &nodes).await? {
            Ok(roots) => tiles.extend(roots),
            failed => return Ok(failed),
        }
    }
    Ok(Ok(tiles))
}

/// Those that have fewer hashes yet than they have in a tree of this size: at most one in each level.
fn short(ids: &[TileId], size: u64, tiles: &Tiles) -> Vec<TileId> {
    let is_short = |id: &TileId| tiles.get(id).map_or(0, Vec::len) < id.width(size);
    ids.iter().copied().filter(is_short).collect()
}

/// The tiles that are rows.
async fn stored(connection: &mut PgConnection, account: AccountId, ids: &[TileId]) -> Read<Tiles> {
    let (levels, indexes) = columns(ids);
    let rows = sqlx::query!(
        r#"SELECT wanted.level AS "level!", wanted.tile_index AS "tile_index!", tile.hashes AS "hashes!"
           FROM unnest($2::smallint[], $3::bigint[]) AS wanted (level, tile_index)
           CROSS JOIN LATERAL (
               SELECT hashes FROM ledger_tile
               WHERE account_id = $1 AND ledger_tile.level = wanted.level AND ledger_tile.tile_index = wanted.tile_index
               OFFSET 0 -- one look by the primary key for each: never a walk over all tiles
           ) AS tile"#,
        account.as_str(),
        &levels,
        &indexes,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| tile(row.level, row.tile_index, row.hashes))
        .collect())
}

/// The hashes of entries that are in no full tile.
async fn leaf_hashes(
    connection: &mut PgConnection,
    account: AccountId,
    range: Range<u64>,
) -> Result<Vec<u8>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(string_agg(leaf_hash, '' ORDER BY log_index), '') AS "hashes!"
           FROM audit_entry WHERE account_id = $1 AND log_index >= $2 AND log_index < $3"#,
        account.as_str(),
        bigint(range.start),
        bigint(range.end),
    )
    .fetch_one(connection)
    .await
}

/// Tiles above the leaves that are not full: the roots of the full tiles below each.
async fn roots(connection: &mut PgConnection, account: AccountId, ids: &[TileId]) -> Read<Tiles> {
    let (levels, indexes) = columns(ids);
    let rows = sqlx::query!(
        r#"SELECT wanted.level AS "level!", wanted.tile_index AS "tile_index!", below.hashes AS "hashes!"
           FROM unnest($2::smallint[], $3::bigint[]) AS wanted (level, tile_index)
           CROSS JOIN LATERAL (
               SELECT string_agg(root, '' ORDER BY tile_index) AS hashes FROM ledger_tile
               WHERE account_id = $1 AND ledger_tile.level = wanted.level - 1 AND root IS NOT NULL
                   AND ledger_tile.tile_index BETWEEN wanted.tile_index * 256 AND wanted.tile_index * 256 + 255
           ) AS below
           WHERE below.hashes IS NOT NULL"#,
        account.as_str(),
        &levels,
        &indexes,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| tile(row.level, row.tile_index, row.hashes))
        .collect())
}

fn columns(ids: &[TileId]) -> (Vec<i16>, Vec<i64>) {
    ids.iter().map(|id| (i16::from(id.level), bigint(id.index))).unzip()
}

fn tile(level: i16, index: i64, bytes: Vec<u8>) -> Result<(TileId, Vec<Hash>), StoreError> {
    let id = TileId {
        level: u8::try_from(level).map_err(|_| StoreError::corrupt(TABLE, "a level that cannot be"))?,
        index: count(TABLE, index)?,
    };
    Ok((id, hashes(bytes)?))
}
