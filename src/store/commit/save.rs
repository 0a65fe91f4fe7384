//! Everything that a batch changes, saved in one statement.
//!
//! A statement costs Postgres, and the way there, some hundred microseconds before its first row, and a batch would need nine of
//! them. So there is one, with a part for each table. All parts see the database as it was before the statement, so no two of
//! them may write the same row; see [`shares_end_once`].
//!
//! What was decided holds only as long as nobody else has changed anything of the accounts, and each such change raises the version of
//! the account's head. So the first thing that the statement does is to lock the heads; if one of them is not as it was read, no
//! part writes anything. If they are, and a row is not, the statement fails as a whole: it may be all of the transaction.

use std::{collections::HashSet, sync::LazyLock};

use sqlx::{Connection, PgConnection, Row};

use crate::store::{
    error::StoreError,
    rows::{
        changes::Changes,
        entries::{Line, Lines},
        heads::{self, Head, Heads},
        permissions::Permissions,
        requests::Requests,
        tiles::{self, Growth},
    },
};

/// What a batch changed.
#[derive(Default)]
pub(super) struct Changed<'a> {
    /// Changes that are new.
    pub(super) opened: Changes<'a>,
    /// Changes that were there before and have come further. None of them may have ended before.
    pub(super) updated: Changes<'a>,
    /// Requests that are new.
    pub(super) requests: Requests<'a>,
    /// Permissions that are new.
    pub(super) new_permissions: Permissions<'a>,
    /// Permissions that were there before.
    pub(super) kept_permissions: Permissions<'a>,
    /// New lines; those of an account are in their order.
    pub(super) lines: Vec<Line<'a>>,
    /// The heads of all accounts that changed, as they are after the lines.
    pub(super) heads: Vec<Head>,
    /// From where to where the ledgers grew.
    pub(super) growths: Vec<Growth>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Saved {
    /// All of it is saved.
    All,
    /// There was nothing to save.
    Nothing,
    /// A head is not as it was read, and nothing is saved.
    Overtaken,
}

impl Changed<'_> {
    fn is_nothing(&self) -> bool {
        self.heads.is_empty()
    }
}

/// Saves all of it; or nothing, if a head is not as it was read. One statement, mostly: when a tile is full, there are a few more, in a
/// transaction.
#[expect(
    clippy::disallowed_methods,
    reason = "within the transaction of a batch, or for it; `Database::within` bounds it"
)]
pub(super) async fn save(connection: &mut PgConnection, changed: &Changed<'_>) -> Result<Saved, StoreError> {
    if changed.is_nothing() {
        return Ok(Saved::Nothing);
    }
    shares_end_once(&changed.lines)?;
    if !changed.growths.iter().any(Growth::fills_a_tile) {
        return write(connection, changed).await;
    }
    let mut transaction = connection.begin().await?;
    if !heads::hold(&mut transaction, &changed.heads).await? {
        transaction.rollback().await?;
        return Ok(Saved::Overtaken);
    }
    // Before the lines: the tiles take from the table what was there before.
    tiles::extend(&mut transaction, &changed.growths, &changed.lines).await?;
    let saved = write(&mut transaction, changed).await?;
    match saved {
        Saved::Overtaken => transaction.rollback().await?,
        Saved::All | Saved::Nothing => transaction.commit().await?,
    }
    Ok(saved)
}

async fn write(connection: &mut PgConnection, changed: &Changed<'_>) -> Result<Saved, StoreError> {
    let (mut heads, mut lines) = (Heads::default(), Lines::default());
    changed.heads.iter().for_each(|head| heads.push(head));
    changed.lines.iter().for_each(|line| lines.push(line));
    // In the order in which the statement counts them.
    let mut query = sqlx::query(STATEMENT.as_str());
    query = heads.bind(query);
    query = lines.bind(query);
    query = changed.opened.bind(query);
    query = changed.requests.bind(query);
    query = changed.updated.bind_moving(query);
    query = changed.new_permissions.bind(query);
    query = changed.kept_permissions.bind_moving(query);
    let is_saved: bool = query.fetch_one(connection).await?.try_get(0)?;
    Ok(if is_saved { Saved::All } else { Saved::Overtaken })
}

/// True when all heads are as they were read, and false when one is not.
static STATEMENT: LazyLock<String> = LazyLock::new(statement);

