//! The canonical text of an entry: JSON by the rules of RFC 8785 (JCS), so that equal entries are equal bytes.
//!
//! What does not apply is left out. Numbers are whole and below 2^53; accounts are texts; times are RFC 3339, UTC, with six
//! digits of fraction. The text is what is hashed, stored and exported.
//!
//! Of such values `serde_json` writes the text that RFC 8785 asks for, if the members come in the order of their names. So they
//! stand in this order below, and a test compares the text of any entry with that of a canonicalizer.

mod decode;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use decode::{DecodeError, Recorded, decode};

use crate::domain::{Attempt, Entry, Failure};

/// An entry cannot be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode an entry")]
pub struct EncodeError(#[from] serde_json::Error);

/// The canonical text of an entry, made by a server of this version.
///
/// # Errors
/// Never for an entry that the domain can make; the encoder's own error otherwise.
pub fn encode(entry: &Entry, server_version: &str) -> Result<String, EncodeError> {
    Ok(serde_json::to_string(&Line::of(entry, server_version))?)
}

/// The members of an entry's text, in the order of their names; so too below.
#[derive(Serialize)]
struct Line<'a> {
    account_id: &'a str,
    action: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<AttemptLine<'a>>,
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    change_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    image_id: &'a str,
    log_index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<&'static str>,
    principal: &'a str,
    reason: &'a str,
    recorded_at: String,
    region: &'a str,
    request_id: String,
    server_version: &'a str,
    shared_account_id: &'a str,
    stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

#[derive(Serialize)]
struct AttemptLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_request_id: Option<&'a str>,
    classification: &'static str,
    duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    operation: &'static str,
    started_at: String,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    reason: &'static str,
}

impl<'a> Line<'a> {
    fn of(entry: &'a Entry, server_version: &'a str) -> Self {
        let intent = &*entry.intent;
        Self {
            account_id: intent.key.account.as_str(),
            action: intent.action.as_str(),
            attempts: entry.attempts.iter().map(AttemptLine::of).collect(),
            cause: intent.cause.as_str(),
            change_id: entry.generation.map(|_| intent.change_id.to_string()),
            denied_by: entry.denied_by.as_deref(),
            error: entry.failure.as_ref().map(ErrorLine::of),
            generation: entry.generation,
            image_id: intent.key.image.as_str(),
            log_index: entry.log_index,
            previous: entry.previous.map(|access| access.as_str()),
            principal: intent.principal.as_str(),
            reason: intent.reason.as_str(),
            recorded_at: entry.recorded_at.to_string(),
            region: intent.key.region.as_str(),
            request_id: intent.request_id.to_string(),
            server_version,
            shared_account_id: intent.key.shared_account.as_str(),
            stage: entry.stage.as_str(),
            ticket: intent.ticket.as_ref().map(|ticket| ticket.as_str()),
            trace_id: intent.trace_id.as_ref().map(|id| id.as_str()),
        }
    }
}

impl<'a> AttemptLine<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        Self {
            aws_request_id: attempt.aws_request_id.as_deref(),
            classification: attempt.classification.as_str(),
            duration_us: u64::try_from(attempt.duration.as_micros()).unwrap_or(u64::MAX),
            error_code: attempt.error_code.as_deref(),
            operation: attempt.operation.as_str(),
            started_at: attempt.started_at.to_string(),
        }
    }
}

impl<'a> ErrorLine<'a> {
    fn of(failure: &'a Failure) -> Self {
        Self {
            code: failure.code.as_deref(),
            message: failure.message.as_deref(),
            reason: failure.reason.as_str(),
        }
    }
}
