//! Parses an HTTP request: protocol, operation, caller, and what the call log records.
//!
//! This parser is lenient, so that faults and the call log work for every call. The operations validate strictly.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, Method, request::Parts};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    api_error::ApiError,
    caller::{self, AuthError, CallerIdentity},
    calls::CallSummary,
    connection::PeerAddress,
    inventory::Inventory,
    member_reader,
    now::now,
    operations::{self, OperationFn},
    response::AwsProtocol,
    sts::QueryForm,
};

#[derive(Debug)]
pub(super) struct ParsedRequest {
    pub(super) protocol: AwsProtocol,
    pub(super) summary: CallSummary,
    pub(super) sender: RequestSender,
    /// The request, or the error that prevents it.
    pub(super) request: Result<AuthenticatedRequest, ApiError>,
}

/// Where a request came from.
#[derive(Clone, Debug)]
pub(super) struct RequestSender {
    pub(super) address: IpAddr,
    pub(super) user_agent: Option<String>,
}

/// A request of an authenticated caller.
#[derive(Debug)]
pub(super) struct AuthenticatedRequest {
    pub(super) caller: CallerIdentity,
    pub(super) input: OperationInput,
}

#[derive(Debug)]
pub(super) enum OperationInput {
    Json(OperationFn, Map<String, Value>),
    Sts(QueryForm),
}

impl ParsedRequest {
    pub(super) fn read(head: &Parts, body: &Bytes, inventory: &Inventory) -> Self {
        let mut summary = CallSummary {
            request_id: Uuid::new_v4().to_string(),
            host: header(&head.headers, "host").map(short),
            invocation_id: header(&head.headers, "amz-sdk-invocation-id").map(short),
            traceparent: header(&head.headers, "traceparent").map(short),
            ..CallSummary::default()
        };
        let form = is_type(&head.headers, "application/x-www-form-urlencoded");
        let protocol = if form { AwsProtocol::Query } else { AwsProtocol::Json };
        let request = match protocol {
            AwsProtocol::Query => read_query(head, body, inventory, &mut summary),
            AwsProtocol::Json => read_json(head, body, inventory, &mut summary),
        };
        let peer = head.extensions.get::<PeerAddress>();
        let sender = RequestSender {
            address: peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0),
            user_agent: header(&head.headers, "user-agent").map(short),
        };
        Self {
            protocol,
            summary,
            sender,
            request,
        }
    }
}

fn read_query(
    head: &Parts,
    body: &Bytes,
    inventory: &Inventory,
    summary: &mut CallSummary,
) -> Result<AuthenticatedRequest, ApiError> {
    let form = QueryForm::read(body);
    summary.operation = short(form.action());
    check_address(head)?;
    let caller = authenticate(head, "sts", inventory, summary).map_err(AuthError::in_query)?;
    Ok(AuthenticatedRequest {
        caller,
        input: OperationInput::Sts(form),
    })
}

fn read_json(
    head: &Parts,
    body: &Bytes,
    inventory: &Inventory,
    summary: &mut CallSummary,
) -> Result<AuthenticatedRequest, ApiError> {
    let target = header(&head.headers, "x-amz-target").unwrap_or_default();
    summary.operation = short(target.rsplit('.').next().unwrap_or_default());
    let members = member_reader::parse(body);
    if let Ok(members) = &members {
        note_members(members, summary);
    }
    let (service, operation) = operations::find(target);
    let caller = authenticate(head, service, inventory, summary);
    check_address(head)?;
    check_content_type(head)?;
    let operation = operation.ok_or_else(|| unknown_operation(target))?;
    let caller = caller.map_err(AuthError::in_json)?;
    Ok(AuthenticatedRequest {
        caller,
        input: OperationInput::Json(operation, members?),
    })
}

fn authenticate(
    head: &Parts,
    service: &str,
    inventory: &Inventory,
    summary: &mut CallSummary,
) -> Result<CallerIdentity, AuthError> {
    let caller = caller::authenticate(&head.headers, service, inventory, now())?;
    summary.account = Some(caller.account.clone());
    summary.region = Some(caller.region.clone());
    Ok(caller)
}

fn check_address(head: &Parts) -> Result<(), ApiError> {
    if head.uri.path().starts_with("/service/") {
        return Err(unknown("Only AWS JSON 1.1 is supported, not smithy-rpc-v2-cbor."));
    }
    match head.method == Method::POST && head.uri.path() == "/" {
        true => Ok(()),
        false => Err(unknown("An operation must be POST /.")),
    }
}

fn check_content_type(head: &Parts) -> Result<(), ApiError> {
    match is_type(&head.headers, "application/x-amz-json-1.1") {
        true => Ok(()),
        false => Err(unknown("The Content-Type must be application/x-amz-json-1.1.")),
    }
}

fn unknown_operation(target: &str) -> ApiError {
    match target.strip_prefix("WorkspacesService.") {
        Some(name) => unknown(&format!("The simulator has no operation {:?}.", short(name))),
        None => unknown(&format!(
            "X-Amz-Target must be WorkspacesService.<operation>, ResourceGroupsTaggingAPI_20170126.GetResources, or \
             {}.LookupEvents.",
            operations::CLOUDTRAIL
        )),
    }
}

fn unknown(message: &str) -> ApiError {
    ApiError::new("UnknownOperationException", message)
}

fn note_members(members: &Map<String, Value>, summary: &mut CallSummary) {
    let text = |name: &str| members.get(name).and_then(Value::as_str).map(short);
    summary.image = text("ImageId")
        .or_else(|| text("SourceImageId"))
        .or_else(|| text("ResourceId").filter(|id| id.starts_with("wsi-")))
        .or_else(|| only_image(members));
    summary.shared_account = text("SharedAccountId");
    summary.allow = members.get("AllowCopyImage").and_then(Value::as_bool);
}

/// The image that a DescribeWorkspaceImages is about, if it is one.
fn only_image(members: &Map<String, Value>) -> Option<String> {
    match members.get("ImageIds")?.as_array()?.as_slice() {
        [Value::String(id)] => Some(short(id)),
        _ => None,
    }
}

fn is_type(headers: &HeaderMap, wanted: &str) -> bool {
    let found = header(headers, "content-type").unwrap_or_default();
    found
        .split(';')
        .next()
        .is_some_and(|found| found.trim().eq_ignore_ascii_case(wanted))
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Truncates to 128 characters: the call log is in memory.
fn short(text: &str) -> String {
    text.chars().take(128).collect()
}
