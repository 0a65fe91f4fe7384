//! `ledger`: the heads.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    domain::{AccountId, Timestamp},
    ledger::{Frontier, Hash},
    store::StoreError,
};

use super::{bigint, count};

const TABLE: &str = "ledger";

/// The head of an account's ledger.
#[derive(Debug)]
pub(in crate::store) struct Head {
    pub(in crate::store) account: AccountId,
    pub(in crate::store) frontier: Frontier,
    pub(in crate::store) last_recorded_at: Timestamp,
    /// The one that was read.
    pub(in crate::store) version: u64,
}

impl Head {
    /// Reads the columns.
    pub(in crate::store) fn new(
        account: AccountId,
        (size, frontier): (i64, &[u8]),
        last_recorded_at: OffsetDateTime,
        version: i64,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            account,
            frontier: Frontier::from_bytes(count(TABLE, size)?, frontier)
                .map_err(|error| StoreError::corrupt(TABLE, error))?,
            last_recorded_at: Timestamp::new(last_recorded_at),
            version: count(TABLE, version)?,
        })
    }
}

/// Makes an empty ledger for each account that has none.
pub(in crate::store) async fn ensure(connection: &mut PgConnection, accounts: &[&str]) -> Result<(), StoreError> {
    let empty_root = Frontier::default().root();
    sqlx::query!(
        "INSERT INTO ledger (account_id, size, frontier, root, last_recorded_at)
         SELECT account_id, 0, '', $2, clock_timestamp() FROM unnest($1::text[]) AS account_id ORDER BY account_id
         ON CONFLICT DO NOTHING",
        accounts as &[&str],
        &empty_root[..],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks the heads of these accounts, in the order of the accounts, and tells how many there are.
pub(in crate::store) async fn lock(connection: &mut PgConnection, accounts: &[&str]) -> Result<u64, StoreError> {
    let locked = sqlx::query!(
        "SELECT FROM ledger WHERE account_id = ANY($1) ORDER BY account_id FOR UPDATE",
        accounts as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(locked.rows_affected())
}

/// Locks heads, in the order of their accounts, and tells whether all of them are still as they were read.
pub(in crate::store) async fn hold(connection: &mut PgConnection, heads: &Heads<'_>) -> Result<bool, StoreError> {
    let held = sqlx::query_scalar!(
        r#"SELECT count(*) AS "held!" FROM unnest($1::text[], $2::bigint[]) AS head (account_id, version)
           JOIN (SELECT account_id, version FROM ledger WHERE account_id = ANY($1) ORDER BY account_id FOR UPDATE) AS locked
               USING (account_id, version)"#,
        &heads.accounts as &[&str],
        &heads.versions,
    )
    .fetch_one(connection)
    .await?;
    Ok(usize::try_from(held) == Ok(heads.accounts.len()))
}

/// Heads as they are to be, and the versions that were read, column by column.
#[derive(Default)]
pub(in crate::store) struct Heads<'a> {
    pub(in crate::store) accounts: Vec<&'a str>,
    pub(in crate::store) versions: Vec<i64>,
    pub(in crate::store) sizes: Vec<i64>,
    pub(in crate::store) frontiers: Vec<Vec<u8>>,
    pub(in crate::store) roots: Vec<Hash>,
    pub(in crate::store) times: Vec<OffsetDateTime>,
}

impl<'a> Heads<'a> {
    pub(in crate::store) fn of(heads: &'a [Head]) -> Self {
        let mut columns = Self::default();
        for head in heads {
            columns.accounts.push(head.account.as_str());
            columns.versions.push(bigint(head.version));
            columns.sizes.push(bigint(head.frontier.size()));
            columns.frontiers.push(head.frontier.to_bytes());
            columns.roots.push(head.frontier.root());
            columns.times.push(head.last_recorded_at.to_offset_date_time());
        }
        columns
    }
}
