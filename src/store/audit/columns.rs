//! What an entry's row repeats of its text.

use std::borrow::Cow;

use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use crate::{domain::Entry, store::rows::bigint};

/// What an entry's row repeats of its text, beside its place and its time: what filters and views look at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are documented in the migration")]
pub struct Columns<'a> {
    pub stage: Cow<'a, str>,
    pub action: Cow<'a, str>,
    pub cause: Cow<'a, str>,
    pub change_id: Option<Uuid>,
    pub request_id: Uuid,
    pub principal: Cow<'a, str>,
    pub reason: Cow<'a, str>,
    pub ticket: Option<Cow<'a, str>>,
    pub region: Cow<'a, str>,
    pub image_id: Cow<'a, str>,
    pub shared_account_id: Cow<'a, str>,
    pub generation: Option<i64>,
    pub aws_request_id: Option<Cow<'a, str>>,
    pub error_reason: Option<Cow<'a, str>>,
}

impl<'a> Columns<'a> {
    /// As they are where nobody has changed them.
    pub fn of(entry: &'a Entry) -> Self {
        let (intent, last) = (&entry.intent, entry.attempts.last());
        let (key, failure) = (&intent.key, entry.failure.as_ref());
        Self {
            stage: entry.stage.as_str().into(),
            action: intent.action.as_str().into(),
            cause: intent.cause.as_str().into(),
            change_id: entry.generation.map(|_| intent.change_id.0),
            request_id: intent.request_id.0,
            principal: intent.principal.as_str().into(),
            reason: intent.reason.as_str().into(),
            ticket: intent.ticket.as_ref().map(|ticket| ticket.as_str().into()),
            region: key.region.as_str().into(),
            image_id: key.image.as_str().into(),
            shared_account_id: key.shared_account.as_str().into(),
            generation: entry.generation.map(bigint),
            aws_request_id: last.and_then(|attempt| attempt.aws_request_id.as_deref().map(Cow::from)),
            error_reason: failure.map(|failure| failure.reason.as_str().into()),
        }
    }
}

impl<'a> Columns<'a> {
    /// How they are selected.
    pub(super) const NAMES: &'static str = "stage, action, cause, change_id, request_id, principal, reason, ticket, region, \
        image_id, shared_account_id, generation, aws_request_id, error_reason";

    /// Reads them out of a row, the first of them at this place: by their places, without a copy, and without a look at their
    /// types, since a page has thousands of values.
    pub(super) fn read(row: &'a PgRow, first: usize) -> Result<Self, sqlx::Error> {
        let text = |at: usize| row.try_get_unchecked::<&str, _>(first + at).map(Cow::from);
        let optional = |at: usize| {
            let text: Option<&str> = row.try_get_unchecked(first + at)?;
            Ok::<_, sqlx::Error>(text.map(Cow::from))
        };
        Ok(Self {
            stage: text(0)?,
            action: text(1)?,
            cause: text(2)?,
            change_id: row.try_get_unchecked(first + 3)?,
            request_id: row.try_get_unchecked(first + 4)?,
            principal: text(5)?,
            reason: text(6)?,
            ticket: optional(7)?,
            region: text(8)?,
            image_id: text(9)?,
            shared_account_id: text(10)?,
            generation: row.try_get_unchecked(first + 11)?,
            aws_request_id: optional(12)?,
            error_reason: optional(13)?,
        })
    }

    /// A copy that outlives the row.
    pub fn into_owned(self) -> Columns<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Columns {
            stage: owned(self.stage),
            action: owned(self.action),
            cause: owned(self.cause),
            change_id: self.change_id,
            request_id: self.request_id,
            principal: owned(self.principal),
            reason: owned(self.reason),
            ticket: self.ticket.map(owned),
            region: owned(self.region),
            image_id: owned(self.image_id),
            shared_account_id: owned(self.shared_account_id),
            generation: self.generation,
            aws_request_id: self.aws_request_id.map(owned),
            error_reason: self.error_reason.map(owned),
        }
    }
}
