//! Everything that a batch changes, saved in one statement.
//!
//! A statement costs Postgres, and the way there, some hundred microseconds before its first row, and a batch would need eight of
//! them. So there is one, with a part for each table. All parts see the database as it was before the statement, so no two of
//! them may write the same row; see [`shares_end_once`].

use std::collections::HashSet;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{domain::Stage, ledger::Hash};

use super::{
    StoreError,
    rows::{
        changes::{Opened, Updated},
        entries::{Line, Lines},
        heads::{Head, Heads},
        permissions::Permissions,
        tiles::{self, Growth},
    },
};

/// What a batch changed. The heads of the ledgers concerned are locked.
#[derive(Default)]
pub(super) struct Changed<'a> {
    /// Changes that are new.
    pub(super) opened: Opened<'a>,
    /// Changes that were there before and have come further.
    pub(super) updated: Updated<'a>,
    /// Permissions, new ones and old ones.
    pub(super) permissions: Permissions<'a>,
    /// New lines; those of an account are in their order.
    pub(super) lines: Vec<Line<'a>>,
    /// The heads as they are after the lines.
    pub(super) heads: Vec<Head>,
    /// From where to where the ledgers grew.
    pub(super) growths: Vec<Growth>,
}

impl Changed<'_> {
    fn is_nothing(&self) -> bool {
        self.permissions.generations.is_empty() && self.lines.is_empty() && self.updated.ids.is_empty()
    }
}

