//! `change`.

use std::sync::Arc;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{
        Access, AccountId, Action, Cause, Change, ChangeId, ChangeState, Failure, FailureReason, Intent, Permission,
        PermissionKey, RequestId, Timestamp,
    },
    store::StoreError,
};

use super::{attempts, bigint, count, named, parse};

const TABLE: &str = "change";

/// A row.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::store) struct ChangeRow {
    pub(in crate::store) account_id: String,
    pub(in crate::store) change_id: Uuid,
    pub(in crate::store) request_id: Uuid,
    pub(in crate::store) region: String,
    pub(in crate::store) image_id: String,
    pub(in crate::store) shared_account_id: String,
    pub(in crate::store) action: String,
    pub(in crate::store) cause: String,
    pub(in crate::store) principal: String,
    pub(in crate::store) reason: String,
    pub(in crate::store) ticket: Option<String>,
    pub(in crate::store) trace_id: Option<String>,
    pub(in crate::store) generation: i64,
    pub(in crate::store) previous: Option<String>,
    pub(in crate::store) state: String,
    pub(in crate::store) attempts: serde_json::Value,
    pub(in crate::store) failure_reason: Option<String>,
    pub(in crate::store) failure_code: Option<String>,
    pub(in crate::store) failure_message: Option<String>,
    pub(in crate::store) created_at: OffsetDateTime,
    pub(in crate::store) ended_at: Option<OffsetDateTime>,
}

impl TryFrom<ChangeRow> for Change {
    type Error = StoreError;

    fn try_from(row: ChangeRow) -> Result<Self, StoreError> {
        let failure = match row.failure_reason {
            None => None,
            Some(reason) => Some(Failure {
                reason: named(TABLE, FailureReason::parse, &reason)?,
                code: row.failure_code,
                message: row.failure_message,
            }),
        };
        let intent = Intent {
            change_id: ChangeId(row.change_id),
            request_id: RequestId(row.request_id),
            key: PermissionKey {
                account: parse(TABLE, &row.account_id)?,
                region: parse(TABLE, &row.region)?,
                image: parse(TABLE, &row.image_id)?,
                shared_account: parse(TABLE, &row.shared_account_id)?,
            },
            action: named(TABLE, Action::parse, &row.action)?,
            cause: named(TABLE, Cause::parse, &row.cause)?,
            principal: parse(TABLE, &row.principal)?,
            reason: parse(TABLE, &row.reason)?,
            ticket: row.ticket.map(|ticket| parse(TABLE, &ticket)).transpose()?,
            trace_id: row.trace_id.map(|id| parse(TABLE, &id)).transpose()?,
        };
        Ok(Change {
            intent: Arc::new(intent),
            generation: count(TABLE, row.generation)?,
            previous: row
                .previous
                .map(|access| named(TABLE, Access::parse, &access))
                .transpose()?,
            state: named(TABLE, ChangeState::parse, &row.state)?,
            attempts: attempts::from_json(row.attempts)?,
            failure,
            created_at: Timestamp::new(row.created_at),
            ended_at: row.ended_at.map(Timestamp::new),
        })
    }
}

/// Reads the changes with these request ids, and those that these permissions work on.
pub(in crate::store) async fn load(
    connection: &mut PgConnection,
    requests: &[(AccountId, RequestId)],
    permissions: &[Permission],
) -> Result<Vec<Change>, StoreError> {
    let request_accounts: Vec<_> = requests.iter().map(|(account, _)| account.to_string()).collect();
    let request_ids: Vec<_> = requests.iter().map(|(_, id)| id.0).collect();
    let worked_on = || {
        permissions.iter().flat_map(|permission| {
            permission
                .current
                .into_iter()
                .chain(permission.next)
                .map(|id| (permission.key.account, id))
        })
    };
    let change_accounts: Vec<_> = worked_on().map(|(account, _)| account.to_string()).collect();
    let change_ids: Vec<_> = worked_on().map(|(_, id)| id.0).collect();
    let rows = sqlx::query_as!(
        ChangeRow,
        r#"SELECT account_id AS "account_id!", change_id AS "change_id!", request_id AS "request_id!", region AS "region!",
               image_id AS "image_id!", shared_account_id AS "shared_account_id!", action AS "action!", cause AS "cause!",
               principal AS "principal!", reason AS "reason!", ticket, trace_id, generation AS "generation!", previous,
               state AS "state!", attempts AS "attempts!", failure_reason, failure_code, failure_message,
               created_at AS "created_at!", ended_at
           FROM (
               SELECT change.* FROM unnest($1::text[], $2::uuid[]) AS k (account_id, request_id)
               JOIN change USING (account_id, request_id)
               UNION ALL
               SELECT change.* FROM unnest($3::text[], $4::uuid[]) AS k (account_id, change_id)
               JOIN change USING (account_id, change_id)
           ) AS loaded"#,
        &request_accounts,
        &request_ids,
        &change_accounts,
        &change_ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Change::try_from).collect()
}

