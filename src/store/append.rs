//! Adding lines to ledgers: the lines themselves, and all that is kept up to date with them in the same commit.

use sqlx::PgConnection;

use super::{
    StoreError,
    rows::{
        entries::{self, Line},
        heads::{self, Head},
        intervals, rankings, rollups,
        tiles::{self, Growth},
    },
};

/// Adds lines to ledgers whose heads are locked. The lines of an account are in their order; `heads` are as they are after them,
/// and `growths` say from where to where.
///
/// Four statements, one more each when a change was accepted or refused, for grants and for revokes that succeeded, and two when
/// a tile is full; however many lines there are.
pub(super) async fn append(
    connection: &mut PgConnection,
    lines: &[Line<'_>],
    heads: &[Head],
    growths: &[Growth],
) -> Result<(), StoreError> {
    // Before the lines: the tiles take from the table what was there before.
    tiles::extend(connection, growths, lines).await?;
    entries::append(connection, lines).await?;
    rollups::count(connection, lines).await?;
    rankings::count(connection, lines).await?;
    intervals::record(connection, lines).await?;
    heads::save(connection, heads).await
}
