//! Which answers to a call are allowed, and which entries it may leave.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, MethodDescriptor};
use serde_json::Value;
use sharewarden_testkit::http2::{Http2Call, Http2Outcome, Http2Response};

const UNKNOWN: i32 = 2;
const INVALID_ARGUMENT: i32 = 3;
const INTERNAL: i32 = 13;
const UNAUTHENTICATED: i32 = 16;
/// The principal of the changes that the service makes at the end of a share.
const AUTOMATION: &str = "sharewarden";

/// A call, and what the test expects of it.
pub(crate) struct Sent {
    pub(crate) method: MethodDescriptor,
    pub(crate) call: Http2Call,
    /// The principal of the call. No other call has it.
    pub(crate) principal: String,
    /// The message that may take effect. None if the call must have no effect.
    pub(crate) message: Option<Vec<u8>>,
    /// HTTP may refuse the call before gRPC sees it.
    pub(crate) may_be_refused: bool,
}

/// An error if the answer is not allowed.
pub(crate) fn judge(sent: &Sent, answer: &Http2Outcome) -> Result<(), String> {
    let given = match answer {
        Http2Outcome::None => return Err("no answer in time".into()),
        Http2Outcome::Refused(_) if sent.may_be_refused => return Ok(()),
        Http2Outcome::Refused(why) => return Err(format!("refused without an answer: {why}")),
        Http2Outcome::Response(given) => given,
    };
    if given.http != 200 {
        let is_allowed = sent.may_be_refused && (400..500).contains(&given.http);
        return is_allowed.then_some(()).ok_or_else(|| format!("HTTP {}", given.http));
    }
    match code(given) {
        Some(code @ (UNKNOWN | INTERNAL)) => Err(format!("code {code}: {:?}", given.value("grpc-message"))),
        Some(code) if !(0..=16).contains(&code) => Err(format!("{code} is not a code of gRPC")),
        Some(_) => Ok(()),
        None if sent.call.is_streamed && !given.is_whole => Ok(()),
        // gRPC-Web has the status in the body, which may be base64.
        None if is_for_browsers(given) => Ok(()),
        None => Err(format!("no status: {given:?}")),
    }
}

fn is_for_browsers(given: &Http2Response) -> bool {
    let content_type = given.headers.get("content-type");
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc-web"))
}

fn code(given: &Http2Response) -> Option<i32> {
    given.code().or_else(|| {
        let body = String::from_utf8_lossy(&given.body);
        let (_, rest) = body.rsplit_once("grpc-status:")?;
        rest.split('\r').next()?.trim().parse().ok()
    })
}

/// The message of an answer with OK.
pub(crate) fn message(sent: &Sent, answer: &Http2Outcome) -> Option<DynamicMessage> {
    let Http2Outcome::Response(given) = answer else {
        return None;
    };
    DynamicMessage::decode(sent.method.output(), given.body.get(5..)?).ok()
}

/// The calls of the run, to compare the ledgers with.
#[derive(Default)]
pub(crate) struct Made {
    calls: HashMap<String, MadeCall>,
    /// The calls that made the changes on record so far, and those whose share the service ended.
    requested_by: HashMap<String, String>,
    /// The answers that are not allowed.
    pub(crate) wrong: Vec<String>,
}

struct MadeCall {
    number: u64,
    /// It asks for a change, or for a baseline of drift.
    is_recorded: bool,
    message: Option<DynamicMessage>,
    was_refused: bool,
}

impl Made {
    pub(crate) fn note(&mut self, number: u64, sent: &Sent, answer: &Http2Outcome) {
        let input = sent.method.input();
        let message = sent.message.as_deref();
        let call = MadeCall {
            number,
            is_recorded: input.get_field_by_name("validate_only").is_some()
                || ["ConfirmDriftBaseline", "WithdrawDriftBaseline"].contains(&sent.method.name()),
            message: message.and_then(|message| DynamicMessage::decode(input, message).ok()),
            was_refused: match answer {
                Http2Outcome::Response(given) => is_refusal(given),
                Http2Outcome::Refused(_) | Http2Outcome::None => false,
            },
        };
        self.calls.insert(sent.principal.clone(), call);
    }

    pub(crate) fn append(&mut self, more: Self) {
        self.calls.extend(more.calls);
        self.requested_by.extend(more.requested_by);
        self.wrong.extend(more.wrong);
    }

    /// Fails unless a call that was not refused requested exactly this entry, or the grant whose share ended with it. The entries
    /// of an account come in the order of their indexes.
    pub(crate) fn judge(&mut self, entry: &Value) -> Result<(), String> {
        // The account is a member of every entry; the others are of its body.
        let member = |name: &str| entry.get(name).unwrap_or(&entry["body"][name]);
        let text = |name: &str| member(name).as_str().unwrap_or_default().to_owned();
        let is_end = text("principal") == AUTOMATION;
        let principal = if is_end {
            let basis = entry["body"]["previous_basis"]["change_id"].as_str();
            let known = basis.map_or_else(|| text("change_id"), str::to_owned);
            self.requested_by.get(&known).ok_or("no grant ends")?.clone()
        } else {
            text("principal")
        };
        self.requested_by.insert(text("change_id"), principal.clone());
        let call = self.calls.get(&principal).ok_or("no call has this principal")?;
        let case = call.number;
        if !call.is_recorded || call.was_refused {
            return Err(format!("case {case} must have no effect"));
        }
        let message = call
            .message
            .as_ref()
            .ok_or(format!("the message of case {case} is invalid"))?;
        if message
            .get_field_by_name("validate_only")
            .is_some_and(|flag| flag.as_bool() == Some(true))
        {
            return Err(format!("case {case} only validates"));
        }
        // The service has its own reason for an end, and a baseline is of an account.
        let names: &[_] = match text("kind").as_str() {
            "drift.baseline" => &["account_id", "reason"],
            _ if is_end => &["account_id", "region", "image_id", "shared_account_id"],
            _ => &["account_id", "region", "image_id", "shared_account_id", "reason"],
        };
        for name in names {
            let asked = message.get_field_by_name(name);
            let asked = asked.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
            if asked != text(name) {
                return Err(format!("case {case} requested {name} {asked:?}"));
            }
        }
        Ok(())
    }
}

/// Whether the answer says that the call left no entry.
fn is_refusal(given: &Http2Response) -> bool {
    given.http != 200 || matches!(code(given), Some(INVALID_ARGUMENT | UNAUTHENTICATED)) && !names_a_change(given)
}

/// A refusal of AWS and a reused request id are INVALID_ARGUMENT too, but their details name a change.
fn names_a_change(given: &Http2Response) -> bool {
    let details = given.value("grpc-status-details-bin");
    let details = details.and_then(|value| {
        use base64::Engine;
        let engine = base64::prelude::BASE64_STANDARD_NO_PAD;
        engine.decode(value.to_str().ok()?.trim_end_matches('=')).ok()
    });
    details.is_some_and(|details| String::from_utf8_lossy(&details).contains("change_id"))
}