/// Inserts changes.
pub(in crate::store) async fn insert(connection: &mut PgConnection, changes: &[&Change]) -> Result<(), StoreError> {
    let intents = || changes.iter().map(|change| &change.intent);
    let accounts: Vec<_> = intents().map(|intent| intent.key.account.to_string()).collect();
    let ids: Vec<_> = intents().map(|intent| intent.change_id.0).collect();
    let requests: Vec<_> = intents().map(|intent| intent.request_id.0).collect();
    let regions: Vec<_> = intents().map(|intent| intent.key.region.to_string()).collect();
    let images: Vec<_> = intents().map(|intent| intent.key.image.to_string()).collect();
    let shared: Vec<_> = intents().map(|intent| intent.key.shared_account.to_string()).collect();
    let actions: Vec<_> = intents().map(|intent| intent.action.as_str().to_owned()).collect();
    let causes: Vec<_> = intents().map(|intent| intent.cause.as_str().to_owned()).collect();
    let principals: Vec<_> = intents().map(|intent| intent.principal.to_string()).collect();
    let reasons: Vec<_> = intents().map(|intent| intent.reason.to_string()).collect();
    let tickets: Vec<_> = intents()
        .map(|intent| intent.ticket.as_ref().map(|ticket| ticket.to_string()))
        .collect();
    let traces: Vec<_> = intents()
        .map(|intent| intent.trace_id.as_ref().map(|id| id.to_string()))
        .collect();
    let generations: Vec<_> = changes.iter().map(|change| bigint(change.generation)).collect();
    let previous: Vec<_> = changes
        .iter()
        .map(|change| change.previous.map(|access| access.as_str().to_owned()))
        .collect();
    let created: Vec<_> = changes
        .iter()
        .map(|change| change.created_at.to_offset_date_time())
        .collect();
    let Progress {
        states,
        attempts,
        reasons: failures,
        codes,
        messages,
        ends,
    } = progress(changes);
    let saved = sqlx::query!(
        "INSERT INTO change (account_id, change_id, request_id, region, image_id, shared_account_id, action, cause,
             principal, reason, ticket, trace_id, generation, previous, created_at,
             state, attempts, failure_reason, failure_code, failure_message, ended_at)
         SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
             $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::text[], $15::timestamptz[],
             $16::text[], $17::jsonb[], $18::text[], $19::text[], $20::text[], $21::timestamptz[])",
        &accounts,
        &ids,
        &requests,
        &regions,
        &images,
        &shared,
        &actions,
        &causes,
        &principals,
        &reasons,
        &tickets as &[Option<String>],
        &traces as &[Option<String>],
        &generations,
        &previous as &[Option<String>],
        &created,
        &states,
        &attempts,
        &failures as &[Option<String>],
        &codes as &[Option<String>],
        &messages as &[Option<String>],
        &ends as &[Option<OffsetDateTime>],
    )
    .execute(connection)
    .await?;
    super::expect_rows(TABLE, saved.rows_affected(), changes.len())
}

/// Saves how far changes have come. None of them may have ended before.
pub(in crate::store) async fn update(connection: &mut PgConnection, changes: &[&Change]) -> Result<(), StoreError> {
    let accounts: Vec<_> = changes
        .iter()
        .map(|change| change.intent.key.account.to_string())
        .collect();
    let ids: Vec<_> = changes.iter().map(|change| change.id().0).collect();
    let Progress {
        states,
        attempts,
        reasons,
        codes,
        messages,
        ends,
    } = progress(changes);
    let saved = sqlx::query!(
        "UPDATE change SET state = new.state, attempts = new.attempts, failure_reason = new.failure_reason,
             failure_code = new.failure_code, failure_message = new.failure_message, ended_at = new.ended_at
         FROM unnest($1::text[], $2::uuid[], $3::text[], $4::jsonb[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
             AS new (account_id, change_id, state, attempts, failure_reason, failure_code, failure_message, ended_at)
         WHERE change.account_id = new.account_id AND change.change_id = new.change_id AND change.state = 'PENDING'",
        &accounts,
        &ids,
        &states,
        &attempts,
        &reasons as &[Option<String>],
        &codes as &[Option<String>],
        &messages as &[Option<String>],
        &ends as &[Option<OffsetDateTime>],
    )
    .execute(connection)
    .await?;
    super::expect_rows(TABLE, saved.rows_affected(), changes.len())
}

/// The columns of a change that move.
struct Progress {
    states: Vec<String>,
    attempts: Vec<serde_json::Value>,
    reasons: Vec<Option<String>>,
    codes: Vec<Option<String>>,
    messages: Vec<Option<String>>,
    ends: Vec<Option<OffsetDateTime>>,
}

fn progress(changes: &[&Change]) -> Progress {
    let failures = || changes.iter().map(|change| change.failure.as_ref());
    Progress {
        states: changes.iter().map(|change| change.state.as_str().to_owned()).collect(),
        attempts: changes
            .iter()
            .map(|change| attempts::to_json(&change.attempts))
            .collect(),
        reasons: failures()
            .map(|failure| failure.map(|failure| failure.reason.as_str().to_owned()))
            .collect(),
        codes: failures()
            .map(|failure| failure.and_then(|failure| failure.code.clone()))
            .collect(),
        messages: failures()
            .map(|failure| failure.and_then(|failure| failure.message.clone()))
            .collect(),
        ends: changes
            .iter()
            .map(|change| change.ended_at.map(Timestamp::to_offset_date_time))
            .collect(),
    }
}
