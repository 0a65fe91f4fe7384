//! Reads the canonical text of an entry back.

use std::{borrow::Cow, str::FromStr, sync::Arc, time::Duration};

use serde::Deserialize;
use uuid::Uuid;

use crate::domain::{
    Access, Action, Attempt, Cause, ChangeId, Classification, Entry, Failure, FailureReason, Intent, Operation,
    PermissionKey, Stage, Timestamp,
};

/// An entry as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The entry. A refusal has no change: its id is nil.
    pub entry: Entry,
    /// The version of the server that recorded it.
    pub server_version: String,
}

/// A text that [`encode`](super::encode) did not make.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is not JSON, lacks a member, or has one too many.
    #[error("the text is not that of an entry")]
    Json(#[from] serde_json::Error),
    /// A member has a value that it cannot have.
    #[error("{0} cannot have this value in the text of an entry")]
    Member(&'static str),
}

/// Reads [`encode`](super::encode).
///
/// # Errors
/// When a member is missing, unknown or has a value that it cannot have.
pub fn decode(text: &str) -> Result<Recorded, DecodeError> {
    serde_json::from_str::<Line>(text)?.into_recorded()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    account_id: &'a str,
    log_index: u64,
    recorded_at: &'a str,
    stage: &'a str,
    action: &'a str,
    cause: &'a str,
    change_id: Option<&'a str>,
    request_id: &'a str,
    #[serde(borrow)]
    principal: Cow<'a, str>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
    ticket: Option<String>,
    region: &'a str,
    image_id: &'a str,
    shared_account_id: &'a str,
    generation: Option<u64>,
    previous: Option<&'a str>,
    #[serde(borrow, default)]
    attempts: Vec<AttemptLine<'a>>,
    #[serde(borrow)]
    error: Option<ErrorLine<'a>>,
    denied_by: Option<String>,
    trace_id: Option<&'a str>,
    server_version: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AttemptLine<'a> {
    operation: &'a str,
    started_at: &'a str,
    duration_us: u64,
    classification: &'a str,
    aws_request_id: Option<String>,
    error_code: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorLine<'a> {
    reason: &'a str,
    code: Option<String>,
    message: Option<String>,
}

impl Line<'_> {
    fn into_recorded(self) -> Result<Recorded, DecodeError> {
        let attempts = self.attempts.into_iter().map(AttemptLine::into_attempt);
        let entry = Entry {
            log_index: self.log_index,
            recorded_at: timestamp("recorded_at", self.recorded_at)?,
            stage: known("stage", Stage::parse(self.stage))?,
            generation: self.generation,
            previous: optional(self.previous, |text| known("previous", Access::parse(text)))?,
            attempts: attempts.collect::<Result<_, _>>()?,
            failure: optional(self.error, ErrorLine::into_failure)?,
            denied_by: self.denied_by,
            intent: Arc::new(Intent {
                change_id: change_id(self.change_id, self.generation)?,
                request_id: id("request_id", self.request_id)?,
                key: PermissionKey {
                    account: named("account_id", self.account_id)?,
                    region: named("region", self.region)?,
                    image: named("image_id", self.image_id)?,
                    shared_account: named("shared_account_id", self.shared_account_id)?,
                },
                action: known("action", Action::parse(self.action))?,
                cause: known("cause", Cause::parse(self.cause))?,
                principal: named("principal", &self.principal)?,
                reason: named("reason", &self.reason)?,
                ticket: optional(self.ticket, |text| named("ticket", &text))?,
                trace_id: optional(self.trace_id, |text| named("trace_id", text))?,
            }),
        };
        Ok(Recorded {
            entry,
            server_version: self.server_version,
        })
    }
}

impl AttemptLine<'_> {
    fn into_attempt(self) -> Result<Attempt, DecodeError> {
        Ok(Attempt {
            operation: known("operation", Operation::parse(self.operation))?,
            started_at: timestamp("started_at", self.started_at)?,
            duration: Duration::from_micros(self.duration_us),
            classification: known("classification", Classification::parse(self.classification))?,
            aws_request_id: self.aws_request_id,
            error_code: self.error_code,
        })
    }
}

impl ErrorLine<'_> {
    fn into_failure(self) -> Result<Failure, DecodeError> {
        Ok(Failure {
            reason: known("error.reason", FailureReason::parse(self.reason))?,
            code: self.code,
            message: self.message,
        })
    }
}

/// A change has an id and a generation; a refusal has neither.
fn change_id(text: Option<&str>, generation: Option<u64>) -> Result<ChangeId, DecodeError> {
    match (text, generation) {
        (Some(text), Some(_)) => id("change_id", text),
        (None, None) => Ok(ChangeId(Uuid::nil())),
        _ => Err(DecodeError::Member("change_id")),
    }
}

fn known<T>(member: &'static str, value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Member(member))
}

fn optional<T, U>(value: Option<T>, read: impl FnOnce(T) -> Result<U, DecodeError>) -> Result<Option<U>, DecodeError> {
    value.map(read).transpose()
}

/// Reads a name or a text: what is read is what it is.
fn named<T: FromStr>(member: &'static str, text: &str) -> Result<T, DecodeError> {
    known(member, text.parse().ok())
}

/// Reads an id, of whose texts only the one in lower case is written.
fn id<T: FromStr>(member: &'static str, text: &str) -> Result<T, DecodeError> {
    if text.bytes().any(|letter| letter.is_ascii_uppercase()) {
        return Err(DecodeError::Member(member));
    }
    known(member, text.parse().ok())
}

fn timestamp(member: &'static str, text: &str) -> Result<Timestamp, DecodeError> {
    known(member, Timestamp::parse_displayed(text))
}
