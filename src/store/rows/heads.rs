//! `ledger`: the heads of the ledgers.

use sqlx::PgConnection;

use crate::{
    domain::{AccountId, Timestamp},
    ledger::Frontier,
    store::error::StoreError,
};

use super::{
    bigint, count, parse,
    table::{Bigint, Bytea, Text, Timestamptz},
};

const TABLE: &str = "ledger";

/// The head of an account's ledger.
#[derive(Debug)]
pub(in crate::store) struct Head {
    pub(in crate::store) account: AccountId,
    pub(in crate::store) frontier: Frontier,
    pub(in crate::store) last_recorded_at: Timestamp,
    /// The version that was read.
    pub(in crate::store) version: u64,
}

super::table::row! {
    /// A head to read.
    HeadRow;
    account_id: Text,
    version: Bigint,
    size: Bigint,
    frontier: Bytea,
    root: Bytea,
    last_recorded_at: Timestamptz,
}

impl TryFrom<HeadRow> for Head {
    type Error = StoreError;

    /// A tree is not built on a right edge that does not give the root. At most 63 hashes.
    fn try_from(row: HeadRow) -> Result<Self, StoreError> {
        let account = parse(TABLE, &row.account_id)?;
        let size = count(TABLE, row.size)?;
        let frontier = Frontier::from_bytes(size, &row.frontier).map_err(|error| StoreError::corrupt(TABLE, error))?;
        if frontier.root()[..] != row.root {
            return Err(StoreError::Tampered {
                account,
                log_index: size.saturating_sub(1),
            });
        }
        Ok(Self {
            account,
            frontier,
            last_recorded_at: Timestamp::new(row.last_recorded_at),
            version: count(TABLE, row.version)?,
        })
    }
}

/// Inserts an empty ledger for each account that has none.
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

/// Locks the heads of these accounts in the order of the accounts. Returns how many exist.
pub(in crate::store) async fn lock(connection: &mut PgConnection, accounts: &[&str]) -> Result<u64, StoreError> {
    let locked = sqlx::query!(
        "SELECT FROM ledger WHERE account_id = ANY($1) ORDER BY account_id FOR UPDATE",
        accounts as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(locked.rows_affected())
}

/// Locks heads in the order of their accounts. Returns whether all have the version that was read.
pub(in crate::store) async fn hold(connection: &mut PgConnection, heads: &[Head]) -> Result<bool, StoreError> {
    let accounts: Vec<_> = heads.iter().map(|head| head.account.as_str()).collect();
    let versions: Vec<_> = heads.iter().map(|head| bigint(head.version)).collect();
    let held = sqlx::query_scalar!(
        r#"SELECT count(*) AS "held!" FROM unnest($1::text[], $2::bigint[]) AS head (account_id, version)
           JOIN (SELECT account_id, version FROM ledger WHERE account_id = ANY($1) ORDER BY account_id FOR UPDATE) AS locked
               USING (account_id, version)"#,
        &accounts as &[&str],
        &versions,
    )
    .fetch_one(connection)
    .await?;
    Ok(usize::try_from(held) == Ok(heads.len()))
}

super::table::rows! {
    /// Heads to save, with the versions that were read.
    rows Heads of head: &'a Head;
    #[key] account_id: Text = head.account.as_str(),
    version: Bigint = bigint(head.version),
    #[moves] size: Bigint = bigint(head.frontier.size()),
    #[moves] frontier: Bytea = head.frontier.to_bytes(),
    #[moves] root: Bytea = head.frontier.root().to_vec(),
    #[moves] last_recorded_at: Timestamptz = head.last_recorded_at.to_offset_date_time(),
}
