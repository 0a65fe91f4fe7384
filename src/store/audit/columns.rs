//! What an entry's row repeats of its text.

use uuid::Uuid;

use crate::{domain::Entry, store::rows::bigint};

/// What an entry's row repeats of its text, beside its place and its time: what filters and views look at.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
#[expect(missing_docs, reason = "the columns are documented in the migration")]
pub struct Columns {
    pub stage: String,
    pub action: String,
    pub cause: String,
    pub change_id: Option<Uuid>,
    pub request_id: Uuid,
    pub principal: String,
    pub reason: String,
    pub ticket: Option<String>,
    pub region: String,
    pub image_id: String,
    pub shared_account_id: String,
    pub generation: Option<i64>,
    pub aws_request_id: Option<String>,
    pub error_reason: Option<String>,
}

impl Columns {
    /// As they are where nobody has changed them.
    pub fn of(entry: &Entry) -> Self {
        let (intent, last) = (&entry.intent, entry.attempts.last());
        Self {
            stage: entry.stage.as_str().into(),
            action: intent.action.as_str().into(),
            cause: intent.cause.as_str().into(),
            change_id: entry.generation.map(|_| intent.change_id.0),
            request_id: intent.request_id.0,
            principal: intent.principal.to_string(),
            reason: intent.reason.to_string(),
            ticket: intent.ticket.as_ref().map(ToString::to_string),
            region: intent.key.region.to_string(),
            image_id: intent.key.image.to_string(),
            shared_account_id: intent.key.shared_account.to_string(),
            generation: entry.generation.map(bigint),
            aws_request_id: last.and_then(|attempt| attempt.aws_request_id.clone()),
            error_reason: entry.failure.as_ref().map(|failure| failure.reason.as_str().into()),
        }
    }
}
