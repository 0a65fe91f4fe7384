//! Failures as JSON, for `-o json`: one document on standard error.

use std::ffi::OsString;

use serde::Serialize;
use serde_json::Value;
use tonic::Code;

use super::{
    failure::{ErrorAnswer, Exit, Failure, FieldProblem},
    text::one_line,
};

/// The reason of a command line that cannot be parsed.
const USAGE: &str = "USAGE";
/// The reason of a connection that could not be made or broke.
const CONNECTION: &str = "CONNECTION";
/// The reason of other failures that the service did not report.
const LOCAL: &str = "LOCAL";

#[derive(Serialize)]
struct Document<'a> {
    error: Members<'a>,
}

/// The members have the names and the forms of proto3 JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    code: String,
    reason: &'a str,
    message: &'a str,
    hint: &'a str,
    metadata: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Field<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_delay: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_command: Option<&'a str>,
    exit_code: u8,
}

#[derive(Serialize)]
struct Field<'a> {
    field: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    option: Option<&'a str>,
    description: &'a str,
}

/// The failure as a JSON document: `code` (of gRPC), `reason` (of the API, or `USAGE`, `CONNECTION`, `LOCAL`), `message`, `hint`,
/// `metadata`, `violations`, `retryDelay`, `nextCommand` and `exitCode`.
pub fn failure_in_json(failure: &Failure) -> String {
    let answer = failure.answer.as_deref();
    let reason = match answer.and_then(|answer| answer.reason.as_deref()) {
        Some(reason) => reason,
        None if failure.is_of_connection => CONNECTION,
        None if failure.is_usage => USAGE,
        None => LOCAL,
    };
    let violations = answer.map_or(&[][..], |answer| &answer.violations);
    let document = Document {
        error: Members {
            code: answer.map_or_else(|| name_of(code_of(failure.exit)), |answer| name_of(answer.code)),
            reason,
            message: &failure.what,
            hint: &failure.hint,
            metadata: answer.map_or_else(|| Value::Object(serde_json::Map::new()), metadata),
            violations: violations.iter().chain(&failure.faults).map(Field::from).collect(),
            retry_delay: answer
                .and_then(|answer| answer.retry_delay)
                .map(|delay| format!("{}s", delay.as_secs_f64())),
            next_command: failure.next.as_ref().map(|(_, command)| command.as_str()),
            exit_code: failure.exit_code(),
        },
    };
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn metadata(answer: &ErrorAnswer) -> Value {
    answer
        .metadata
        .iter()
        .map(|(name, value)| (name.clone(), Value::String(value.clone())))
        .collect()
}

impl<'a> From<&'a FieldProblem> for Field<'a> {
    fn from(violation: &'a FieldProblem) -> Self {
        Self {
            field: &violation.field,
            option: violation.option,
            description: &violation.description,
        }
    }
}

/// The code nearest to an exit code, for failures that the service did not report.
fn code_of(exit: Exit) -> Code {
    match exit {
        Exit::General => Code::Unknown,
        Exit::Invalid => Code::InvalidArgument,
        Exit::NotFound => Code::NotFound,
        Exit::Refused => Code::PermissionDenied,
        Exit::Pending => Code::DeadlineExceeded,
        Exit::TryLater => Code::Unavailable,
        Exit::NotPossible | Exit::Drift => Code::FailedPrecondition,
        Exit::Superseded => Code::Aborted,
        Exit::Tampered => Code::DataLoss,
    }
}

/// The code as the protocol writes it, such as `DEADLINE_EXCEEDED`.
fn name_of(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// The failure for a command line that the parser refuses.
pub fn usage_failure(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let mut parts = text.trim_start_matches("error: ").split("\n\n");
    let what = parts.next().unwrap_or_default();
    let tip = parts.find_map(|part| part.trim_start().strip_prefix("tip: ").map(one_line));
    let hint = tip.unwrap_or_else(|| "see --help".to_owned());
    Failure {
        is_usage: true,
        ..Failure::new(Exit::Invalid, what, hint)
    }
}

/// True if these arguments ask for JSON. For a command line that the parser refuses.
pub fn wants_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let mut is_value = false;
    for argument in arguments {
        let argument = argument.to_string_lossy();
        let value = match &*argument {
            "--" => return false,
            "-o" | "--output" => {
                is_value = true;
                continue;
            }
            text if is_value => text,
            text => match text.strip_prefix("--output=").or_else(|| text.strip_prefix("-o")) {
                Some(value) => value.trim_start_matches('='),
                None => continue,
            },
        };
        if value == "json" {
            return true;
        }
        is_value = false;
    }
    false
}
