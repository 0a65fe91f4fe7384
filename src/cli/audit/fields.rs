//! Compares the fields of an entry, which no hash covers, with the canonical text, which one does.

use super::line::{AttemptLine, Line};
use super::moment::timestamp;
use crate::domain::Timestamp;
use crate::proto::v1::attempt::Classification;
use crate::proto::v1::{Access, Action, Attempt, AuditEntry, Cause, ErrorReason, Stage};

/// The first field that does not say what the text says.
pub(super) fn first_wrong(entry: &AuditEntry, line: &Line) -> Option<&'static str> {
    let error = line.error.as_ref();
    let fields = [
        ("account_id", entry.account_id == line.account_id),
        ("log_index", entry.log_index == line.log_index),
        ("record_time", is_time(entry.record_time.as_ref(), &line.recorded_at)),
        ("stage", is_named(entry.stage, stage, &line.stage)),
        ("action", is_named(entry.action, action, &line.action)),
        ("cause", is_named(entry.cause, cause, &line.cause)),
        ("change_id", is_text(&entry.change_id, line.change_id.as_deref())),
        ("request_id", entry.request_id == line.request_id),
        ("principal", entry.principal == line.principal),
        ("reason", entry.reason == line.reason),
        ("ticket", is_text(&entry.ticket, line.ticket.as_deref())),
        ("region", entry.region == line.region),
        ("image_id", entry.image_id == line.image_id),
        ("shared_account_id", entry.shared_account_id == line.shared_account_id),
        ("generation", entry.generation == line.generation.unwrap_or_default()),
        (
            "previous",
            is_named(entry.previous, access, line.previous.as_deref().unwrap_or(NONE)),
        ),
        ("attempts", are_attempts(&entry.attempts, &line.attempts)),
        (
            "error_reason",
            is_named(entry.error_reason, reason, error.map_or(NONE, |error| &error.reason)),
        ),
        (
            "error_code",
            is_text(&entry.error_code, error.and_then(|error| error.code.as_deref())),
        ),
        (
            "error_message",
            is_text(&entry.error_message, error.and_then(|error| error.message.as_deref())),
        ),
        ("denied_by", is_text(&entry.denied_by, line.denied_by.as_deref())),
        ("trace_id", is_text(&entry.trace_id, line.trace_id.as_deref())),
        ("server_version", entry.server_version == line.server_version),
    ];
    fields.into_iter().find(|(_, holds)| !holds).map(|(name, _)| name)
}

/// What the text leaves out is unspecified as a message has it.
const NONE: &str = "UNSPECIFIED";

fn stage(name: &str) -> Option<Stage> {
    Stage::from_str_name(&format!("STAGE_{name}"))
}

fn action(name: &str) -> Option<Action> {
    Action::from_str_name(&format!("ACTION_{name}"))
}

fn cause(name: &str) -> Option<Cause> {
    Cause::from_str_name(&format!("CAUSE_{name}"))
}

fn access(name: &str) -> Option<Access> {
    Access::from_str_name(&format!("ACCESS_{name}"))
}

fn reason(name: &str) -> Option<ErrorReason> {
    ErrorReason::from_str_name(&format!("ERROR_REASON_{name}"))
}

fn classification(name: &str) -> Option<Classification> {
    Classification::from_str_name(&format!("CLASSIFICATION_{name}"))
}

/// A newer service's name has a number that this client does not know either: then that number is shown, and not another name.
fn is_named<E: TryFrom<i32> + Into<i32>>(number: i32, named: fn(&str) -> Option<E>, name: &str) -> bool {
    named(name).map_or_else(|| E::try_from(number).is_err(), |named| named.into() == number)
}

fn is_text(text: &str, said: Option<&str>) -> bool {
    text == said.unwrap_or_default()
}

fn is_time(time: Option<&pbjson_types::Timestamp>, said: &str) -> bool {
    let said = Timestamp::parse(said).map(|time| timestamp(time.to_offset_date_time()));
    said.is_some() && said.as_ref() == time
}

fn are_attempts(attempts: &[Attempt], lines: &[AttemptLine]) -> bool {
    attempts.len() == lines.len()
        && attempts
            .iter()
            .zip(lines)
            .all(|(attempt, line)| is_attempt(attempt, line))
}

fn is_attempt(attempt: &Attempt, line: &AttemptLine) -> bool {
    let duration = std::time::Duration::from_micros(line.duration_us).into();
    attempt.operation == line.operation
        && is_time(attempt.start_time.as_ref(), &line.started_at)
        && attempt.duration.as_ref() == Some(&duration)
        && is_named(attempt.classification, classification, &line.classification)
        && is_text(&attempt.aws_request_id, line.aws_request_id.as_deref())
        && is_text(&attempt.error_code, line.error_code.as_deref())
}
