//! An entry as an OCSF event: API Activity (class 6003), schema 1.3.0, with the profile `cloud`.
//!
//! The API call is that of this service, `GrantSharePermission` or `RevokeSharePermission`: a grant creates a share, a revoke
//! deletes it. A `change.denials` entry has no single call: its activity is Other, and it has a count and the times of the first
//! and the last call. A ledger has no network addresses, so the source endpoint is the principal. Values without an OCSF
//! attribute are in `unmapped`. An entry that is not about a call, or that this program does not know, is a Base Event (class 0)
//! with its text in `raw_data`.

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::canonical::{CanonicalBody, CanonicalEntry};
use crate::{
    cli::justification,
    domain::{EntryKind, OcsfStatus},
    ledger::{Hash, merkle::hex},
};

const SCHEMA: &str = "1.3.0";
const CATEGORY: u32 = 6;
const CLASS: u32 = 6003;
const INFORMATIONAL: u32 = 1;
const AWS_ACCOUNT: u32 = 10;

/// One event, on one line.
pub(super) fn event(origin: &str, line: &CanonicalEntry, canonical: &str, hash: &Hash) -> String {
    match line.known_kind() {
        // Not about a call of the service.
        Some(
            kind @ (EntryKind::CheckpointConfirmed
            | EntryKind::DriftFound
            | EntryKind::DriftResolved
            | EntryKind::DriftObserved
            | EntryKind::DriftBaseline),
        ) => base_event(origin, line, canonical, hash, kind.description()),
        Some(kind) => api_activity(origin, line, kind, hash),
        None => {
            let unknown = format!("{} (schema {}) is not known to this version", line.kind, line.schema);
            base_event(origin, line, canonical, hash, &unknown)
        }
    }
}

fn base_event(origin: &str, line: &CanonicalEntry, canonical: &str, hash: &Hash, message: &str) -> String {
    json!({
        "category_uid": 0,
        "category_name": "Uncategorized",
        "class_uid": 0,
        "class_name": "Base Event",
        "activity_id": 99,
        "activity_name": line.kind,
        "type_uid": 99,
        "type_name": "Base Event: Other",
        "time": milliseconds(&line.recorded_at),
        "severity_id": INFORMATIONAL,
        "severity": "Informational",
        "message": message,
        "metadata": metadata(line),
        "cloud": { "provider": "AWS", "account": { "uid": line.account_id, "type": "AWS Account", "type_id": AWS_ACCOUNT } },
        "raw_data": canonical,
        "unmapped": { "origin": origin, "leaf_hash": hex(hash) },
    })
    .to_string()
}

fn api_activity(origin: &str, line: &CanonicalEntry, kind: EntryKind, hash: &Hash) -> String {
    let body = &line.body;
    let (activity, activity_name, operation) = activity(line);
    let (status, status_name) = status(kind);
    let principal = body.optional("principal").unwrap_or("several principals");
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
        "message": body.optional("reason").unwrap_or(kind.description()),
        "metadata": metadata(line),
        "actor": { "user": { "name": principal } },
        "api": api(line, operation),
        "cloud": {
            "provider": "AWS",
            "account": { "uid": line.account_id, "type": "AWS Account", "type_id": AWS_ACCOUNT },
        },
        "src_endpoint": { "name": principal },
        "resources": resources(line),
        "unmapped": unmapped(origin, line, hash),
    });
    if let Some(region) = body.optional("region") {
        event["cloud"]["region"] = region.into();
    }
    if let Some(detail) = detail(line) {
        event["status_detail"] = detail.into();
    }
    if let Some(count) = body.number("count") {
        event["count"] = count.into();
        event["start_time"] = milliseconds(body.text("first_at")).into();
        event["end_time"] = milliseconds(body.text("last_at")).into();
    }
    event.to_string()
}

