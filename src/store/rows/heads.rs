//! `ledger`: the heads, locked for a batch.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    domain::{AccountId, Timestamp},
    ledger::{Frontier, Hash},
    store::StoreError,
};

use super::{bigint, count, parse};

const TABLE: &str = "ledger";

/// The head of an account's ledger.
#[derive(Debug)]
pub(in crate::store) struct Head {
    pub(in crate::store) account: AccountId,
    pub(in crate::store) frontier: Frontier,
    pub(in crate::store) last_recorded_at: Timestamp,
}

/// Makes an empty ledger for each account that has none.
pub(in crate::store) async fn ensure(connection: &mut PgConnection, accounts: &[String]) -> Result<(), StoreError> {
    let empty_root = Frontier::default().root();
    sqlx::query!(
        "INSERT INTO ledger (account_id, size, frontier, root, last_recorded_at)
         SELECT account_id, 0, '', $2, clock_timestamp() FROM unnest($1::text[]) AS account_id ORDER BY account_id
         ON CONFLICT DO NOTHING",
        accounts,
        &empty_root[..],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Heads that are locked, and since when, on the database's clock; no time without a head.
#[derive(Debug)]
pub(in crate::store) struct Locked {
    pub(in crate::store) heads: Vec<Head>,
    pub(in crate::store) at: Option<Timestamp>,
}

/// Locks the heads of these accounts, in the order of the accounts, and reads them. The time is read after each lock was got,
/// however long that took: what is recorded under them is in the order of these times.
pub(in crate::store) async fn lock(connection: &mut PgConnection, accounts: &[String]) -> Result<Locked, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT account_id, size, frontier, last_recorded_at, clock_timestamp() AS "now!"
           FROM (SELECT account_id, size, frontier, last_recorded_at
                 FROM ledger WHERE account_id = ANY($1) ORDER BY account_id FOR UPDATE) AS locked"#,
        accounts,
    )
    .fetch_all(connection)
    .await?;
    let at = rows.iter().map(|row| Timestamp::new(row.now)).max();
    let heads = rows
        .into_iter()
        .map(|row| {
            let frontier = Frontier::from_bytes(count(TABLE, row.size)?, &row.frontier)
                .map_err(|error| StoreError::corrupt(TABLE, error))?;
            Ok(Head {
                account: parse(TABLE, &row.account_id)?,
                frontier,
                last_recorded_at: Timestamp::new(row.last_recorded_at),
            })
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(Locked { heads, at })
}

/// Heads that were locked in this transaction, as they are to be, column by column.
#[derive(Default)]
pub(in crate::store) struct Heads<'a> {
    pub(in crate::store) accounts: Vec<&'a str>,
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
            columns.sizes.push(bigint(head.frontier.size()));
            columns.frontiers.push(head.frontier.to_bytes());
            columns.roots.push(head.frontier.root());
            columns.times.push(head.last_recorded_at.to_offset_date_time());
        }
        columns
    }

    /// Makes sure that so many heads were saved.
    pub(in crate::store) fn expect(&self, written: i64) -> Result<(), StoreError> {
        super::expect_rows(TABLE, written.cast_unsigned(), self.sizes.len())
    }
}
