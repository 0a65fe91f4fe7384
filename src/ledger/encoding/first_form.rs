//! The first form of an entry's text, which had no body. It is the oracle of what the second form did not change.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Serialize;
use serde_json::Value;

use super::{encode, properties::entry};
use crate::domain::{Attempt, Body, Entry, Failure};

type Members = BTreeMap<String, Value>;

fn members(text: &str) -> Members {
    serde_json::from_str(text).unwrap()
}

proptest! {
    #[test]
    fn the_second_form_says_what_the_first_one_said(entry in entry(), version in "[0-9a-z.+-]{1,20}") {
        let mut first = members(&serde_json::to_string(&Line::of(&entry, &version)).unwrap());
        let mut second = members(&encode(&entry, &version).unwrap());
        for same in ["account_id", "log_index", "recorded_at", "server_version"] {
            prop_assert_eq!(first.remove(same), second.remove(same));
        }
        prop_assert_eq!(second.remove("schema"), Some(1.into()));
        let stage = first.remove("stage").unwrap();
        let kind = format!("change.{}", stage.as_str().unwrap().to_lowercase());
        prop_assert_eq!(second.remove("kind"), Some(kind.into()));
        let mut body: Members = serde_json::from_value(second.remove("body").unwrap()).unwrap();
        prop_assert!(second.is_empty());
        // The error is not an object of its own any more.
        let error: Members = serde_json::from_value(first.remove("error").unwrap_or_else(|| serde_json::json!({}))).unwrap();
        for (name, value) in error {
            prop_assert_eq!(body.remove(&format!("error_{name}")), Some(value));
        }
        // The request id of the last call is a member of its own.
        let attempts = first.get("attempts").and_then(Value::as_array);
        let last = attempts.and_then(|attempts| attempts.last()?.get("aws_request_id").cloned());
        prop_assert_eq!(body.remove("aws_request_id"), last);
        prop_assert_eq!(body, first);
    }
}

fn stage(body: &Body) -> &'static str {
    match body {
        Body::ChangeRequested(_) => "REQUESTED",
        Body::ChangeDenied(_) => "DENIED",
        Body::ChangeSucceeded(_) => "SUCCEEDED",
        Body::ChangeFailed(_) => "FAILED",
        Body::ChangeSuperseded(_) => "SUPERSEDED",
        Body::Unknown(_) => panic!("the first form knew changes only"),
    }
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
    fn of(recorded: &'a Entry, server_version: &'a str) -> Self {
        let entry = recorded.body.change().expect("the first form knew changes only");
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
            log_index: recorded.log_index,
            previous: entry.previous.map(|access| access.as_str()),
            principal: intent.principal.as_str(),
            reason: intent.reason.as_str(),
            recorded_at: recorded.recorded_at.to_string(),
            region: intent.key.region.as_str(),
            request_id: intent.request_id.to_string(),
            server_version,
            shared_account_id: intent.key.shared_account.as_str(),
            stage: stage(&recorded.body),
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
