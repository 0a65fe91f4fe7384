//! `policy`: what can be said about a policy set without a service. `check` finds mistakes, `show` prints policies, `test` runs
//! `cases` that a file lists, and `explain` decides one request.

mod cases;
mod check;
mod explain;
mod recorded;
mod replay;
mod show;
mod test;
mod verify;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{BoxError, ConfigOptions, ResultPrinter};
use crate::{
    cli::{Console, with_examples},
    domain::PolicyId,
    policy::{NamedPolicy, PolicyFile, PolicyOrigin, PolicyProblems, PolicySet, PolicySource, PolicyVerdict, SCHEMA},
};

use check::CheckOptions;
use explain::ExplainOptions;
use replay::ReplayOptions;
use show::ShowOptions;
use test::TestOptions;
use verify::VerifyOptions;

/// The commands under `policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Print the schema of policies: the types, attributes and actions that they can use
    #[command(after_long_help = with_examples(&[
        "sharewarden policy schema",
        "sharewarden policy schema > sharewarden.cedarschema",
    ]))]
    Schema,
    /// Check policies, and print all mistakes and warnings with their file and line
    ///
    /// With a configuration, it checks the set that `serve` would use. Without one, it checks the files of a directory: there
    /// are no accounts and no roles, and each group that a policy names is taken as configured.
    #[command(after_long_help = with_examples(&[
        "sharewarden policy check --config sharewarden.toml",
        "sharewarden policy check policies",
    ]))]
    Check(CheckOptions),
    /// Show the policies of the set, the text of one, or the digest of the set
    #[command(after_long_help = with_examples(&[
        "sharewarden policy show --config sharewarden.toml",
        "sharewarden policy show --config sharewarden.toml --id no-strangers",
        "sharewarden policy show --config sharewarden.toml --digest",
    ]))]
    Show(ShowOptions),
    /// Decide the cases of files, and compare each decision with the expected one
    ///
    /// Exits with 1 if a decision is another one than a case expects. docs/policy.md explains the form of a file.
    #[command(after_long_help = with_examples(&[
        "sharewarden policy test --config sharewarden.toml cases.test.toml",
        "sharewarden policy test --config sharewarden.toml --policy new-policies cases.test.toml",
    ]))]
    Test(TestOptions),
    /// Decide one request, and show the policies that decided and what was missing
    ///
    /// A fact about the image that is not given is not known: a grant is refused if a policy speaks of it. It exits with 0
    /// whatever the decision is.
    #[command(after_long_help = with_examples(&[
        "sharewarden policy explain --config sharewarden.toml 111122223333/eu-central-1/wsi-basewin11 --with 000011112222 \
         --as alice --ticket CHG-1",
        "sharewarden policy explain --config sharewarden.toml --case 'a partner without a ticket' --file cases.test.toml",
    ]))]
    Explain(Box<ExplainOptions>),
    /// Make the recorded decisions of an export again, from the export alone, and compare
    ///
    /// It needs no configuration and no service: the export has the facts and the texts of the policy sets. It exits with 1 if
    /// a decision differs, or if a text is missing. `sharewarden audit verify --export` proves that the record was not changed.
    #[command(after_long_help = with_examples(&[
        "sharewarden policy verify 111122223333.jsonl",
        "sharewarden policy verify 111122223333.jsonl.gz -o json",
    ]))]
    Verify(VerifyOptions),
    /// Decide the recorded requests of exports under another policy set, and show what would be decided differently
    ///
    /// It decides with the facts of the record. A request whose entry does not have a fact that the set needs is shown as
    /// unknown.
    #[command(after_long_help = with_examples(&[
        "sharewarden policy replay 111122223333.jsonl --config sharewarden.toml --policy new-policies",
        "sharewarden policy replay 111122223333.jsonl --config sharewarden.toml --since 90d -o json",
    ]))]
    Replay(ReplayOptions),
}

/// The options by which a command finds its policy set.
#[derive(Debug, clap::Args)]
struct SetOptions {
    #[command(flatten)]
    config: ConfigOptions,
    /// Use the policies of this directory instead of those of policy.directory
    #[arg(long = "policy", value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl PolicyCommand {
    pub(super) fn run(self, results: ResultPrinter, console: &Console<'_>) -> Result<(), BoxError> {
        match self {
            Self::Schema => {
                results.text(SCHEMA)?;
                Ok(results.json(&json!({ "schema": SCHEMA }))?)
            }
            Self::Check(options) => check::check(options, results),
            Self::Show(options) => show::show(&options, results, console),
            Self::Test(options) => test::test(&options, results, console),
            Self::Explain(options) => explain::explain(*options, results),
            Self::Verify(options) => verify::verify(&options, results, console),
            Self::Replay(options) => replay::replay(&options, results, console),
        }
    }
}

impl SetOptions {
    /// The set. Without a configuration, that of the directory alone.
    fn compile(&self) -> Result<Result<PolicySet, PolicyProblems>, BoxError> {
        let ConfigOptions { config, set } = &self.config;
        if let (Some(directory), None, true) = (&self.directory, config, set.is_empty()) {
            return Ok(files(directory).and_then(PolicySet::compile_files));
        }
        let mut config = self.config.load().map_err(|error| match config {
            Some(_) => error.to_string(),
            None => format!("{error}; no file was read, because there is no --config and no SHAREWARDEN_CONFIG"),
        })?;
        if let Some(directory) = &self.directory {
            config.policy.directory = Some(directory.clone());
        }
        Ok(PolicySource::of(&config).and_then(PolicySet::compile))
    }

    /// The set, without mistakes.
    fn set(&self) -> Result<PolicySet, BoxError> {
        Ok(self.compile()??)
    }
}

fn files(directory: &Path) -> Result<Vec<PolicyFile>, PolicyProblems> {
    PolicyFile::in_directory(directory).map_err(PolicyProblems)
}

/// Where a policy comes from, for people.
fn origin(policy: &NamedPolicy) -> String {
    match &policy.origin {
        PolicyOrigin::Role => "roles".into(),
        PolicyOrigin::Recipients(account) => format!("accounts.share_with of {account}"),
        PolicyOrigin::File { name, line } => format!("{name}:{line}"),
    }
}

fn effect(policy: &NamedPolicy) -> &'static str {
    match policy.forbids() {
        true => "forbid",
        false => "permit",
    }
}

fn policy_json(policy: &NamedPolicy) -> Value {
    json!({
        "id": policy.id.as_str(),
        "effect": effect(policy),
        "origin": origin(policy),
        "says": policy.says,
        "text": policy.text,
    })
}

/// The decision in a word.
fn decision(verdict: &PolicyVerdict) -> &'static str {
    match verdict.is_allowed() {
        true => "allowed",
        false => "refused",
    }
}

fn ids(policies: &[PolicyId]) -> String {
    let ids: Vec<_> = policies.iter().map(PolicyId::as_str).collect();
    ids.join(", ")
}

fn verdict_json(verdict: &PolicyVerdict) -> Value {
    json!({
        "allowed": verdict.is_allowed(),
        "policies": verdict.decision.policies,
        "refusal": verdict.refusal,
    })
}

/// A decision with its policies, if they matter.
fn words(is_allowed: bool, policies: Option<&[PolicyId]>) -> String {
    let decision = if is_allowed { "allowed" } else { "refused" };
    match policies {
        None => decision.into(),
        Some([]) => format!("{decision} by no policy"),
        Some(policies) => format!("{decision} by {}", ids(policies)),
    }
}
