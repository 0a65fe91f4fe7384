//! `policy test`: decides the cases of files, and compares.

use std::{collections::BTreeSet, path::PathBuf};

use serde_json::{Value, json};

use super::{
    BoxError, ResultPrinter, SetOptions,
    cases::{self, Expected, TestCase},
};
use crate::{
    cli::{Cell, ClientOptions, Console, TableRow},
    domain::PolicyId,
    policy::{PolicyOrigin, PolicySet, PolicyVerdict},
};

/// The arguments of `policy test`.
#[derive(Debug, clap::Args)]
pub struct TestOptions {
    #[command(flatten)]
    set: SetOptions,
    /// The files of cases, in TOML
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// A case and its decision.
struct Tested {
    file: String,
    case: TestCase,
    verdict: PolicyVerdict,
}

pub(super) async fn test(
    options: &TestOptions,
    client: &ClientOptions,
    results: ResultPrinter,
    console: &Console<'_>,
) -> Result<(), BoxError> {
    let set = options.set.set(client).await?;
    let mut tested = Vec::new();
    for file in &options.files {
        for case in cases::read(file)? {
            tested.push(Tested {
                verdict: case.request.decide(&set),
                file: file.display().to_string(),
                case,
            });
        }
    }
    let rows: Vec<_> = tested.iter().map(Tested::row).collect();
    results.text(console.list_text(&rows, &["POLICIES", "PLACE"]))?;
    for tested in &tested {
        results.json(&json!({ "case": tested.json() }))?;
    }
    let different: Vec<_> = tested.iter().filter(|tested| !tested.is_as_expected()).collect();
    for tested in &different {
        results.note(tested.difference());
    }
    for id in undecided(&set, &tested) {
        results.note(format_args!("no case is decided by the policy {:?}", id.as_str()));
    }
    let (all, wrong) = (tested.len(), different.len());
    results.json(&json!({ "cases": all, "different": wrong, "policySet": set.digest() }))?;
    match wrong {
        0 => results.note(format_args!("{all} cases, all decided as expected")),
        _ => return Err(format!("{wrong} of {all} cases are decided differently").into()),
    }
    Ok(())
}

/// The policies of files that decide no case.
fn undecided<'a>(set: &'a PolicySet, tested: &[Tested]) -> impl Iterator<Item = &'a PolicyId> {
    let decided = tested.iter().flat_map(|tested| &tested.verdict.decision.policies);
    let decided: BTreeSet<_> = decided.cloned().collect();
    let of_files = set
        .policies()
        .filter(|policy| matches!(policy.origin, PolicyOrigin::File { .. }));
    of_files
        .map(|policy| &policy.id)
        .filter(move |id| !decided.contains(*id))
}

impl Tested {
    fn is_as_expected(&self) -> bool {
        self.case.expected.is_met_by(&self.verdict)
    }

    fn place(&self) -> String {
        format!("{}:{}", self.file, self.case.line)
    }

    fn row(&self) -> TableRow {
        let result = match self.is_as_expected() {
            true => "ok",
            false => "DIFFERENT",
        };
        vec![
            ("RESULT", Cell::Short(result.into())),
            ("CASE", Cell::Text(self.case.name.clone())),
            ("DECISION", Cell::Short(super::decision(&self.verdict).into())),
            ("POLICIES", Cell::Text(super::ids(&self.verdict.decision.policies))),
            ("PLACE", Cell::Text(self.place())),
        ]
    }

    /// What differs, for people.
    fn difference(&self) -> String {
        let Self { case, verdict, .. } = self;
        let reason = verdict.refusal.as_deref().map(|reason| format!(": {reason}"));
        format!(
            "{}: {:?} expects {}; it is {}{}",
            self.place(),
            case.name,
            super::words(case.expected.is_allowed, case.expected.policies.as_deref()),
            super::words(verdict.is_allowed(), Some(&verdict.decision.policies)),
            reason.unwrap_or_default(),
        )
    }

    fn json(&self) -> Value {
        let Self { file, case, verdict } = self;
        let Expected { is_allowed, policies } = &case.expected;
        json!({
            "file": file,
            "line": case.line,
            "name": case.name,
            "asExpected": self.is_as_expected(),
            "expected": { "allowed": is_allowed, "policies": policies },
            "decision": super::verdict_json(verdict),
        })
    }
}
