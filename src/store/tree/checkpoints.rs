//! Signed checkpoints of the ledgers: kept, found, and given the signatures of witnesses.

use std::time::Duration;

use std::collections::HashSet;

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

const TABLE: &str = "ledger_checkpoint";

/// A checkpoint that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Whose ledger it is about.
    pub account: AccountId,
    /// How many entries it covers.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The signed note.
    pub note: String,
    /// When it was signed.
    pub signed_at: Timestamp,
}

/// A ledger that has grown since its last checkpoint; or has shrunk or has another root, which it never should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grown {
    /// Whose ledger it is.
    pub account: AccountId,
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// Its latest checkpoint.
    pub signed: Option<StoredCheckpoint>,
}

/// Keeps checkpoints in one commit, but for those of a size that there is one of: the first one stays. Tells whose were kept; an
/// account has one of them at most.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn save(database: &Database, checkpoints: &[StoredCheckpoint]) -> Result<HashSet<AccountId>, StoreError> {
    let each = || checkpoints.iter();
    let accounts: Vec<_> = each().map(|one| one.account.to_string()).collect();
    let sizes: Vec<_> = each().map(|one| bigint(one.size)).collect();
    let roots: Vec<_> = each().map(|one| one.root.to_vec()).collect();
    let notes: Vec<_> = each().map(|one| one.note.clone()).collect();
    let times: Vec<_> = each().map(|one| one.signed_at.to_offset_date_time()).collect();
    let query = sqlx::query_scalar!(
        "INSERT INTO ledger_checkpoint (account_id, size, root, note, signed_at)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::text[], $5::timestamptz[])
         ON CONFLICT DO NOTHING RETURNING account_id",
        &accounts,
        &sizes,
        &roots,
        &notes,
        &times,
    );
    let kept = database
        .run(async |connection| query.fetch_all(connection).await)
        .await?;
    kept.iter().map(|account| parse(TABLE, account)).collect()
}

/// The latest checkpoint of a ledger.
///
/// # Errors
/// When Postgres does not answer.
pub async fn latest(database: &Database, account: AccountId) -> Result<Option<StoredCheckpoint>, StoreError> {
    let query = sqlx::query_as!(
        Row,
        "SELECT account_id, size, root, note, signed_at FROM ledger_checkpoint
         WHERE account_id = $1 ORDER BY size DESC LIMIT 1",
        account.as_str(),
    );
    let row = database
        .run(async |connection| query.fetch_optional(connection).await)
        .await?;
    row.map(StoredCheckpoint::try_from).transpose()
}

/// The checkpoint of a ledger when it had this size.
///
/// # Errors
/// When Postgres does not answer.
pub async fn of_size(
    database: &Database,
    account: AccountId,
    size: u64,
) -> Result<Option<StoredCheckpoint>, StoreError> {
    let query = sqlx::query_as!(
        Row,
        "SELECT account_id, size, root, note, signed_at FROM ledger_checkpoint WHERE account_id = $1 AND size = $2",
        account.as_str(),
        bigint(size),
    );
    let row = database
        .run(async |connection| query.fetch_optional(connection).await)
        .await?;
    row.map(StoredCheckpoint::try_from).transpose()
}

/// The latest checkpoint of a ledger from when it was smaller than this.
///
/// # Errors
/// When Postgres does not answer.
pub async fn before(
    database: &Database,
    account: AccountId,
    size: u64,
) -> Result<Option<StoredCheckpoint>, StoreError> {
    let query = sqlx::query_as!(
        Row,
        "SELECT account_id, size, root, note, signed_at FROM ledger_checkpoint
         WHERE account_id = $1 AND size < $2 ORDER BY size DESC LIMIT 1",
        account.as_str(),
        bigint(size),
    );
    let row = database
        .run(async |connection| query.fetch_optional(connection).await)
        .await?;
    row.map(StoredCheckpoint::try_from).transpose()
}

