//! Sizes of the ledgers.

use crate::{
    domain::AccountId,
    store::{
        connection::Database,
        error::StoreError,
        rows::{count, parse},
    },
};

/// Reads the number of entries in the ledgers of `accounts` (empty: all), archived ones included, in the order of the accounts.
/// Omits accounts without a ledger.
///
/// # Errors
/// When Postgres does not answer.
pub async fn sizes(database: &Database, accounts: &[AccountId]) -> Result<Vec<(AccountId, u64)>, StoreError> {
    let accounts: Vec<_> = accounts.iter().map(AccountId::to_string).collect();
    let query = sqlx::query!(
        "SELECT account_id, size FROM ledger
         WHERE cardinality($1::text[]) = 0 OR account_id = ANY($1) ORDER BY account_id",
        &accounts,
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    rows.into_iter()
        .map(|row| Ok((parse("ledger", &row.account_id)?, count("ledger", row.size)?)))
        .collect()
}
