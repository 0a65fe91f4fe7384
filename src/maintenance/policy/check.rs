//! `policy check`: the mistakes and the warnings of a set.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{BoxError, ConfigOptions, ResultPrinter};
use crate::policy::{PolicyProblem, PolicyProblems};

/// The arguments of `policy check`.
#[derive(Debug, clap::Args)]
pub struct CheckOptions {
    #[command(flatten)]
    config: ConfigOptions,
    /// Check the policies of this directory instead of those of policy.directory
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn check(options: CheckOptions, results: ResultPrinter) -> Result<(), BoxError> {
    let CheckOptions { config, directory } = options;
    let set = match super::compile(&config, directory.as_deref())? {
        Ok(set) => set,
        Err(PolicyProblems(problems)) => {
            for problem in &problems {
                results.json(&json!({ "problem": problem_json(problem) }))?;
                results.text(format_args!("{problem}\n"))?;
            }
            return Err(format!("the policy set breaks {} rule(s)", problems.len()).into());
        }
    };
    for warning in set.warnings() {
        results.json(&json!({ "warning": problem_json(warning) }))?;
        results.text(format_args!("warning: {warning}\n"))?;
    }
    let (digest, policies) = (set.digest(), set.policies().len());
    results.json(&json!({ "policySet": { "digest": digest, "policies": policies } }))?;
    results.text(format_args!("the policy set {digest} has {policies} policies\n"))?;
    Ok(())
}

fn problem_json(problem: &PolicyProblem) -> Value {
    json!({ "place": problem.place, "line": problem.line, "rule": problem.rule })
}
