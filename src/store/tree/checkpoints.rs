//! Signed checkpoints of the ledgers: stores them, finds them, and adds signatures of witnesses.

use std::{collections::HashSet, time::Duration};

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

/// A signed checkpoint to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCheckpoint {
    /// The account of the ledger.
    pub account: AccountId,
    /// The size of the tree: the number of entries.
    pub size: u64,
    /// The root hash of the tree.
    pub root: Hash,
    /// The signed note.
    pub note: String,
}

/// A signed checkpoint, as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The account of the ledger.
    pub account: AccountId,
    /// The size of the tree: the number of entries.
    pub size: u64,
    /// The root hash of the tree.
    pub root: Hash,
    /// The signed note.
    pub note: String,
    /// When it was stored, on the database's clock.
    pub signed_at: Timestamp,
}

/// A ledger that has grown since its last checkpoint. Also one that has shrunk or has another root, which never happens without
/// tampering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grown {
    /// The account of the ledger.
    pub account: AccountId,
    /// Its number of entries.
    pub size: u64,
    /// Its root hash.
    pub root: Hash,
    /// Its latest checkpoint.
    pub signed: Option<StoredCheckpoint>,
}

/// Stores checkpoints in one commit, at most one per account. Their time is the database's. A checkpoint that already
/// exists for an
/// account and size stays. Returns the accounts whose checkpoints were stored.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn save(database: &Database, checkpoints: &[NewCheckpoint]) -> Result<HashSet<AccountId>, StoreError> {
    let each = || checkpoints.iter();
    let accounts: Vec<_> = each().map(|one| one.account.to_string()).collect();
    let sizes: Vec<_> = each().map(|one| bigint(one.size)).collect();
    let roots: Vec<_> = each().map(|one| one.root.to_vec()).collect();
    let notes: Vec<_> = each().map(|one| one.note.clone()).collect();
    let query = sqlx::query_scalar!(
        "INSERT INTO ledger_checkpoint (account_id, size, root, note, signed_at)
         SELECT *, clock_timestamp() FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::text[])
         ON CONFLICT DO NOTHING RETURNING account_id",
        &accounts,
        &sizes,
        &roots,
        &notes,
    );
    let kept = database.run(async |conn| query.fetch_all(conn).await).await?;
    kept.iter().map(|account| parse(TABLE, account)).collect()
}

/// The latest checkpoint of a ledger.
///
/// # Errors
/// When Postgres does not answer.
pub async fn latest(database: &Database, account: AccountId) -> Result<Option<StoredCheckpoint>, StoreError> {
    before(database, account, u64::MAX).await
}

/// The checkpoint of a ledger at this size.
///
/// # Errors
/// When Postgres does not answer.
pub async fn of_size(
    database: &Database,
    account: AccountId,
    size: u64,
) -> Result<Option<StoredCheckpoint>, StoreError> {
    let query = sqlx::query_as!(
        CheckpointRow,
        "SELECT account_id, size, root, note, signed_at FROM ledger_checkpoint WHERE account_id = $1 AND size = $2",
        account.as_str(),
        bigint(size),
    );
    let row = database.run(async |conn| query.fetch_optional(conn).await).await?;
    row.map(StoredCheckpoint::try_from).transpose()
}

/// The latest checkpoint of a ledger below this size.
///
/// # Errors
/// When Postgres does not answer.
pub async fn before(
    database: &Database,
    account: AccountId,
    size: u64,
) -> Result<Option<StoredCheckpoint>, StoreError> {
    let query = sqlx::query_as!(
        CheckpointRow,
        "SELECT account_id, size, root, note, signed_at FROM ledger_checkpoint
         WHERE account_id = $1 AND size < $2 ORDER BY size DESC LIMIT 1",
        account.as_str(),
        bigint(size),
    );
    let row = database.run(async |conn| query.fetch_optional(conn).await).await?;
    row.map(StoredCheckpoint::try_from).transpose()
}

/// The latest checkpoint of each ledger, at most `limit` of those with accounts after `after`, in the order of the accounts.
///
/// # Errors
/// When Postgres does not answer.
pub async fn latest_of_each(
    database: &Database,
    after: Option<AccountId>,
    limit: u32,
) -> Result<Vec<StoredCheckpoint>, StoreError> {
    let query = sqlx::query_as!(
        CheckpointRow,
        "SELECT DISTINCT ON (account_id) account_id, size, root, note, signed_at FROM ledger_checkpoint
         WHERE account_id > $1 ORDER BY account_id, size DESC LIMIT $2",
        after.as_ref().map_or("", AccountId::as_str),
        i64::from(limit),
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    rows.into_iter().map(StoredCheckpoint::try_from).collect()
}

/// At most `limit` ledgers that differ from their last checkpoint, of `accounts` if given. One scan of the heads, with one lookup
/// by key for each.
///
/// # Errors
/// When Postgres does not answer.
pub async fn grown(database: &Database, accounts: Option<&[AccountId]>, limit: u32) -> Result<Vec<Grown>, StoreError> {
    let accounts = accounts.map(|accounts| accounts.iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>());
    let query = sqlx::query!(
        r#"SELECT ledger.account_id, ledger.size, ledger.root, signed.size AS "signed_size?", signed.root AS "signed_root?",
               signed.note AS "note?", signed.signed_at AS "signed_at?"
           FROM ledger
           LEFT JOIN LATERAL (
               SELECT size, root, note, signed_at FROM ledger_checkpoint checkpoint
               WHERE checkpoint.account_id = ledger.account_id ORDER BY size DESC LIMIT 1
           ) signed ON true
           WHERE (ledger.size <> coalesce(signed.size, 0) OR ledger.root <> signed.root)
               AND ($2::text[] IS NULL OR ledger.account_id = ANY($2))
           ORDER BY ledger.last_recorded_at LIMIT $1"#,
        i64::from(limit),
        accounts.as_deref(),
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
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

/// The age of the oldest entry that no checkpoint covers, by the database's clock; zero if there is none. One scan of
/// the heads, with two lookups by key for each ledger that has grown.
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
    let row = database.run(async |conn| query.fetch_one(conn).await).await?;
    Ok(Duration::try_from_secs_f64(row.age).unwrap_or_default())
}

/// Replaces the note `old` by `new`, which has more signatures. False if the stored note is not `old`, or `new` is not
/// `old` with more lines.
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
    // A note ends with its signatures, so an appended line changes neither the text nor the other signatures.
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
    let updated = database.run(async |conn| query.execute(conn).await).await?;
    Ok(updated.rows_affected() == 1)
}

struct CheckpointRow {
    account_id: String,
    size: i64,
    root: Vec<u8>,
    note: String,
    signed_at: OffsetDateTime,
}

impl TryFrom<CheckpointRow> for StoredCheckpoint {
    type Error = StoreError;

    fn try_from(row: CheckpointRow) -> Result<Self, StoreError> {
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
        .map_err(|_| StoreError::corrupt(TABLE, "a hash is not 32 bytes long"))
}
