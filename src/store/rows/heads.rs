//! `ledger`: the heads, locked for a batch.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    domain::{AccountId, Timestamp},
    ledger::Frontier,
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

/// Saves heads that were locked in this transaction.
pub(in crate::store) async fn save(connection: &mut PgConnection, heads: &[Head]) -> Result<(), StoreError> {
    let accounts: Vec<_> = heads.iter().map(|head| head.account.to_string()).collect();
    let sizes: Vec<_> = heads.iter().map(|head| bigint(head.frontier.size())).collect();
    let frontiers: Vec<_> = heads.iter().map(|head| head.frontier.to_bytes()).collect();
    let roots: Vec<_> = heads.iter().map(|head| head.frontier.root().to_vec()).collect();
    let times: Vec<OffsetDateTime> = heads
        .iter()
        .map(|head| head.last_recorded_at.to_offset_date_time())
        .collect();
    let saved = sqlx::query!(
        "UPDATE ledger SET size = new.size, frontier = new.frontier, root = new.root, last_recorded_at = new.last_recorded_at
         FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[], $5::timestamptz[])
             AS new (account_id, size, frontier, root, last_recorded_at)
         WHERE ledger.account_id = new.account_id",
        &accounts,
        &sizes,
        &frontiers,
        &roots,
        &times,
    )
    .execute(connection)
    .await?;
    super::expect_rows(TABLE, saved.rows_affected(), heads.len())
}