/// A change that is under way is told by `ended_at` and not by its state: Postgres would take the index of all pending ones for the way
/// to it.
fn statement() -> String {
    let parameters = &mut 0;
    let head = Heads::COLUMNS.unnest("head", parameters);
    let line = Lines::COLUMNS.unnest("line", parameters);
    let opened = Changes::COLUMNS.unnest("opened", parameters);
    let requests = Requests::COLUMNS.unnest("request", parameters);
    let updated_accounts = *parameters + 1;
    let updated = Changes::COLUMNS.unnest_moving("new", parameters);
    let new_permissions = Permissions::COLUMNS.unnest("permission", parameters);
    let kept_accounts = *parameters + 1;
    let kept_permissions = Permissions::COLUMNS.unnest_moving("new", parameters);
    let (lines, changes, permissions) = (Lines::COLUMNS, Changes::COLUMNS, Permissions::COLUMNS);
    format!(
        r#"WITH head AS MATERIALIZED (
             SELECT * FROM {head}
         ), held AS MATERIALIZED (
             SELECT count(*) = cardinality($1) AS are_as_read
             FROM (SELECT account_id, version FROM ledger WHERE account_id = ANY($1) ORDER BY account_id FOR UPDATE) AS locked
             JOIN head USING (account_id, version)
         ), line AS MATERIALIZED (
             SELECT * FROM {line} WHERE (SELECT are_as_read FROM held)
         ), entries AS (
             INSERT INTO audit_entry ({line_names}) SELECT * FROM line
         ), opened AS (
             INSERT INTO change ({change_names}) SELECT * FROM {opened} WHERE (SELECT are_as_read FROM held)
         ), requests AS (
             INSERT INTO request ({request_names}) SELECT * FROM {requests} WHERE (SELECT are_as_read FROM held)
         ), updated AS (
             UPDATE change SET {change_values} FROM {updated}
             WHERE {change_found} AND change.ended_at IS NULL AND (SELECT are_as_read FROM held)
             RETURNING 1
         ), new_permissions AS (
             INSERT INTO share_permission ({permission_names})
             SELECT * FROM {new_permissions} WHERE (SELECT are_as_read FROM held)
         ), kept_permissions AS (
             UPDATE share_permission AS old SET {permission_values} FROM {kept_permissions}
             WHERE {permission_found} AND (SELECT are_as_read FROM held)
             RETURNING 1
         ), shares_begun AS (
             INSERT INTO share_interval (account_id, region, image_id, shared_account_id, start_index, start_time)
             SELECT account_id, region, image_id, shared_account_id, log_index, recorded_at FROM line
             WHERE share_effect = 'BEGINS'
             ON CONFLICT (account_id, region, image_id, shared_account_id) WHERE end_index IS NULL DO NOTHING
         ), shares_ended AS (
             UPDATE share_interval share SET end_index = line.log_index, end_time = line.recorded_at FROM line
             WHERE line.share_effect = 'ENDS' AND share.end_index IS NULL
                 AND (share.account_id, share.region, share.image_id, share.shared_account_id)
                     = (line.account_id, line.region, line.image_id, line.shared_account_id)
         ), heads AS (
             UPDATE ledger SET version = head.version + 1, {head_values}
             FROM head WHERE {head_found} AND (SELECT are_as_read FROM held)
             RETURNING 1
         )
         SELECT CASE
             WHEN NOT (SELECT are_as_read FROM held) THEN false
             WHEN (SELECT count(*) FROM heads) = cardinality($1)
                 AND (SELECT count(*) FROM updated) = cardinality(${updated_accounts})
                 AND (SELECT count(*) FROM kept_permissions) = cardinality(${kept_accounts}) THEN true
             ELSE refuse_half_a_batch()
         END"#,
        line_names = lines.names(),
        change_names = changes.names(),
        change_values = changes.set("new"),
        change_found = changes.found_in("change", "new"),
        request_names = Requests::COLUMNS.names(),
        permission_names = permissions.names(),
        permission_values = permissions.set("new"),
        permission_found = permissions.found_in("old", "new"),
        head_values = Heads::COLUMNS.set("head"),
        head_found = Heads::COLUMNS.found_in("ledger", "head"),
    )
}

/// No share begins or ends twice in a batch: the next call for a permission is only made under a lease that this batch's commit
/// gives. Were it otherwise, the interval that one line opens could not be closed by the other.
fn shares_end_once(lines: &[Line<'_>]) -> Result<(), StoreError> {
    let mut seen = HashSet::new();
    let changes = lines.iter().filter(|line| line.entry.body.share_effect().is_some());
    let mut keys = changes.filter_map(|line| Some(&line.entry.body.change()?.intent.key));
    match keys.find(|key| !seen.insert(*key)) {
        Some(_) => Err(StoreError::corrupt(
            "share_interval",
            "two changes of one share ended in a batch",
        )),
        None => Ok(()),
    }
}
