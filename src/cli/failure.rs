//! Failures of commands: one line for a person, an exit code for a program. [`failure_json`](super::failure_json) has the form
//! for programs.

use std::{collections::BTreeMap, fmt, io, time::Duration};

use tonic::Code;

use super::{
    error_hint::{self, advice_of},
    justification,
    text::one_line,
};
use crate::{
    client::{Error, Reason},
    proto::v1::ErrorReason,
};

/// The table of exit codes, for `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  another failure, such as an error inside the service or an output that cannot be written
  2  the command or one of its values is wrong, such as the host, the port or the scheme of --server
  3  the image, permission or change does not exist
  4  refused: the policy denies it, or the caller is not authenticated or lacks a role
  5  no outcome within --timeout; an accepted change continues
  6  try again later: the service or AWS is unavailable or overloaded, or a job was stopped
  7  not possible now, because of the configuration, AWS rules or AWS access
  8  superseded: a newer change of the same permission replaced it
  9  tampered: the audit history is not what was recorded, or its proof does not hold
 10  drift: AWS and the ledger differ";

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
    /// The service or AWS is unavailable or overloaded, or a job was stopped: try again later.
    TryLater = 6,
    /// Not possible now, because of the configuration, AWS rules or AWS access.
    NotPossible = 7,
    /// A newer change of the same permission replaced it.
    Superseded = 8,
    /// The audit history is not what was recorded, or its proof does not hold.
    Tampered = 9,
    /// AWS and the ledger differ.
    Drift = 10,
}

/// Why a command failed. Displays as one line: what happened, and what to do. One indented line follows for each invalid field.
#[derive(Debug)]
pub struct Failure {
    pub(super) exit: Exit,
    /// What happened, to what.
    pub(super) what: String,
    /// What to do. Empty if nothing can be done.
    pub(super) hint: String,
    /// The command that continues, after a text such as "follow it with".
    pub(super) next: Option<(&'static str, String)>,
    /// What the answer of the service says about it. None for a failure on this side.
    pub(super) answer: Option<Box<ErrorAnswer>>,
    /// What is wrong in a file of the command line.
    pub(super) faults: Box<[FieldProblem]>,
    /// True if something other than the service may have answered, or nothing.
    pub(super) is_of_connection: bool,
    /// True if the command line cannot be parsed.
    pub(super) is_usage: bool,
}

/// The parts of an error of a call that programs read.
#[derive(Debug)]
pub(super) struct ErrorAnswer {
    pub(super) code: Code,
    /// The name of the reason. None if a proxy, the transport or this client made the status.
    pub(super) reason: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) retry_delay: Option<Duration>,
    pub(super) violations: Vec<FieldProblem>,
}

/// A field of the request, or of a file, that breaks a rule.
#[derive(Debug)]
pub(super) struct FieldProblem {
    pub(super) field: String,
    /// The option that fills the field.
    pub(super) option: Option<&'static str>,
    pub(super) description: String,
}

impl Failure {
    /// The exit code of the process; see [`EXIT_CODES`].
    pub fn exit_code(&self) -> u8 {
        self.exit as u8
    }

    /// A failure of a command that calls no service.
    pub fn local(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            ..Self::new(Exit::General, "", "")
        }
    }

    pub(super) fn is(&self, exit: Exit) -> bool {
        self.exit == exit
    }

    /// True if the service gave this reason.
    pub(super) fn is_of(&self, reason: ErrorReason) -> bool {
        let given = self.answer.as_ref().and_then(|answer| answer.reason.as_deref());
        given == Some(reason.as_str_name().trim_start_matches("ERROR_REASON_"))
    }

    pub(super) fn new(exit: Exit, what: impl AsRef<str>, hint: impl Into<String>) -> Self {
        Self {
            exit,
            what: one_line(what.as_ref()),
            hint: hint.into(),
            next: None,
            answer: None,
            faults: Box::default(),
            is_of_connection: false,
            is_usage: false,
        }
    }

    /// Adds the faults of a file.
    pub(super) fn with_faults(self, faults: Vec<FieldProblem>) -> Self {
        Self {
            faults: faults.into(),
            ..self
        }
    }

    /// A failure to talk to the service.
    pub(super) fn of_connection(what: impl AsRef<str>, hint: impl Into<String>) -> Self {
        Self {
            is_of_connection: true,
            ..Self::new(Exit::TryLater, what, hint)
        }
    }

    /// What happened, with the reason and without the hint.
    pub(super) fn what(&self) -> String {
        let label = match self.answer.as_deref() {
            None => return self.what.clone(),
            Some(ErrorAnswer {
                reason: Some(reason), ..
            }) => reason.clone(),
            Some(ErrorAnswer { code, .. }) => format!("{code:?}"),
        };
        format!("{} ({label})", self.what)
    }

    /// Names the account, if the failure does not name it yet.
    pub(super) fn of_account(mut self, account: &str) -> Self {
        if !self.what.contains(account) {
            self.what = format!("account {account}: {}", self.what);
        }
        self
    }

    /// Adds the command that continues, after a text such as "follow it with".
    pub(super) fn then(mut self, how: &'static str, command: &str) -> Self {
        self.next = Some((how, command.to_owned()));
        self
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let hint = error_hint::of(error);
        let (what, advice) = advice_of(error);
        let advice = advice.unwrap_or(hint.text);
        let hint_text = match error.retry_delay {
            Some(delay) => format!("{advice} (wait at least {})", humantime::format_duration(delay)),
            None => advice.to_owned(),
        };
        let reason = error.reason.as_ref().map(|reason| match reason {
            Reason::Known(reason) => reason.as_str_name().trim_start_matches("ERROR_REASON_").to_owned(),
            Reason::Unknown(name) => one_line(name),
        });
        let violations = error.violations.iter().map(|violation| FieldProblem {
            field: one_line(&violation.field),
            option: option_of(&violation.field),
            description: one_line(&violation.description),
        });
        Self {
            is_of_connection: reason.is_none() && is_of_transport(error.code),
            answer: Some(Box::new(ErrorAnswer {
                code: error.code,
                reason,
                metadata: error.metadata.clone().into_iter().collect(),
                retry_delay: error.retry_delay,
                violations: violations.collect(),
            })),
            ..Self::new(hint.exit, what, hint_text)
        }
    }
}

/// True for the codes that the transport makes.
fn is_of_transport(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::Unknown | Code::Internal | Code::DeadlineExceeded | Code::Cancelled
    )
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        if let Some((how, command)) = &self.next {
            write!(f, "; {how}: {command}")?;
        }
        let violations = self.answer.iter().flat_map(|answer| &answer.violations);
        for FieldProblem {
            field,
            option,
            description,
        } in violations.chain(&self.faults)
        {
            match option {
                Some(option) => write!(f, "\n  {option} ({field}): {description}")?,
                None => write!(f, "\n  {field}: {description}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

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
        "expire_time" | "expire_date" => "--until",
        "ttl" => "--for",
        "expire_before" => "--expiring",
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
