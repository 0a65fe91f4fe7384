//! An entry as an OCSF event: API Activity (class 6003), schema 1.3.0, with the profile `cloud`.
//!
//! The call is the one to this service, `GrantSharePermission` or `RevokeSharePermission`: a grant creates a share, a revoke deletes
//! it. A ledger does not record addresses, so the source of the activity is named by who asked. What OCSF has no place for
//! is in `unmapped`.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::line::{ErrorLine, Line};
use crate::ledger::Hash;
use crate::ledger::merkle::hex;

const SCHEMA: &str = "1.3.0";
const CATEGORY: u32 = 6;
const CLASS: u32 = 6003;
const INFORMATIONAL: u32 = 1;
const AWS_ACCOUNT: u32 = 10;

/// One event, on one line.
pub(super) fn event(origin: &str, line: &Line, hash: &Hash) -> String {
    let (activity, activity_name, operation) = activity(line);
    let (status, status_name) = status(line);
    let mut event = json!({
        "category_uid": CATEGORY,
        "category_name": "Application Activity",
        "class_uid": CLASS,
        "class_name": "API Activity",
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": CLASS * 100 + activity,
        "type_name": format!("API Activity: {activity_name}"),
        "time": milliseconds(&line.recorded_at),
        "severity_id": INFORMATIONAL,
        "severity": "Informational",
        "status_id": status,
        "status": status_name,
        "message": line.reason,
        "metadata": metadata(line),
        "actor": { "user": { "name": line.principal } },
        "api": api(line, operation),
        "cloud": {
            "provider": "AWS",
            "region": line.region,
            "account": { "uid": line.account_id, "type": "AWS Account", "type_id": AWS_ACCOUNT },
        },
        "src_endpoint": { "name": line.principal },
        "resources": [
            { "uid": line.image_id, "type": "AWS::WorkSpaces::Image", "region": line.region,
              "owner": { "account": { "uid": line.account_id } } },
            { "uid": line.shared_account_id, "type": "AWS::Account" },
        ],
        "unmapped": unmapped(origin, line, hash),
    });
    if let Some(detail) = detail(line) {
        event["status_detail"] = detail.into();
    }
    event.to_string()
}

fn activity(line: &Line) -> (u32, &'static str, &'static str) {
    match line.action.as_str() {
        "GRANT" => (1, "Create", "GrantSharePermission"),
        "REVOKE" => (4, "Delete", "RevokeSharePermission"),
        _ => (99, "Other", "Unknown"),
    }
}

/// A request has no outcome yet, and what a newer change took the place of has none of its own.
fn status(line: &Line) -> (u32, &str) {
    match line.stage.as_str() {
        "SUCCEEDED" => (1, "Success"),
        "FAILED" | "DENIED" => (2, "Failure"),
        stage => (99, stage),
    }
}

fn detail(line: &Line) -> Option<String> {
    let error = line.error.as_ref().map(|error| error.reason.clone());
    let denied = || (line.stage == "DENIED").then(|| "POLICY_DENIED".to_owned());
    error.or_else(denied)
}

fn metadata(line: &Line) -> Value {
    let mut metadata = json!({
        "version": SCHEMA,
        "profiles": ["cloud"],
        "product": { "name": "sharewarden", "vendor_name": "sharewarden", "version": line.server_version },
        "uid": format!("{}/{}", line.account_id, line.log_index),
        "event_code": line.stage,
        "original_time": line.recorded_at,
        "sequence": line.log_index,
        "log_name": format!("ledger of {}", line.account_id),
    });
    if let Some(change_id) = &line.change_id {
        metadata["correlation_uid"] = change_id.as_str().into();
    }
    metadata
}

fn api(line: &Line, operation: &str) -> Value {
    let mut api = json!({
        "operation": operation,
        "version": "v1",
        "service": { "name": "sharewarden.v1.SharePermissionService" },
        "request": { "uid": line.request_id },
    });
    if let Some(error) = &line.error {
        api["response"] = response(error);
    }
    api
}

fn response(error: &ErrorLine) -> Value {
    let mut response = json!({ "error": error.code.as_ref().unwrap_or(&error.reason) });
    if let Some(message) = &error.message {
        response["error_message"] = message.as_str().into();
    }
    response
}

fn unmapped(origin: &str, line: &Line, hash: &Hash) -> Value {
    let members = [
        ("origin", Some(Value::from(origin))),
        ("leaf_hash", Some(hex(hash).into())),
        ("cause", Some(line.cause.as_str().into())),
        ("ticket", line.ticket.as_deref().map(Value::from)),
        ("generation", line.generation.map(Value::from)),
        ("previous", line.previous.as_deref().map(Value::from)),
        ("attempts", Some(line.attempts.len().into())),
        ("aws_request_id", line.aws_request_id().map(Value::from)),
        ("denied_by", line.denied_by.as_deref().map(Value::from)),
        ("trace_id", line.trace_id.as_deref().map(Value::from)),
    ];
    let members = members.into_iter();
    members
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// Milliseconds since 1970.
fn milliseconds(time: &str) -> i64 {
    let time = OffsetDateTime::parse(time, &Rfc3339).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}
