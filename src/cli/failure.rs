//! Failures of commands: one line for a person, an exit code for a program.

use std::{fmt, io};

use super::{error_hint, justification, text::one_line};
use crate::client::Error;

/// The table of exit codes, for `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  another failure, such as an error inside the service or an output that cannot be written
  2  the command or one of its values is wrong
  3  the image, permission or change does not exist
  4  refused: the policy denies it, or the caller is not authenticated or lacks a role
  5  no outcome within --timeout; an accepted change continues
  6  try again later: the service or AWS is unavailable or overloaded
  7  not possible now, because of the configuration, AWS rules or AWS access
  8  superseded: a newer change of the same permission replaced it
  9  tampered: the audit history is not what was recorded, or its proof does not hold";

/// The exit code of a failed command. 0 is success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Another failure, such as an error inside the service or an output that cannot be written.
    General = 1,
    /// The command or one of its values is wrong. The command line parser exits with this code, too.
    Invalid = 2,
    /// The image, permission or change does not exist.
    NotFound = 3,
    /// The policy denies it, or the caller is not authenticated or lacks a role.
    Refused = 4,
    /// No outcome within the timeout; an accepted change continues.
    Pending = 5,
    /// The service or AWS is unavailable or overloaded: try again later.
    TryLater = 6,
    /// Not possible now, because of the configuration, AWS rules or AWS access.
    NotPossible = 7,
    /// A newer change of the same permission replaced it.
    Superseded = 8,
    /// The audit history is not what was recorded, or its proof does not hold.
    Tampered = 9,
}

/// Why a command failed. Displays as one line: what happened, and what to do. One indented line follows for each invalid field.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    hint: String,
    violations: Vec<String>,
}

impl Failure {
    /// The exit code of the process; see [`EXIT_CODES`].
    pub fn exit_code(&self) -> u8 {
        self.exit as u8
    }

    pub(super) fn is(&self, exit: Exit) -> bool {
        self.exit == exit
    }

    pub(super) fn new(exit: Exit, what: impl AsRef<str>, hint: impl Into<String>) -> Self {
        Self {
            exit,
            what: one_line(what.as_ref()),
            hint: hint.into(),
            violations: Vec::new(),
        }
    }

    /// What happened, without the hint.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// Adds the command that continues, after a text such as "follow it with".
    pub(super) fn then(mut self, how: &str, command: &str) -> Self {
        self.hint = format!("{}; {how}: {command}", self.hint);
        self
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let hint = error_hint::of(error);
        let text = match error.retry_delay {
            Some(delay) => format!("{} (wait at least {})", hint.text, humantime::format_duration(delay)),
            None => hint.text.to_owned(),
        };
        let violations = error.violations.iter();
        Self {
            violations: violations.map(|v| violation(&v.field, &v.description)).collect(),
            ..Self::new(hint.exit, error.to_string(), text)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.hint)?;
        self.violations.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for Failure {}

fn violation(field: &str, description: &str) -> String {
    let description = one_line(description);
    match option_of(field) {
        Some(option) => format!("{option} ({field}): {description}"),
        None => format!("{}: {description}", one_line(field)),
    }
}

/// The option that fills a field of a request.
fn option_of(field: &str) -> Option<&'static str> {
    // `account_ids[2]` is an element of `account_ids`.
    Some(match field.split('[').next().unwrap_or(field) {
        "account_id" => "--account",
        "region" => "--region",
        "image_id" => "--image",
        "shared_account_id" => "--with",
        "request_id" => "--request-id",
        "state" | "states" => "--state",
        "principal" => "--asked-by",
        "created_before" => "--older-than",
        "positions" => "--position",
        "page_size" => "--page-size",
        "change_id" => "CHANGE_ID",
        "account_ids" | "filter.account_ids" => "--account",
        "regions" | "filter.regions" => "--region",
        "filter.image_id" => "--image",
        "filter.shared_account_id" => "--with",
        "filter.principals" => "--asked-by",
        "filter.change_id" => "--change",
        "filter.request_id" => "--request",
        "filter.aws_request_id" => "--aws-request",
        "filter.start_time" | "start_time" => "--since",
        "filter.end_time" | "end_time" => "--until",
        "filter.text" => "--text",
        "log_index" => "INDEX",
        "time" => "TIME",
        "start_index" => "--start",
        "end_index" => "--end",
        "tree_size" => "--tree-size",
        "interval" => "--by",
        "group_by" => "--group-by",
        "kinds" | "filter.kinds" => "--kind",
        "rankings" => "--top",
        "top" => "--top-n",
        "note" => "FILE",
        field => return justification::option_of(field),
    })
}

/// Why a command stops early.
pub(super) enum Stop {
    /// It failed.
    Failed(Failure),
    /// The reader closed its output, such as `| head`. This is not a failure.
    OutputClosed,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(Failure::from(&error))
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        let what = format!("the answer arrived but cannot be written: {error}");
        Failure::new(Exit::General, what, "check the destination of the output").into()
    }
}