/// At most `limit` of the ledgers that are not as their last checkpoint has them: they have grown, or somebody has changed them.
/// One walk over the heads, and one look into the checkpoints' key for each.
///
/// # Errors
/// When Postgres does not answer.
pub async fn grown(database: &Database, limit: u32) -> Result<Vec<Grown>, StoreError> {
    let query = sqlx::query!(
        r#"SELECT ledger.account_id, ledger.size, ledger.root, signed.size AS "signed_size?", signed.root AS "signed_root?",
               signed.note AS "note?", signed.signed_at AS "signed_at?"
           FROM ledger
           LEFT JOIN LATERAL (
               SELECT size, root, note, signed_at FROM ledger_checkpoint checkpoint
               WHERE checkpoint.account_id = ledger.account_id ORDER BY size DESC LIMIT 1
           ) signed ON true
           WHERE ledger.size <> coalesce(signed.size, 0) OR ledger.root <> signed.root
           ORDER BY ledger.last_recorded_at LIMIT $1"#,
        i64::from(limit),
    );
    let rows = database
        .run(async |connection| query.fetch_all(connection).await)
        .await?;
    rows.into_iter()
        .map(|row| {
            let account = parse("ledger", &row.account_id)?;
            let signed = match (row.signed_size, row.signed_root, row.note, row.signed_at) {
                (Some(size), Some(root), Some(note), Some(signed_at)) => Some(StoredCheckpoint {
                    account,
                    size: count(TABLE, size)?,
                    root: hash(&root)?,
                    note,
                    signed_at: Timestamp::new(signed_at),
                }),
                _ => None,
            };
            Ok(Grown {
                account,
                size: count("ledger", row.size)?,
                root: hash(&row.root)?,
                signed,
            })
        })
        .collect()
}

/// For how long the oldest growth of any ledger was not signed for, by the database's clock; zero when all of it is. One walk over the
/// heads, with a look into two keys for each that has grown.
///
/// # Errors
/// When Postgres does not answer.
pub async fn unsigned_for(database: &Database) -> Result<Duration, StoreError> {
    let query = sqlx::query!(
        r#"SELECT coalesce(extract(epoch FROM statement_timestamp() - min(coalesce(first.recorded_at, ledger.last_recorded_at))), 0)::float8
               AS "age!"
           FROM ledger
           LEFT JOIN LATERAL (
               SELECT size FROM ledger_checkpoint checkpoint
               WHERE checkpoint.account_id = ledger.account_id ORDER BY size DESC LIMIT 1
           ) signed ON true
           LEFT JOIN LATERAL (
               SELECT recorded_at FROM audit_entry entry
               WHERE entry.account_id = ledger.account_id AND entry.log_index = coalesce(signed.size, 0) LIMIT 1
           ) first ON true
           WHERE ledger.size > coalesce(signed.size, 0)"#
    );
    let row = database
        .run(async |connection| query.fetch_one(connection).await)
        .await?;
    Ok(Duration::try_from_secs_f64(row.age).unwrap_or_default())
}

/// Puts a note with more signatures in the place of `old`. False when it was not done: the note there is not `old` (any more), or
/// `new` is not `old` with more lines.
///
/// # Errors
/// When Postgres does not answer.
pub async fn countersign(
    database: &Database,
    account: AccountId,
    size: u64,
    old: &str,
    new: &str,
) -> Result<bool, StoreError> {
    // A note ends with its signatures: whatever is added to it leaves the text, and the signatures there are, as they were.
    if !old.ends_with('\n') || !new.starts_with(old) {
        return Ok(false);
    }
    let query = sqlx::query!(
        "UPDATE ledger_checkpoint SET note = $4 WHERE account_id = $1 AND size = $2 AND note = $3",
        account.as_str(),
        bigint(size),
        old,
        new,
    );
    let updated = database.run(async |connection| query.execute(connection).await).await?;
    Ok(updated.rows_affected() == 1)
}

struct Row {
    account_id: String,
    size: i64,
    root: Vec<u8>,
    note: String,
    signed_at: OffsetDateTime,
}

impl TryFrom<Row> for StoredCheckpoint {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            account: parse(TABLE, &row.account_id)?,
            size: count(TABLE, row.size)?,
            root: hash(&row.root)?,
            note: row.note,
            signed_at: Timestamp::new(row.signed_at),
        })
    }
}

fn hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    bytes
        .try_into()
        .map_err(|_| StoreError::corrupt(TABLE, "a hash of another length"))
}
