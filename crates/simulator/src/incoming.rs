//! A request as it came in: which protocol, which operation, who calls, and what the call log should know of it.
//!
//! This reading is lenient, so that faults and the call log work for every call; the operations read strictly.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::caller::{self, Caller, Stranger};
use super::calls::Facts;
use super::members;
use super::now::now;
use super::operations::{self, Operation};
use super::refusal::Refusal;
use super::reply::Protocol;
use super::sts::Form;
use super::world::World;

/// A request, sorted out.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) protocol: Protocol,
    pub(super) facts: Facts,
    /// What is asked for, or why it cannot even be asked.
    pub(super) order: Result<Order, Refusal>,
}

/// What a recognized caller asks for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) caller: Caller,
    pub(super) input: Input,
}

/// The input of an operation.
#[derive(Debug)]
pub(super) enum Input {
    WorkSpaces(Operation, Map<String, Value>),
    Sts(Form),
}

impl Incoming {
    /// Sorts out a request.
    pub(super) fn read(head: &Parts, body: &Bytes, world: &World) -> Self {
        let mut facts = Facts {
            request_id: Uuid::new_v4().to_string(),
            invocation_id: header(&head.headers, "amz-sdk-invocation-id").map(short),
            traceparent: header(&head.headers, "traceparent").map(short),
            ..Facts::default()
        };
        let form = is_type(&head.headers, "application/x-www-form-urlencoded");
        let protocol = if form { Protocol::Query } else { Protocol::Json };
        let order = match protocol {
            Protocol::Query => read_query(head, body, world, &mut facts),
            Protocol::Json => read_json(head, body, world, &mut facts),
        };
        Self { protocol, facts, order }
    }
}

fn read_query(head: &Parts, body: &Bytes, world: &World, facts: &mut Facts) -> Result<Order, Refusal> {
    let form = Form::read(body);
    facts.operation = short(form.action());
    check_address(head)?;
    let caller = recognize(head, "sts", world, facts).map_err(Stranger::in_query)?;
    Ok(Order {
        caller,
        input: Input::Sts(form),
    })
}

fn read_json(head: &Parts, body: &Bytes, world: &World, facts: &mut Facts) -> Result<Order, Refusal> {
    let target = header(&head.headers, "x-amz-target").unwrap_or_default();
    facts.operation = short(target.rsplit('.').next().unwrap_or_default());
    let members = members::parse(body);
    if let Ok(members) = &members {
        note_members(members, facts);
    }
    let caller = recognize(head, "workspaces", world, facts);
    check_address(head)?;
    let operation = find_operation(head, target)?;
    let caller = caller.map_err(Stranger::in_json)?;
    Ok(Order {
        caller,
        input: Input::WorkSpaces(operation, members?),
    })
}

fn recognize(head: &Parts, service: &str, world: &World, facts: &mut Facts) -> Result<Caller, Stranger> {
    let caller = caller::recognize(&head.headers, service, world, now())?;
    facts.account = Some(caller.account.clone());
    facts.region = Some(caller.region.clone());
    Ok(caller)
}

fn check_address(head: &Parts) -> Result<(), Refusal> {
    if head.uri.path().starts_with("/service/") {
        return Err(unknown("Only AWS JSON 1.1 is spoken here, not smithy-rpc-v2-cbor."));
    }
    match head.method == Method::POST && head.uri.path() == "/" {
        true => Ok(()),
        false => Err(unknown("Operations are POST / and nothing else.")),
    }
}

fn find_operation(head: &Parts, target: &str) -> Result<Operation, Refusal> {
    if !is_type(&head.headers, "application/x-amz-json-1.1") {
        return Err(unknown("The Content-Type must be application/x-amz-json-1.1."));
    }
    let name = target.strip_prefix("WorkspacesService.");
    let name = name.ok_or_else(|| unknown("X-Amz-Target must be WorkspacesService.<operation>."))?;
    operations::find(name).ok_or_else(|| unknown(&format!("There is no operation {:?} here.", short(name))))
}

fn unknown(message: &str) -> Refusal {
    Refusal::new("UnknownOperationException", message)
}

fn note_members(members: &Map<String, Value>, facts: &mut Facts) {
    let text = |name: &str| members.get(name).and_then(Value::as_str).map(short);
    facts.image = text("ImageId").or_else(|| text("SourceImageId"));
    facts.shared_account = text("SharedAccountId");
    facts.allow = members.get("AllowCopyImage").and_then(Value::as_bool);
}

fn is_type(headers: &HeaderMap, wanted: &str) -> bool {
    let found = header(headers, "content-type").unwrap_or_default();
    found
        .split(';')
        .next()
        .is_some_and(|found| found.trim().eq_ignore_ascii_case(wanted))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The call log is kept in memory: nobody may fill it with long texts.
fn short(text: &str) -> String {
    text.chars().take(128).collect()
}
