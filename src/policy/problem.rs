//! What is wrong with a policy set, and where.

use std::fmt;

use cedar_policy::ParseErrors;
use miette::Diagnostic;

/// A problem of a set: where, and which rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyProblem {
    /// The file, or the key of the configuration.
    pub place: String,
    /// The line in the file.
    pub line: Option<usize>,
    /// The rule, and what breaks it.
    pub rule: String,
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.place, self.rule),
            None => write!(f, "{}: {}", self.place, self.rule),
        }
    }
}

/// The policy set cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the policy set breaks {} rule(s):{}", .0.len(), list(.0))]
pub struct PolicyProblems(pub Vec<PolicyProblem>);

/// The problems, one a line.
fn list(problems: &[PolicyProblem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// A text in which problems are found: a file of policies.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceText<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl SourceText<'_> {
    /// The line of a byte.
    pub(super) fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        before.filter(|byte| **byte == b'\n').count() + 1
    }

    /// A problem at a byte.
    pub(super) fn problem(&self, offset: usize, rule: String) -> PolicyProblem {
        PolicyProblem {
            place: self.name.to_owned(),
            line: Some(self.line(offset)),
            rule,
        }
    }

    /// The errors of parsing the text.
    pub(super) fn parse_errors(&self, errors: &ParseErrors) -> Vec<PolicyProblem> {
        let problem = |error| self.problem(offset(error).unwrap_or(self.text.len()), sentence(error));
        errors.iter().map(|error| problem(error)).collect()
    }
}

/// The byte of the text that a message of Cedar is about.
pub(super) fn offset(message: &dyn Diagnostic) -> Option<usize> {
    Some(message.labels()?.next()?.offset())
}

/// A message of Cedar, with its advice. Cedar repeats some messages for each action; the action is left out of them.
pub(super) fn sentence(message: &dyn Diagnostic) -> String {
    const ACTION: &str = " in context for Sharewarden::Action::\"";
    let mut text = message.to_string();
    if let Some(at) = text.find(ACTION)
        && let Some(end) = text[at + ACTION.len()..].find('"')
    {
        text.replace_range(at..=at + ACTION.len() + end, " in context");
    }
    match message.help() {
        Some(help) => format!("{text} ({help})"),
        None => text,
    }
}
