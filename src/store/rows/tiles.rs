//! `ledger_tile`: writes the tiles that become full, in the commit that fills them.
//!
//! A tile of level 0 has the leaf hashes of the new entries and of at most 255 entries before them. A tile of a higher
//! level has the roots of the 256 tiles below it. So the cost does not grow with the history.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::{
    domain::AccountId,
    ledger::{
        Hash,
        tile::{TileId, WIDTH, completed, tile_root},
    },
    store::error::StoreError,
};

use super::{bigint, entries::EncodedEntry, parse};

const TABLE: &str = "ledger_tile";

/// The index range of the entries that a commit appends to a ledger.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Appended {
    pub(in crate::store) account: AccountId,
    pub(in crate::store) from: u64,
    pub(in crate::store) to: u64,
}

impl Appended {
    /// True when the entries fill a tile.
    pub(in crate::store) fn fills_a_tile(&self) -> bool {
        !completed(self.from, self.to).is_empty()
    }
}

struct Tile {
    account: AccountId,
    id: TileId,
    hashes: Vec<Hash>,
    root: Hash,
}

/// Writes the tiles that these entries fill. The caller has locked the heads.
pub(in crate::store) async fn extend(
    connection: &mut PgConnection,
    appended: &[Appended],
    entries: &[EncodedEntry<'_>],
) -> Result<(), StoreError> {
    let appended: Vec<_> = appended
        .iter()
        .filter(|appended| appended.fills_a_tile())
        .copied()
        .collect();
    if appended.is_empty() {
        return Ok(());
    }
    let mut partial = partial_tiles(connection, &appended).await?;
    let mut tiles = Vec::new();
    for appended in appended {
        let mut leaves = partial.remove(&appended.account).unwrap_or_default();
        let new = entries
            .iter()
            .filter(|encoded| encoded.entry.account == appended.account);
        leaves.extend(new.map(|encoded| encoded.leaf_hash));
        tiles.extend(fill(connection, appended, &leaves).await?);
    }
    insert(connection, &tiles).await
}

/// The tiles of a ledger that become full. `leaves` starts at the first leaf of the tile that was partial.
async fn fill(connection: &mut PgConnection, appended: Appended, leaves: &[Hash]) -> Result<Vec<Tile>, StoreError> {
    let Appended { account, from, to } = appended;
    let mut tiles: Vec<Tile> = Vec::new();
    for id in completed(from, to) {
        let hashes = if id.level == 0 {
            let offset = (id.index - from / WIDTH as u64) as usize;
            leaves.chunks(WIDTH).nth(offset).unwrap_or_default().to_vec()
        } else {
            let mut roots = full_roots(connection, account, id).await?;
            let new = tiles
                .iter()
                .filter(|below| below.id.level + 1 == id.level && below.id.index / WIDTH as u64 == id.index);
            roots.extend(new.map(|below| below.root));
            roots
        };
        if hashes.len() != WIDTH {
            let problem = format_args!("hashes are missing for {account}, {id:?}");
            return Err(StoreError::corrupt(TABLE, problem));
        }
        let root = tile_root(&hashes);
        tiles.push(Tile {
            account,
            id,
            hashes,
            root,
        });
    }
    Ok(tiles)
}

/// The leaf hashes that are in no full tile yet, by account: archived entries from the partial tile, the others from
/// `audit_entry`.
async fn partial_tiles(
    connection: &mut PgConnection,
    appended: &[Appended],
) -> Result<BTreeMap<AccountId, Vec<Hash>>, StoreError> {
    let accounts: Vec<_> = appended.iter().map(|appended| appended.account.to_string()).collect();
    let tiles: Vec<_> = appended
        .iter()
        .map(|appended| bigint(appended.from / WIDTH as u64))
        .collect();
    let sizes: Vec<_> = appended.iter().map(|appended| bigint(appended.from)).collect();
    let rows = sqlx::query!(
        r#"SELECT ledger.account_id AS "account_id!", coalesce(tile.hashes, '') || coalesce(entries.hashes, '') AS "hashes!"
           FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS ledger (account_id, tile_index, size)
           LEFT JOIN ledger_tile tile
               ON (tile.account_id, tile.level, tile.tile_index) = (ledger.account_id, 0, ledger.tile_index)
           CROSS JOIN LATERAL (
               SELECT string_agg(leaf_hash, '' ORDER BY log_index) AS hashes FROM audit_entry
               WHERE audit_entry.account_id = ledger.account_id AND log_index < ledger.size
                   AND log_index >= ledger.tile_index * 256 + coalesce(octet_length(tile.hashes), 0) / 32
           ) entries"#,
        &accounts,
        &tiles,
        &sizes,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| Ok((parse(TABLE, &row.account_id)?, hashes(row.hashes)?)))
        .collect()
}

/// The roots of the tiles below `above` that were full before this commit.
async fn full_roots(connection: &mut PgConnection, account: AccountId, above: TileId) -> Result<Vec<Hash>, StoreError> {
    let roots = sqlx::query_scalar!(
        r#"SELECT coalesce(string_agg(root, '' ORDER BY tile_index), '') AS "roots!" FROM ledger_tile
           WHERE account_id = $1 AND level = $2 AND tile_index BETWEEN $3::bigint * 256 AND $3::bigint * 256 + 255"#,
        account.as_str(),
        i16::from(above.level) - 1,
        bigint(above.index),
    )
    .fetch_one(connection)
    .await?;
    hashes(roots)
}

/// Writes full tiles. A full tile is never overwritten.
async fn insert(connection: &mut PgConnection, tiles: &[Tile]) -> Result<(), StoreError> {
    let accounts: Vec<_> = tiles.iter().map(|tile| tile.account.to_string()).collect();
    let levels: Vec<_> = tiles.iter().map(|tile| i16::from(tile.id.level)).collect();
    let indexes: Vec<_> = tiles.iter().map(|tile| bigint(tile.id.index)).collect();
    let hashes: Vec<_> = tiles.iter().map(|tile| tile.hashes.concat()).collect();
    let roots: Vec<_> = tiles.iter().map(|tile| tile.root.to_vec()).collect();
    let saved = sqlx::query!(
        "INSERT INTO ledger_tile AS old (account_id, level, tile_index, hashes, root)
         SELECT * FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::bytea[], $5::bytea[])
         ON CONFLICT (account_id, level, tile_index) DO UPDATE SET hashes = excluded.hashes, root = excluded.root
         WHERE old.root IS NULL AND starts_with(encode(excluded.hashes, 'hex'), encode(old.hashes, 'hex'))",
        &accounts,
        &levels,
        &indexes,
        &hashes,
        &roots,
    )
    .execute(connection)
    .await?;
    super::expect_rows(TABLE, saved.rows_affected(), tiles.len())
}

/// Splits concatenated hashes.
pub(in crate::store) fn hashes(bytes: Vec<u8>) -> Result<Vec<Hash>, StoreError> {
    match bytes.as_chunks() {
        (hashes, []) => Ok(hashes.to_vec()),
        _ => Err(StoreError::corrupt(TABLE, "a hash is truncated")),
    }
}
