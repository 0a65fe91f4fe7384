//! Reads hash tiles, from which proofs are built.
//!
//! A full tile is a row. A partial tile at the right edge of the tree has no row: on level 0 its hashes are those of
//! the newest entries, above it the roots of the tiles below. At most three short queries, at any size.

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

/// Reads tiles of an account's tree of `size` leaves. Omits tiles that this tree does not have.
///
/// # Errors
/// When Postgres does not answer, or hashes are missing: the ledger is shorter than `size`, or history was removed.
pub async fn load(database: &Database, account: AccountId, ids: &[TileId], size: u64) -> Result<Tiles, StoreError> {
    let mut ids: Vec<_> = ids.iter().copied().filter(|id| id.width(size) > 0).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut tiles = read_all(database, account, &ids, size).await?;
    if !short(&ids, size, &tiles).is_empty() {
        // Between two queries the entries may have been archived, and their hashes moved into a tile.
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

/// Reads the stored part of the tiles, without hashes that were added after the tree had this size.
async fn read_all(database: &Database, account: AccountId, ids: &[TileId], size: u64) -> Result<Tiles, StoreError> {
    let read = database.within("statement", database.timeout(), async |connection| {
        read(connection, account, ids, size).await
    });
    let mut tiles = read.await?;
    for (id, tile) in &mut tiles {
        tile.truncate(id.width(size));
    }
    Ok(tiles)
}

async fn read(
    connection: &mut PgConnection,
    account: AccountId,
    ids: &[TileId],
    size: u64,
) -> Result<Tiles, StoreError> {
    if ids.is_empty() {
        return Ok(Tiles::new());
    }
    let mut tiles = stored(connection, account, ids).await?;
    let (leaves, nodes): (Vec<_>, Vec<_>) = short(ids, size, &tiles).into_iter().partition(|id| id.level == 0);
    for id in leaves {
        let tile = tiles.entry(id).or_default();
        let start = id.index * WIDTH as u64;
        let rest = start + tile.len() as u64..start + id.width(size) as u64;
        tile.extend(hashes(leaf_hashes(connection, account, rest).await?)?);
    }
    if !nodes.is_empty() {
        tiles.extend(roots(connection, account, &nodes).await?);
    }
    Ok(tiles)
}

/// The tiles that have fewer hashes than in a tree of this size: at most one per level.
fn short(ids: &[TileId], size: u64, tiles: &Tiles) -> Vec<TileId> {
    let is_short = |id: &TileId| tiles.get(id).map_or(0, Vec::len) < id.width(size);
    ids.iter().copied().filter(is_short).collect()
}

/// The tiles that have rows.
async fn stored(connection: &mut PgConnection, account: AccountId, ids: &[TileId]) -> Result<Tiles, StoreError> {
    let (levels, indexes) = columns(ids);
    let rows = sqlx::query!(
        r#"SELECT wanted.level AS "level!", wanted.tile_index AS "tile_index!", tile.hashes AS "hashes!"
           FROM unnest($2::smallint[], $3::bigint[]) AS wanted (level, tile_index)
           CROSS JOIN LATERAL (
               SELECT hashes FROM ledger_tile
               WHERE account_id = $1 AND ledger_tile.level = wanted.level AND ledger_tile.tile_index = wanted.tile_index
               OFFSET 0 -- forces a lookup by primary key for each, and never a scan
           ) AS tile"#,
        account.as_str(),
        &levels,
        &indexes,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| tile(row.level, row.tile_index, row.hashes))
        .collect()
}

/// The leaf hashes of entries that are in no full tile.
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

/// Partial tiles above level 0: the roots of the full tiles below each.
async fn roots(connection: &mut PgConnection, account: AccountId, ids: &[TileId]) -> Result<Tiles, StoreError> {
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
    rows.into_iter()
        .map(|row| tile(row.level, row.tile_index, row.hashes))
        .collect()
}

fn columns(ids: &[TileId]) -> (Vec<i16>, Vec<i64>) {
    ids.iter().map(|id| (i16::from(id.level), bigint(id.index))).unzip()
}

fn tile(level: i16, index: i64, bytes: Vec<u8>) -> Result<(TileId, Vec<Hash>), StoreError> {
    let id = TileId {
        level: u8::try_from(level).map_err(|_| StoreError::corrupt(TABLE, "an invalid level"))?,
        index: count(TABLE, index)?,
    };
    Ok((id, hashes(bytes)?))
}
