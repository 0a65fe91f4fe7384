//! `change`.

use std::sync::Arc;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{
        Access, Action, Cause, Change, ChangeId, ChangeState, Failure, FailureReason, Intent, PermissionKey, RequestId,
        Timestamp,
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

/// Changes that are new, column by column.
#[derive(Default)]
pub(in crate::store) struct Opened<'a> {
    pub(in crate::store) accounts: Vec<&'a str>,
    pub(in crate::store) ids: Vec<Uuid>,
    pub(in crate::store) requests: Vec<Uuid>,
    pub(in crate::store) regions: Vec<&'a str>,
    pub(in crate::store) images: Vec<&'a str>,
    pub(in crate::store) shared: Vec<&'a str>,
    pub(in crate::store) actions: Vec<&'a str>,
    pub(in crate::store) causes: Vec<&'a str>,
    pub(in crate::store) principals: Vec<&'a str>,
    pub(in crate::store) reasons: Vec<&'a str>,
    pub(in crate::store) tickets: Vec<Option<&'a str>>,
    pub(in crate::store) traces: Vec<Option<&'a str>>,
    pub(in crate::store) generations: Vec<i64>,
    pub(in crate::store) previous: Vec<Option<&'a str>>,
    pub(in crate::store) created: Vec<OffsetDateTime>,
    pub(in crate::store) progress: Progress<'a>,
}

impl<'a> Opened<'a> {
    pub(in crate::store) fn push(&mut self, change: &'a Change) {
        let intent = &change.intent;
        self.accounts.push(intent.key.account.as_str());
        self.ids.push(intent.change_id.0);
        self.requests.push(intent.request_id.0);
        self.regions.push(intent.key.region.as_str());
        self.images.push(intent.key.image.as_str());
        self.shared.push(intent.key.shared_account.as_str());
        self.actions.push(intent.action.as_str());
        self.causes.push(intent.cause.as_str());
        self.principals.push(intent.principal.as_str());
        self.reasons.push(intent.reason.as_str());
        self.tickets.push(intent.ticket.as_ref().map(|ticket| ticket.as_str()));
        self.traces.push(intent.trace_id.as_ref().map(|id| id.as_str()));
        self.generations.push(bigint(change.generation));
        self.previous.push(change.previous.map(Access::as_str));
        self.created.push(change.created_at.to_offset_date_time());
        self.progress.push(change);
    }
}

/// Changes that were there before and have come further, column by column. None of them may have ended before.
#[derive(Default)]
pub(in crate::store) struct Updated<'a> {
    pub(in crate::store) accounts: Vec<&'a str>,
    pub(in crate::store) ids: Vec<Uuid>,
    pub(in crate::store) progress: Progress<'a>,
}

impl<'a> Updated<'a> {
    pub(in crate::store) fn push(&mut self, change: &'a Change) {
        self.accounts.push(change.intent.key.account.as_str());
        self.ids.push(change.id().0);
        self.progress.push(change);
    }
}

/// The columns of a change that move.
#[derive(Default)]
pub(in crate::store) struct Progress<'a> {
    pub(in crate::store) states: Vec<&'a str>,
    /// JSON.
    pub(in crate::store) attempts: Vec<String>,
    pub(in crate::store) reasons: Vec<Option<&'a str>>,
    pub(in crate::store) codes: Vec<Option<&'a str>>,
    pub(in crate::store) messages: Vec<Option<&'a str>>,
    pub(in crate::store) ends: Vec<Option<OffsetDateTime>>,
}

impl<'a> Progress<'a> {
    fn push(&mut self, change: &'a Change) {
        let failure = change.failure.as_ref();
        self.states.push(change.state.as_str());
        self.attempts.push(attempts::to_json(&change.attempts));
        self.reasons.push(failure.map(|failure| failure.reason.as_str()));
        self.codes.push(failure.and_then(|failure| failure.code.as_deref()));
        self.messages
            .push(failure.and_then(|failure| failure.message.as_deref()));
        self.ends.push(change.ended_at.map(Timestamp::to_offset_date_time));
    }
}