/// The image and its recipient; the owner of the images, for an entry that names no image.
fn resources(line: &CanonicalEntry) -> Value {
    let body = &line.body;
    let Some(image) = body.optional("image_id") else {
        return json!([{ "uid": line.account_id, "type": "AWS::Account" }]);
    };
    json!([
        { "uid": image, "type": "AWS::WorkSpaces::Image", "region": body.text("region"),
          "owner": { "account": { "uid": line.account_id } } },
        { "uid": body.text("shared_account_id"), "type": "AWS::Account" },
    ])
}

fn activity(line: &CanonicalEntry) -> (u32, &'static str, &'static str) {
    match line.body.text("action") {
        "GRANT" => (1, "Create", "GrantSharePermission"),
        "REVOKE" => (4, "Delete", "RevokeSharePermission"),
        _ => (99, "Other", "Unknown"),
    }
}

fn status(kind: EntryKind) -> (u32, &'static str) {
    match kind.ocsf_status() {
        OcsfStatus::Success => (1, "Success"),
        OcsfStatus::Failure => (2, "Failure"),
        OcsfStatus::Other => (99, kind.name()),
    }
}

fn detail(line: &CanonicalEntry) -> Option<&str> {
    let denied = || line.body.optional("denied_by").map(|_| "POLICY_DENIED");
    line.body.optional("error_reason").or_else(denied)
}

fn metadata(line: &CanonicalEntry) -> Value {
    let mut metadata = json!({
        "version": SCHEMA,
        "profiles": ["cloud"],
        "product": { "name": "sharewarden", "vendor_name": "sharewarden", "version": line.server_version },
        "uid": format!("{}/{}", line.account_id, line.log_index),
        "event_code": line.kind,
        "original_time": line.recorded_at,
        "sequence": line.log_index,
        "log_name": format!("ledger of {}", line.account_id),
    });
    if let Some(change_id) = line.body.optional("change_id") {
        metadata["correlation_uid"] = change_id.into();
    }
    metadata
}

fn api(line: &CanonicalEntry, operation: &str) -> Value {
    let mut api = json!({
        "operation": operation,
        "version": "v1",
        "service": { "name": "sharewarden.v1.SharePermissionService" },
    });
    if let Some(request_id) = line.body.optional("request_id") {
        api["request"] = json!({ "uid": request_id });
    }
    if let Some(reason) = line.body.optional("error_reason") {
        api["response"] = response(&line.body, reason);
    }
    api
}

fn response(body: &CanonicalBody, reason: &str) -> Value {
    let mut response = json!({ "error": body.optional("error_code").unwrap_or(reason) });
    if let Some(message) = body.optional("error_message") {
        response["error_message"] = message.into();
    }
    response
}

fn unmapped(origin: &str, line: &CanonicalEntry, hash: &Hash) -> Value {
    let body = &line.body;
    let text = |name| body.optional(name).map(Value::from);
    let members = [
        ("origin", Some(Value::from(origin))),
        ("leaf_hash", Some(hex(hash).into())),
        ("cause", text("cause")),
        ("generation", body.number("generation").map(Value::from)),
        ("previous", text("previous")),
        ("attempts", Some(body.attempts().len().into())),
        ("aws_request_id", text("aws_request_id")),
        ("denied_by", text("denied_by")),
        ("trace_id", text("trace_id")),
        (
            "credentials",
            Some(body.credentials())
                .filter(|kinds| !kinds.is_empty())
                .map(Value::from),
        ),
        ("claims", body.value_at("/authentication/claims")),
        ("decision", body.value("decision")),
        ("expire_time", text("expire_time")),
        ("previous_basis", body.value("previous_basis")),
    ];
    // The event has the reason as its message.
    let texts = justification::NAMES.iter().filter(|name| **name != "reason");
    let texts = texts.map(|&name| (name, text(name)));
    let members = members.into_iter().chain(texts);
    members
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// Milliseconds since 1970.
fn milliseconds(time: &str) -> i64 {
    let time = OffsetDateTime::parse(time, &Rfc3339).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}
