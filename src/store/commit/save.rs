//! Saves everything that a batch changed, in one statement.
//!
//! A statement costs some hundred microseconds in Postgres and on the network before its first row, and a batch would
//! need nine. So it is one statement with a CTE per table. All CTEs see the snapshot before the statement, so no two of
//! them may write the same row; see [`shares_end_once`].
//!
//! The decisions hold only if no other writer changed the accounts. Each write raises the version of the account's head. So the
//! statement first locks the heads, and writes nothing if a version has changed. If the versions match but a row does not, the
//! statement fails as a whole.

use std::{collections::HashSet, sync::LazyLock};

use sqlx::{Connection, PgConnection, Row};

use crate::store::{
    error::StoreError,
    rows::{
        changes::Changes,
        entries::{EncodedEntries, EncodedEntry},
        events::Events,
        findings::Findings,
        heads::{self, Head, Heads},
        permissions::Permissions,
        requests::Requests,
        tiles::{self, Appended},
    },
};

/// What a batch changed.
#[derive(Default)]
pub(super) struct Changed<'a> {
    /// New changes.
    pub(super) opened: Changes<'a>,
    /// Existing changes that were updated. None of them had ended before.
    pub(super) updated: Changes<'a>,
    /// New requests.
    pub(super) requests: Requests<'a>,
    /// New permissions.
    pub(super) new_permissions: Permissions<'a>,
    /// Existing permissions that were updated.
    pub(super) kept_permissions: Permissions<'a>,
    /// New and updated findings of drift.
    pub(super) findings: Findings<'a>,
    /// New events of CloudTrail.
    pub(super) events: Events<'a>,
    /// New entries. Those of one account are in the order of their indexes.
    pub(super) entries: Vec<EncodedEntry<'a>>,
    /// The heads of all changed accounts, after the new entries.
    pub(super) heads: Vec<Head>,
    /// The index ranges of the new entries.
    pub(super) appended: Vec<Appended>,
}

/// The result of saving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Saved {
    /// Everything is saved.
    All,
    /// There was nothing to save.
    Nothing,
    /// A head has changed since it was read. Nothing is saved.
    Conflict,
}

impl Changed<'_> {
    fn is_nothing(&self) -> bool {
        self.heads.is_empty()
    }
}

/// Saves everything, or nothing after a conflict. Usually one statement. When a tile becomes full, a transaction of several.
#[expect(
    clippy::disallowed_methods,
    reason = "within the transaction of a batch, or for it; `Database::within` bounds it"
)]
pub(super) async fn save(connection: &mut PgConnection, changed: &Changed<'_>) -> Result<Saved, StoreError> {
    if changed.is_nothing() {
        return Ok(Saved::Nothing);
    }
    shares_end_once(&changed.entries)?;
    if !changed.appended.iter().any(Appended::fills_a_tile) {
        return write(connection, changed).await;
    }
    let mut transaction = connection.begin().await?;
    if !heads::hold(&mut transaction, &changed.heads).await? {
        transaction.rollback().await?;
        return Ok(Saved::Conflict);
    }
    // Before the entries are inserted: the tiles read the older hashes from the table.
    tiles::extend(&mut transaction, &changed.appended, &changed.entries).await?;
    let saved = write(&mut transaction, changed).await?;
    match saved {
        Saved::Conflict => transaction.rollback().await?,
        Saved::All | Saved::Nothing => transaction.commit().await?,
    }
    Ok(saved)
}

async fn write(connection: &mut PgConnection, changed: &Changed<'_>) -> Result<Saved, StoreError> {
    let (mut heads, mut entries) = (Heads::default(), EncodedEntries::default());
    changed.heads.iter().for_each(|head| heads.push(head));
    changed.entries.iter().for_each(|entry| entries.push(entry));
    // In the order of the parameters in the statement.
    let mut query = sqlx::query(STATEMENT.as_str());
    query = heads.bind(query);
    query = entries.bind(query);
    query = changed.opened.bind(query);
    query = changed.requests.bind(query);
    query = changed.updated.bind_moving(query);
    query = changed.new_permissions.bind(query);
    query = changed.kept_permissions.bind_moving(query);
    query = changed.findings.bind(query);
    query = changed.events.bind(query);
    let is_saved: bool = query.fetch_one(connection).await?.try_get(0)?;
    Ok(if is_saved { Saved::All } else { Saved::Conflict })
}

/// Returns false when a head has changed since it was read.
static STATEMENT: LazyLock<String> = LazyLock::new(statement);

/// The condition on a pending change is `ended_at IS NULL` and not its state: with the state, Postgres would choose the
/// index of all pending changes.
fn statement() -> String {
    let parameters = &mut 0;
    let head = Heads::COLUMNS.unnest("head", parameters);
    let line = EncodedEntries::COLUMNS.unnest("line", parameters);
    let opened = Changes::COLUMNS.unnest("opened", parameters);
    let requests = Requests::COLUMNS.unnest("request", parameters);
    let updated_accounts = *parameters + 1;
    let updated = Changes::COLUMNS.unnest_moving("new", parameters);
    let new_permissions = Permissions::COLUMNS.unnest("permission", parameters);
    let kept_accounts = *parameters + 1;
    let kept_permissions = Permissions::COLUMNS.unnest_moving("new", parameters);
    let findings = Findings::COLUMNS.unnest("finding", parameters);
    let events = Events::COLUMNS.unnest("event", parameters);
    let (lines, changes, permissions) = (EncodedEntries::COLUMNS, Changes::COLUMNS, Permissions::COLUMNS);
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
         ), findings AS (
             INSERT INTO drift_finding ({finding_names}) SELECT * FROM {findings} WHERE (SELECT are_as_read FROM held)
             ON CONFLICT (account_id, region, image_id, shared_account_id) DO UPDATE SET {finding_values}
         ), events AS (
             INSERT INTO drift_event ({event_names}) SELECT * FROM {events} WHERE (SELECT are_as_read FROM held)
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
        finding_names = Findings::COLUMNS.names(),
        finding_values = Findings::COLUMNS.set("excluded"),
        event_names = Events::COLUMNS.names(),
        head_values = Heads::COLUMNS.set("head"),
        head_found = Heads::COLUMNS.found_in("ledger", "head"),
    )
}

/// No share begins or ends twice in a batch: the next call for a permission needs a lease that this batch's commit grants. The
/// statement relies on it: one CTE cannot close the interval that another one opens.
fn shares_end_once(entries: &[EncodedEntry<'_>]) -> Result<(), StoreError> {
    let mut seen = HashSet::new();
    let changes = entries
        .iter()
        .filter(|encoded| encoded.entry.body.share_effect().is_some());
    let mut keys = changes.filter_map(|encoded| Some(&encoded.entry.body.change()?.intent.key));
    match keys.find(|key| !seen.insert(*key)) {
        Some(_) => Err(StoreError::corrupt(
            "share_interval",
            "a share began or ended twice in one batch",
        )),
        None => Ok(()),
    }
}
