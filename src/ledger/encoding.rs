//! The canonical text of an entry: JSON by the rules of RFC 8785 (JCS), so that equal entries are equal bytes.
//!
//! What does not apply is left out. Numbers are whole and below 2^53; accounts are texts; times are RFC 3339, UTC, with six
//! digits of fraction. The text is what is hashed, stored and exported.

use serde::Serialize;

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
    Ok(serde_json_canonicalizer::to_string(&Line::of(entry, server_version))?)
}

/// The members of an entry's text.
#[derive(Serialize)]
struct Line<'a> {
    account_id: &'a str,
    log_index: u64,
    recorded_at: String,
    stage: &'static str,
    action: &'static str,
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    change_id: Option<String>,
    request_id: String,
    principal: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'a str>,
    region: &'a str,
    image_id: &'a str,
    shared_account_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<AttemptLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    server_version: &'a str,
}

#[derive(Serialize)]
struct AttemptLine<'a> {
    operation: &'static str,
    started_at: String,
    duration_us: u64,
    classification: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(entry: &'a Entry, server_version: &'a str) -> Self {
        let intent = &*entry.intent;
        Self {
            account_id: intent.key.account.as_str(),
            log_index: entry.log_index,
            recorded_at: entry.recorded_at.to_string(),
            stage: entry.stage.as_str(),
            action: intent.action.as_str(),
            cause: intent.cause.as_str(),
            change_id: entry.generation.map(|_| intent.change_id.to_string()),
            request_id: intent.request_id.to_string(),
            principal: intent.principal.as_str(),
            reason: intent.reason.as_str(),
            ticket: intent.ticket.as_ref().map(|ticket| ticket.as_str()),
            region: intent.key.region.as_str(),
            image_id: intent.key.image.as_str(),
            shared_account_id: intent.key.shared_account.as_str(),
            generation: entry.generation,
            previous: entry.previous.map(|access| access.as_str()),
            attempts: entry.attempts.iter().map(AttemptLine::of).collect(),
            error: entry.failure.as_ref().map(ErrorLine::of),
            denied_by: entry.denied_by.as_deref(),
            trace_id: intent.trace_id.as_ref().map(|id| id.as_str()),
            server_version,
        }
    }
}

impl<'a> AttemptLine<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        Self {
            operation: attempt.operation.as_str(),
            started_at: attempt.started_at.to_string(),
            duration_us: u64::try_from(attempt.duration.as_micros()).unwrap_or(u64::MAX),
            classification: attempt.classification.as_str(),
            aws_request_id: attempt.aws_request_id.as_deref(),
            error_code: attempt.error_code.as_deref(),
        }
    }
}

impl<'a> ErrorLine<'a> {
    fn of(failure: &'a Failure) -> Self {
        Self {
            reason: failure.reason.as_str(),
            code: failure.code.as_deref(),
            message: failure.message.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use uuid::Uuid;

    use super::*;
    use crate::domain::*;

    #[test]
    fn an_entry_is_written_with_sorted_members_and_nothing_that_does_not_apply() {
        let entry = Entry {
            log_index: 7,
            recorded_at: Timestamp::parse("2026-11-22T07:05:00.5Z").unwrap(),
            stage: Stage::Failed,
            intent: Arc::new(Intent {
                change_id: ChangeId(Uuid::from_u128(1)),
                request_id: RequestId(Uuid::from_u128(2)),
                key: PermissionKey {
                    account: "000011112222".parse().unwrap(),
                    region: "eu-central-1".parse().unwrap(),
                    image: "wsi-123456789".parse().unwrap(),
                    shared_account: "210987654321".parse().unwrap(),
                },
                action: Action::Grant,
                cause: Cause::Caller,
                principal: "build".parse().unwrap(),
                reason: "say \"é\"\n".parse().unwrap(),
                ticket: None,
                trace_id: None,
            }),
            generation: Some(3),
            previous: Some(Access::NotShared),
            attempts: vec![Attempt {
                operation: Operation::UpdateWorkspaceImagePermission,
                started_at: Timestamp::parse("2026-11-22T07:04:59Z").unwrap(),
                duration: Duration::from_millis(12),
                classification: Classification::Refused,
                aws_request_id: Some("id".into()),
                error_code: Some("ResourceNotFoundException".into()),
            }],
            failure: Some(Failure {
                reason: FailureReason::ImageNotFound,
                code: None,
                message: Some("gone".into()),
            }),
            denied_by: None,
        };
        assert_eq!(
            encode(&entry, "0.1.0").unwrap(),
            concat!(
                r#"{"account_id":"000011112222","action":"GRANT","attempts":[{"aws_request_id":"id","classification":"REFUSED","#,
                r#""duration_us":12000,"error_code":"ResourceNotFoundException","operation":"UpdateWorkspaceImagePermission","#,
                r#""started_at":"2026-11-22T07:04:59.000000Z"}],"cause":"CALLER","change_id":"00000000-0000-0000-0000-000000000001","#,
                r#""error":{"message":"gone","reason":"IMAGE_NOT_FOUND"},"generation":3,"image_id":"wsi-123456789","log_index":7,"#,
                r#""previous":"NOT_SHARED","principal":"build","reason":"say \"é\"\n","recorded_at":"2026-11-22T07:05:00.500000Z","#,
                r#""region":"eu-central-1","request_id":"00000000-0000-0000-0000-000000000002","server_version":"0.1.0","#,
                r#""shared_account_id":"210987654321","stage":"FAILED"}"#
            )
        );
    }
}