/// Saves it: one statement, and up to three more when a tile is full. A change that is under way is told by `ended_at` and not by its
/// state: Postgres would take the index of all pending ones for the way to it.
pub(super) async fn save(connection: &mut PgConnection, changed: &Changed<'_>) -> Result<(), StoreError> {
    if changed.is_nothing() {
        return Ok(());
    }
    shares_end_once(&changed.lines)?;
    // Before the lines: the tiles take from the table what was there before.
    tiles::extend(connection, &changed.growths, &changed.lines).await?;

    let Changed {
        opened,
        updated,
        permissions,
        ..
    } = changed;
    let (lines, heads) = (Lines::of(&changed.lines), Heads::of(&changed.heads));
    let saved = sqlx::query!(
        r#"WITH line AS MATERIALIZED (
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::uuid[],
                 $8::uuid[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[],
                 $16::text[], $17::text[], $18::bytea[], $19::text[])
             AS line (account_id, log_index, recorded_at, stage, action, cause, change_id, request_id, principal,
                 reason, ticket, region, image_id, shared_account_id, generation, aws_request_id, error_reason, leaf_hash, entry)
         ), entries AS (
             INSERT INTO audit_entry (account_id, log_index, recorded_at, stage, action, cause, change_id, request_id, principal,
                 reason, ticket, region, image_id, shared_account_id, generation, aws_request_id, error_reason, leaf_hash, entry)
             SELECT * FROM line
         ), opened AS (
             INSERT INTO change (account_id, change_id, request_id, region, image_id, shared_account_id, action, cause,
                 principal, reason, ticket, trace_id, generation, previous, created_at,
                 state, attempts, failure_reason, failure_code, failure_message, ended_at)
             SELECT account_id, change_id, request_id, region, image_id, shared_account_id, action, cause,
                 principal, reason, ticket, trace_id, generation, previous, created_at,
                 state, attempts::jsonb, failure_reason, failure_code, failure_message, ended_at
             FROM unnest($20::text[], $21::uuid[], $22::uuid[], $23::text[], $24::text[], $25::text[], $26::text[], $27::text[],
                 $28::text[], $29::text[], $30::text[], $31::text[], $32::bigint[], $33::text[], $34::timestamptz[],
                 $35::text[], $36::text[], $37::text[], $38::text[], $39::text[], $40::timestamptz[])
             AS opened (account_id, change_id, request_id, region, image_id, shared_account_id, action, cause,
                 principal, reason, ticket, trace_id, generation, previous, created_at,
                 state, attempts, failure_reason, failure_code, failure_message, ended_at)
         ), updated AS (
             UPDATE change SET state = new.state, attempts = new.attempts::jsonb, failure_reason = new.failure_reason,
                 failure_code = new.failure_code, failure_message = new.failure_message, ended_at = new.ended_at
             FROM unnest($41::text[], $42::uuid[], $43::text[], $44::text[], $45::text[], $46::text[], $47::text[],
                 $48::timestamptz[])
             AS new (account_id, change_id, state, attempts, failure_reason, failure_code, failure_message, ended_at)
             WHERE change.account_id = new.account_id AND change.change_id = new.change_id AND change.ended_at IS NULL
             RETURNING 1
         ), permission AS MATERIALIZED (
             SELECT * FROM unnest($49::text[], $50::text[], $51::text[], $52::text[], $53::text[], $54::text[], $55::bigint[],
                 $56::uuid[], $57::uuid[], $58::uuid[], $59::bigint[], $60::timestamptz[], $61::boolean[], $62::text[],
                 $63::timestamptz[], $64::timestamptz[], $65::timestamptz[], $66::timestamptz[], $67::boolean[])
             AS permission (account_id, region, image_id, shared_account_id, desired, applied, generation,
                 current_change_id, next_change_id, lease_owner, lease_epoch, lease_expires_at, in_doubt, landing,
                 landing_until, next_attempt_at, created_at, updated_at, is_new)
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
             WHERE stage = 'SUCCEEDED' AND action = 'GRANT'
             ON CONFLICT (account_id, region, image_id, shared_account_id) WHERE end_index IS NULL DO NOTHING
         ), shares_ended AS (
             UPDATE share_interval share SET end_index = line.log_index, end_time = line.recorded_at FROM line
             WHERE line.stage = 'SUCCEEDED' AND line.action = 'REVOKE' AND share.end_index IS NULL
                 AND (share.account_id, share.region, share.image_id, share.shared_account_id)
                     = (line.account_id, line.region, line.image_id, line.shared_account_id)
         ), heads AS (
             UPDATE ledger SET size = new.size, frontier = new.frontier, root = new.root,
                 last_recorded_at = new.last_recorded_at
             FROM unnest($68::text[], $69::bigint[], $70::bytea[], $71::bytea[], $72::timestamptz[])
                 AS new (account_id, size, frontier, root, last_recorded_at)
             WHERE ledger.account_id = new.account_id
             RETURNING 1
         )
         SELECT (SELECT count(*) FROM updated) AS "updated!", (SELECT count(*) FROM kept_permissions) AS "kept_permissions!",
             (SELECT count(*) FROM heads) AS "heads!""#,
        &lines.accounts as &[&str],
        &lines.indexes,
        &lines.times,
        &lines.stages as &[&str],
        &lines.actions as &[&str],
        &lines.causes as &[&str],
        &lines.changes as &[Option<Uuid>],
        &lines.requests,
        &lines.principals as &[&str],
        &lines.reasons as &[&str],
        &lines.tickets as &[Option<&str>],
        &lines.regions as &[&str],
        &lines.images as &[&str],
        &lines.shared as &[&str],
        &lines.generations as &[Option<i64>],
        &lines.aws_requests as &[Option<&str>],
        &lines.errors as &[Option<&str>],
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
        &heads.accounts as &[&str],
        &heads.sizes,
        &heads.frontiers,
        &heads.roots as &[Hash],
        &heads.times,
    )
    .fetch_one(connection)
    .await?;
    updated.expect(saved.updated)?;
    permissions.expect(saved.kept_permissions)?;
    heads.expect(saved.heads)
}

/// No share begins or ends twice in a batch: the next call for a permission is only made under a lease that this batch's commit
/// gives. Were it otherwise, the interval that one line opens could not be closed by the other.
fn shares_end_once(lines: &[Line<'_>]) -> Result<(), StoreError> {
    let mut seen = HashSet::new();
    let mut ends = lines.iter().filter(|line| line.entry.stage == Stage::Succeeded);
    match ends.find(|line| !seen.insert(&line.entry.intent.key)) {
        Some(_) => Err(StoreError::corrupt(
            "share_interval",
            "two changes of one share ended in a batch",
        )),
        None => Ok(()),
    }
}
