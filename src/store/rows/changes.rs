//! `change`.

use std::sync::Arc;

use sqlx::types::Json;

use crate::{
    domain::{
        Access, Action, Cause, Change, ChangeFailure, ChangeId, ChangeState, FailureReason, Intent, Justification,
        PermissionKey, RequestId, ShareEnd, Timestamp,
    },
    store::error::StoreError,
};

use super::{
    attempts, bigint, count, named, parse,
    table::{Attempts, Authentication, Basis, Bigint, Decision, Text, Timestamptz, Uuid},
};

const TABLE: &str = "change";

super::table::table! {
    /// A change to read.
    row ChangeRow;
    /// Changes to save.
    rows Changes of change: &'a Change;
    #[key] account_id: Text = change.intent.key.account.as_str(),
    #[key] change_id: Uuid = change.id().0,
    request_id: Uuid = change.intent.request_id.0,
    region: Text = change.intent.key.region.as_str(),
    image_id: Text = change.intent.key.image.as_str(),
    shared_account_id: Text = change.intent.key.shared_account.as_str(),
    action: Text = change.intent.action.as_str(),
    cause: Text = change.intent.cause.as_str(),
    principal: Text = change.intent.principal.as_str(),
    authentication: Option<Authentication> = change.intent.authentication.as_ref().map(Json),
    reason: Text = change.intent.justification.reason.as_str(),
    ticket: Option<Text> = change.intent.justification.ticket.as_ref().map(|ticket| ticket.as_str()),
    expire_time: Option<Timestamptz> = change.expire_time().map(Timestamp::to_offset_date_time),
    trace_id: Option<Text> = change.intent.trace_id.as_ref().map(|id| id.as_str()),
    generation: Bigint = bigint(change.generation),
    #[moves] decision: Option<Decision> = change.intent.decision.as_ref().map(Json),
    previous: Option<Text> = change.previous.map(Access::as_str),
    previous_basis: Option<Basis> = change.previous_basis.as_ref().map(Json),
    created_at: Timestamptz = change.created_at.to_offset_date_time(),
    #[moves] state: Text = change.state.as_str(),
    #[moves] attempts: Attempts = Json(attempts::rows(&change.attempts)),
    #[moves] failure_reason: Option<Text> = change.failure.as_ref().map(|failure| failure.reason.as_str()),
    #[moves] failure_code: Option<Text> = change.failure.as_ref().and_then(|failure| failure.code.as_deref()),
    #[moves] failure_message: Option<Text> = change.failure.as_ref().and_then(|failure| failure.message.as_deref()),
    #[moves] ended_at: Option<Timestamptz> = change.ended_at.map(Timestamp::to_offset_date_time),
}

impl TryFrom<ChangeRow> for Change {
    type Error = StoreError;

    fn try_from(row: ChangeRow) -> Result<Self, StoreError> {
        let failure = match row.failure_reason {
            None => None,
            Some(reason) => Some(ChangeFailure {
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
            authentication: row.authentication.map(|Json(read)| read),
            decision: row.decision.map(|Json(read)| read),
            justification: Justification {
                reason: parse(TABLE, &row.reason)?,
                ticket: row.ticket.map(|ticket| parse(TABLE, &ticket)).transpose()?,
            },
            end: row.expire_time.map(|time| ShareEnd::At(Timestamp::new(time))),
            trace_id: row.trace_id.map(|id| parse(TABLE, &id)).transpose()?,
        };
        Ok(Change {
            intent: Arc::new(intent),
            generation: count(TABLE, row.generation)?,
            previous: row
                .previous
                .map(|access| named(TABLE, Access::parse, &access))
                .transpose()?,
            previous_basis: row.previous_basis.map(|Json(read)| read),
            state: named(TABLE, ChangeState::parse, &row.state)?,
            attempts: attempts::read(row.attempts.0)?,
            failure,
            created_at: Timestamp::new(row.created_at),
            ended_at: row.ended_at.map(Timestamp::new),
        })
    }
}
