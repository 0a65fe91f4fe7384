//! The archive files.

use time::OffsetDateTime;

use crate::{
    domain::{AccountId, Timestamp},
    ledger::Hash,
    store::{
        connection::Database,
        error::StoreError,
        rows::{bigint, count, parse},
    },
};

/// An archived part of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// The account of the ledger.
    pub account: AccountId,
    /// The first archived entry.
    pub start_index: u64,
    /// One past the last archived entry.
    pub end_index: u64,
    /// The time of the first entry.
    pub start_time: Timestamp,
    /// The time of the last entry.
    pub end_time: Timestamp,
    /// The location of the file when it was written.
    pub location: String,
    /// The SHA-256 of the file.
    pub sha256: Hash,
}

/// Reads at most `limit` archived parts of `accounts` (empty: all) with entries from `from` to before `to`, archived at
/// `since` or later. The latest first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn archived(
    database: &Database,
    accounts: &[AccountId],
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    since: Option<Timestamp>,
    limit: u32,
) -> Result<Vec<Archived>, StoreError> {
    let accounts: Vec<_> = accounts.iter().map(AccountId::to_string).collect();
    let query = sqlx::query_as!(
        ArchivedRow,
        "SELECT account_id, start_index, end_index, start_time, end_time, location, sha256 FROM audit_archive
         WHERE (cardinality($1::text[]) = 0 OR account_id = ANY($1))
             AND ($2::timestamptz IS NULL OR end_time >= $2) AND ($3::timestamptz IS NULL OR start_time < $3)
             AND ($4::timestamptz IS NULL OR archived_at >= $4)
         ORDER BY start_time DESC, account_id DESC, start_index DESC LIMIT $5",
        &accounts,
        from.map(Timestamp::to_offset_date_time),
        to.map(Timestamp::to_offset_date_time),
        since.map(Timestamp::to_offset_date_time),
        i64::from(limit),
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    rows.into_iter().map(Archived::try_from).collect()
}

/// Reads the archived part that has this entry.
///
/// # Errors
/// When Postgres does not answer.
pub async fn archived_at(
    database: &Database,
    account: AccountId,
    log_index: u64,
) -> Result<Option<Archived>, StoreError> {
    let query = sqlx::query_as!(
        ArchivedRow,
        "SELECT account_id, start_index, end_index, start_time, end_time, location, sha256 FROM audit_archive
         WHERE account_id = $1 AND start_index <= $2 ORDER BY start_index DESC LIMIT 1",
        account.as_str(),
        bigint(log_index),
    );
    let row = database.run(async |conn| query.fetch_optional(conn).await).await?;
    let archived = row.map(Archived::try_from).transpose()?;
    Ok(archived.filter(|archived| log_index < archived.end_index))
}

struct ArchivedRow {
    account_id: String,
    start_index: i64,
    end_index: i64,
    start_time: OffsetDateTime,
    end_time: OffsetDateTime,
    location: String,
    sha256: Vec<u8>,
}

impl TryFrom<ArchivedRow> for Archived {
    type Error = StoreError;

    fn try_from(row: ArchivedRow) -> Result<Self, StoreError> {
        const TABLE: &str = "audit_archive";
        Ok(Self {
            account: parse(TABLE, &row.account_id)?,
            start_index: count(TABLE, row.start_index)?,
            end_index: count(TABLE, row.end_index)?,
            start_time: Timestamp::new(row.start_time),
            end_time: Timestamp::new(row.end_time),
            location: row.location,
            sha256: row
                .sha256
                .try_into()
                .map_err(|_| StoreError::corrupt(TABLE, "sha256 is not 32 bytes long"))?,
        })
    }
}
