//! Everything that a batch changes, saved in one statement.
//!
//! A statement costs Postgres, and the way there, some hundred microseconds before its first row, and a batch would need nine of
//! them. So there is one, with a part for each table. All parts see the database as it was before the statement, so no two of
//! them may write the same row; see [`shares_end_once`].
//!
//! What was decided holds only as long as nobody else has changed anything of the accounts, and each such change raises the version of
//! the account's head. So the first thing that the statement does is to lock the heads; if one of them is not as it was read, no
//! part writes anything. If they are, and a row is not, the statement fails as a whole: it may be all of the transaction.

use std::collections::HashSet;

use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::ledger::Hash;

use super::{
    StoreError,
    rows::{
        changes::{Opened, Updated},
        entries::{Line, Lines, Text},
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
    pub(super) opened: Opened<'a>,
    /// Requests that are new.
    pub(super) requests: Requests<'a>,
    /// Changes that were there before and have come further.
    pub(super) updated: Updated<'a>,
    /// Permissions, new ones and old ones.
    pub(super) permissions: Permissions<'a>,
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
    let heads = Heads::of(&changed.heads);
    if !changed.growths.iter().any(Growth::fills_a_tile) {
        return write(connection, changed, &heads).await;
    }
    let mut transaction = connection.begin().await?;
    if !heads::hold(&mut transaction, &heads).await? {
        transaction.rollback().await?;
        return Ok(Saved::Overtaken);
    }
    // Before the lines: the tiles take from the table what was there before.
    tiles::extend(&mut transaction, &changed.growths, &changed.lines).await?;
    let saved = write(&mut transaction, changed, &heads).await?;
    match saved {
        Saved::Overtaken => transaction.rollback().await?,
        Saved::All | Saved::Nothing => transaction.commit().await?,
    }
    Ok(saved)
}

/// A change that is under way is told by `ended_at` and not by its state: Postgres would take the index of all pending ones for the way
/// to it.
async fn write(connection: &mut PgConnection, changed: &Changed<'_>, heads: &Heads<'_>) -> Result<Saved, StoreError> {
    let Changed {
        opened,
        requests,
        updated,
        permissions,
        ..
    } = changed;
    let lines = Lines::of(&changed.lines);
    let is_saved = sqlx::query_scalar!(
        r#"WITH head AS MATERIALIZED (
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::timestamptz[])
             AS head (account_id, version, size, frontier, root, last_recorded_at)
         ), held AS MATERIALIZED (
             SELECT count(*) = cardinality($1::text[]) AS are_as_read
             FROM (SELECT account_id, version FROM ledger WHERE account_id = ANY($1::text[]) ORDER BY account_id FOR UPDATE) AS locked
             JOIN head USING (account_id, version)
         ), line AS MATERIALIZED (
             SELECT * FROM unnest($7::text[], $8::bigint[], $9::timestamptz[], $10::text[], $11::text[], $12::text[], $13::uuid[],
                 $14::uuid[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::bigint[],
                 $22::text[], $23::text[], $24::boolean[], $25::text[], $26::text[], $27::bytea[], $28::text[])
             AS line (account_id, log_index, recorded_at, kind, action, cause, change_id, request_id, principal,
                 reason, ticket, region, image_id, shared_account_id, generation, aws_request_id, error_reason, is_ranked,
                 share_effect, once, leaf_hash, entry)
             WHERE (SELECT are_as_read FROM held)
         ), entries AS (
             INSERT INTO audit_entry (account_id, log_index, recorded_at, kind, action, cause, change_id, request_id, principal,
                 reason, ticket, region, image_id, shared_account_id, generation, aws_request_id, error_reason, is_ranked,
                 share_effect, once, leaf_hash, entry)
             SELECT * FROM line
         ), opened AS (
             INSERT INTO change (account_id, change_id, request_id, region, image_id, shared_account_id, action, cause,
                 principal, reason, ticket, trace_id, generation, previous, created_at,
                 state, attempts, failure_reason, failure_code, failure_message, ended_at)
             SELECT account_id, change_id, request_id, region, image_id, shared_account_id, action, cause,
                 principal, reason, ticket, trace_id, generation, previous, created_at,
                 state, attempts::jsonb, failure_reason, failure_code, failure_message, ended_at
             FROM unnest($29::text[], $30::uuid[], $31::uuid[], $32::text[], $33::text[], $34::text[], $35::text[], $36::text[],
                 $37::text[], $38::text[], $39::text[], $40::text[], $41::bigint[], $42::text[], $43::timestamptz[],
                 $44::text[], $45::text[], $46::text[], $47::text[], $48::text[], $49::timestamptz[])
             AS opened (account_id, change_id, request_id, region, image_id, shared_account_id, action, cause,
                 principal, reason, ticket, trace_id, generation, previous, created_at,
                 state, attempts, failure_reason, failure_code, failure_message, ended_at)
             WHERE (SELECT are_as_read FROM held)
         ), requests AS (
             INSERT INTO request (account_id, request_id, change_id, principal, content)
             SELECT * FROM unnest($50::text[], $51::uuid[], $52::uuid[], $53::text[], $54::bytea[])
             AS asked (account_id, request_id, change_id, principal, content)
             WHERE (SELECT are_as_read FROM held)
         ), updated AS (
             UPDATE change SET state = new.state, attempts = new.attempts::jsonb, failure_reason = new.failure_reason,
                 failure_code = new.failure_code, failure_message = new.failure_message, ended_at = new.ended_at
             FROM unnest($55::text[], $56::uuid[], $57::text[], $58::text[], $59::text[], $60::text[], $61::text[],
                 $62::timestamptz[])
             AS new (account_id, change_id, state, attempts, failure_reason, failure_code, failure_message, ended_at)
             WHERE change.account_id = new.account_id AND change.change_id = new.change_id AND change.ended_at IS NULL
                 AND (SELECT are_as_read FROM held)
             RETURNING 1
         ), permission AS MATERIALIZED (
             SELECT * FROM unnest($63::text[], $64::text[], $65::text[], $66::text[], $67::text[], $68::text[], $69::bigint[],
                 $70::uuid[], $71::uuid[], $72::uuid[], $73::bigint[], $74::timestamptz[], $75::boolean[], $76::text[],
                 $77::timestamptz[], $78::timestamptz[], $79::timestamptz[], $80::timestamptz[], $81::boolean[])
             AS permission (account_id, region, image_id, shared_account_id, desired, applied, generation,
                 current_change_id, next_change_id, lease_owner, lease_epoch, lease_expires_at, in_doubt, landing,
                 landing_until, next_attempt_at, created_at, updated_at, is_new)
             WHERE (SELECT are_as_read FROM held)
         ), new_permissions AS (
             INSERT INTO share_permission (account_id, region, image_id, shared_account_id, desired, applied, generation,
                 current_change_id, next_change_id, lease_owner, lease_epoch, lease_expires_at, in_doubt, landing,
                 landing_until, next_attempt_at, created_at, updated_at)
             SELECT account_id, region, image_id, shared_account_id, desired, applied, generation,
                 current_change_id, next_change_id, lease_owner, lease_epoch, lease_expires_at, in_doubt, landing,
                 landing_until, next_attempt_at, created_at, updated_at
             FROM permission WHERE is_new
         ), kept_permissions AS (
             UPDATE share_permission old SET
                 desired = new.desired, applied = new.applied, generation = new.generation,
                 current_change_id = new.current_change_id, next_change_id = new.next_change_id,
                 lease_owner = new.lease_owner, lease_epoch = new.lease_epoch, lease_expires_at = new.lease_expires_at,
                 in_doubt = new.in_doubt, landing = new.landing, landing_until = new.landing_until,
                 next_attempt_at = new.next_attempt_at, updated_at = new.updated_at
             FROM permission new
             WHERE NOT new.is_new AND old.account_id = new.account_id AND old.region = new.region
                 AND old.image_id = new.image_id AND old.shared_account_id = new.shared_account_id
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
             UPDATE ledger SET version = head.version + 1, size = head.size, frontier = head.frontier, root = head.root,
                 last_recorded_at = head.last_recorded_at
             FROM head WHERE ledger.account_id = head.account_id AND (SELECT are_as_read FROM held)
             RETURNING 1
         )
         SELECT CASE
             WHEN NOT (SELECT are_as_read FROM held) THEN false
             WHEN (SELECT count(*) FROM heads) = cardinality($1::text[])
                 AND (SELECT count(*) FROM updated) = cardinality($56::uuid[])
                 AND (SELECT count(*) FROM kept_permissions) = (SELECT count(*) FROM permission WHERE NOT is_new) THEN true
             ELSE refuse_half_a_batch()
         END AS "is_saved!""#,
        &heads.accounts as &[&str],
        &heads.versions,
        &heads.sizes,
        &heads.frontiers,
        &heads.roots as &[Hash],
        &heads.times,
        &lines.accounts as &[&str],
        &lines.indexes,
        &lines.times,
        &lines.kinds as &[&str],
        &lines.actions as &[Option<Text<'_>>],
        &lines.causes as &[Option<Text<'_>>],
        &lines.changes as &[Option<Uuid>],
        &lines.requests as &[Option<Uuid>],
        &lines.principals as &[Option<Text<'_>>],
        &lines.reasons as &[Option<Text<'_>>],
        &lines.tickets as &[Option<Text<'_>>],
        &lines.regions as &[Option<Text<'_>>],
        &lines.images as &[Option<Text<'_>>],
        &lines.shared as &[Option<Text<'_>>],
        &lines.generations as &[Option<i64>],
        &lines.aws_requests as &[Option<Text<'_>>],
        &lines.errors as &[Option<Text<'_>>],
        &lines.ranked,
        &lines.share_effects as &[Option<&str>],
        &lines.once as &[Option<&str>],
        &lines.hashes as &[&[u8]],
        &lines.texts as &[&str],
        &opened.accounts as &[&str],
        &opened.ids,
        &opened.requests,
        &opened.regions as &[&str],
        &opened.images as &[&str],
        &opened.shared as &[&str],
        &opened.actions as &[&str],
        &opened.causes as &[&str],
        &opened.principals as &[&str],
        &opened.reasons as &[&str],
        &opened.tickets as &[Option<&str>],
        &opened.traces as &[Option<&str>],
        &opened.generations,
        &opened.previous as &[Option<&str>],
        &opened.created,
        &opened.progress.states as &[&str],
        &opened.progress.attempts,
        &opened.progress.reasons as &[Option<&str>],
        &opened.progress.codes as &[Option<&str>],
        &opened.progress.messages as &[Option<&str>],
        &opened.progress.ends as &[Option<OffsetDateTime>],
        &requests.accounts as &[&str],
        &requests.ids,
        &requests.changes,
        &requests.principals as &[&str],
        &requests.contents as &[&[u8]],
        &updated.accounts as &[&str],
        &updated.ids,
        &updated.progress.states as &[&str],
        &updated.progress.attempts,
        &updated.progress.reasons as &[Option<&str>],
        &updated.progress.codes as &[Option<&str>],
        &updated.progress.messages as &[Option<&str>],
        &updated.progress.ends as &[Option<OffsetDateTime>],
        &permissions.keys.accounts as &[&str],
        &permissions.keys.regions as &[&str],
        &permissions.keys.images as &[&str],
        &permissions.keys.shared as &[&str],
        &permissions.desired as &[Option<&str>],
        &permissions.applied as &[Option<&str>],
        &permissions.generations,
        &permissions.current as &[Option<Uuid>],
        &permissions.next as &[Option<Uuid>],
        &permissions.lease_owners as &[Option<Uuid>],
        &permissions.lease_epochs,
        &permissions.lease_ends as &[Option<OffsetDateTime>],
        &permissions.doubts,
        &permissions.landing as &[Option<&str>],
        &permissions.landing_until as &[Option<OffsetDateTime>],
        &permissions.next_attempts as &[Option<OffsetDateTime>],
        &permissions.created,
        &permissions.updated,
        &permissions.are_new,
    )
    .fetch_one(connection)
    .await?;
    Ok(if is_saved { Saved::All } else { Saved::Overtaken })
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
