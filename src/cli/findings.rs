//! What AWS's own rules say about a change, as the service predicts it: warnings as notes, and errors as a failure.

use super::{
    console::Console,
    failure::{Exit, Failure},
    format::name,
    text::one_line,
};
use crate::proto::v1::{
    Finding,
    finding::{Code, Severity},
};

/// Notes the warnings.
pub(super) fn warn(console: &mut Console<'_>, findings: &[Finding]) {
    for finding in findings.iter().filter(|finding| !is_error(finding)) {
        console.note(format_args!("warning: {}", sentence(finding)));
    }
}

/// A failure, if AWS is expected to refuse the change. It exits like the change itself would.
pub(super) fn refusal(findings: &[Finding]) -> Result<(), Failure> {
    let errors: Vec<_> = findings.iter().filter(|finding| is_error(finding)).collect();
    let Some(first) = errors.first() else { return Ok(()) };
    let (exit, hint) = match first.code() {
        Code::ImageNotFound => (
            Exit::NotFound,
            "check --image; `sharewarden images` lists the images of the account",
        ),
        Code::ImageNotAvailable => (Exit::NotPossible, "try again when the image is AVAILABLE"),
        _ => (Exit::NotPossible, "nothing was changed"),
    };
    let sentences: Vec<_> = errors.into_iter().map(sentence).collect();
    let what = format!("AWS would refuse this: {}", sentences.join("; "));
    Err(Failure::new(exit, what, hint))
}

fn is_error(finding: &Finding) -> bool {
    finding.severity() == Severity::Error
}

/// The warnings and errors of a plan, each a sentence for a person.
pub(super) fn sentences(findings: &[Finding]) -> Vec<String> {
    let told = |finding| match is_error(finding) {
        true => format!("AWS would refuse this: {}", sentence(finding)),
        false => sentence(finding),
    };
    findings.iter().map(told).collect()
}

fn sentence(finding: &Finding) -> String {
    let code = name(finding.code, "CODE_", Code::as_str_name);
    format!("{} ({code})", one_line(&finding.message))
}
