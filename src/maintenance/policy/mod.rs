//! `policy`: what can be said about a policy set: that of a configuration, or the one that a service has in force. `check` finds
//! mistakes, `show` prints policies, `test` runs `cases` that a file lists, and `explain` decides one request; `told` prints the
//! decision. `verify` and `replay` decide `recorded` requests again.

mod cases;
mod check;
mod explain;
mod recorded;
mod replay;
mod show;
mod test;
mod told;
mod verify;

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand, parser::ValueSource};
use serde_json::{Value, json};

use super::{BoxError, ConfigOptions, ResultPrinter};
use crate::{
    cli::{ClientOptions, Console, PolicyService, with_examples},
    domain::PolicyId,
    policy::{PolicyFile, PolicyProblems, PolicySet, PolicySource, PolicyVerdict, SCHEMA},
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
    ///
    /// The set is that of the configuration, or else the one that the service has in force. With --digest HEX, it is the set that
    /// has or had this digest there, such as the one that an entry of the history names.
    #[command(after_long_help = with_examples(&[
        "sharewarden policy show --config sharewarden.toml",
        "sharewarden policy show --config sharewarden.toml --id no-strangers",
        "sharewarden policy show --digest",
    ]))]
    Show(ShowOptions),
    /// Decide the cases of files, and compare each decision with the expected one
    ///
    /// The set is that of the configuration, or else the one that the service has in force, with the files of --policy in place
    /// of its own. Exits with 1 if a decision is another one than a case expects. docs/policy.md explains the form of a file.
    #[command(after_long_help = with_examples(&[
        "sharewarden policy test --config sharewarden.toml cases.test.toml",
        "sharewarden policy test --policy new-policies cases.test.toml",
    ]))]
    Test(TestOptions),
    /// Decide one request, and show the policies that decided and what was missing
    ///
    /// The service decides by the set in force and by what AWS reports, and records nothing. With a configuration, with --policy,
    /// or with a time, a fact, a tag or a case, this command decides. A fact about the image that is not given is then not known,
    /// and a grant is refused if a policy speaks of it. It exits with 0 whatever the decision is.
    #[command(after_long_help = with_examples(&[
        "sharewarden policy explain 111122223333/eu-central-1/wsi-basewin11 --with 000011112222 --as alice",
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
        "sharewarden policy verify 111122223333.jsonl --entry 2",
        "sharewarden policy verify 111122223333.jsonl.gz -o json",
    ]))]
    Verify(VerifyOptions),
    /// Decide recorded requests under another policy set, and show what would be decided differently
    ///
    /// Without a FILE it reads the requests from the service, which needs a role that reads the history. The set is that of the
    /// configuration, or else the one that the service has in force, with the files of --policy in place of its own. It decides
    /// with the facts of the record. A request whose entry does not have a fact that the set needs is shown as unknown.
    #[command(after_long_help = with_examples(&[
        "sharewarden policy replay --since 90d --policy new-policies",
        "sharewarden policy replay 111122223333.jsonl --config sharewarden.toml --since 90d -o json",
    ]))]
    Replay(ReplayOptions),
}

/// The options by which a command finds its policy set.
#[derive(Debug, clap::Args)]
struct SetOptions {
    // First: clap takes the values away with the options.
    #[command(flatten)]
    place: ConfigPlace,
    #[command(flatten)]
    config: ConfigOptions,
    /// Use the policies of this directory instead of those of policy.directory, or of those that the service has
    #[arg(long = "policy", value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Whether the command line names the configuration. It adds no option itself.
#[derive(Debug, Clone, Copy)]
struct ConfigPlace {
    is_on_command_line: bool,
}

impl Args for ConfigPlace {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for ConfigPlace {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |option| matches.value_source(option) == Some(ValueSource::CommandLine);
        Ok(Self {
            is_on_command_line: given("config") || given("set"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl PolicyCommand {
    pub(super) async fn run(
        self,
        client: &ClientOptions,
        results: ResultPrinter,
        console: &Console<'_>,
    ) -> Result<(), BoxError> {
        match self {
            Self::Schema => {
                results.text(SCHEMA)?;
                Ok(results.json(&json!({ "schema": SCHEMA }))?)
            }
            Self::Check(options) => check::check(options, results),
            Self::Show(options) => show::show(&options, client, results, console).await,
            Self::Test(options) => test::test(&options, client, results, console).await,
            Self::Explain(options) => explain::explain(*options, client, results).await,
            Self::Verify(options) => verify::verify(&options, results, console),
            Self::Replay(options) => replay::replay(&options, client, results, console).await,
        }
    }
}

impl SetOptions {
    /// True if the set is read from files, false if from the service.
    fn is_local(&self, client: &ClientOptions) -> Result<bool, BoxError> {
        let ConfigOptions { config, set } = &self.config;
        let has_config = config.is_some() || !set.is_empty();
        match (self.place.is_on_command_line, client.is_service_on_command_line()) {
            (true, true) => {
                Err("--config and --set are for files, and --server and --context for a service: give one".into())
            }
            (true, false) => Ok(true),
            (false, true) => Ok(false),
            (false, false) if has_config => Ok(true),
            // The policies of a directory alone can be shown without anything else.
            (false, false) => Ok(self.directory.is_some() && !client.is_service_named()?),
        }
    }

    /// The set, without mistakes: that of the files, or of the service.
    async fn set(&self, client: &ClientOptions) -> Result<PolicySet, BoxError> {
        if self.is_local(client)? {
            return Ok(compile(&self.config, self.directory.as_deref())??);
        }
        let (_, text) = PolicyService::open(client).await?.policy_set(None).await?;
        Ok(match &self.directory {
            None => PolicySet::from_text(&text)?,
            Some(directory) => PolicySet::from_text_with(&text, files(directory)?)?,
        })
    }
}

/// The set of a configuration. Without one, that of the directory alone.
fn compile(config: &ConfigOptions, directory: Option<&Path>) -> Result<Result<PolicySet, PolicyProblems>, BoxError> {
    let ConfigOptions { config: file, set } = config;
    if let (Some(directory), None, true) = (directory, file, set.is_empty()) {
        return Ok(files(directory).and_then(PolicySet::compile_files));
    }
    let mut config = config.load().map_err(|error| match file {
        Some(_) => error.to_string(),
        None => format!("{error}; no file was read, because there is no --config and no SHAREWARDEN_CONFIG"),
    })?;
    if let Some(directory) = directory {
        config.policy.directory = Some(directory.to_owned());
    }
    Ok(PolicySource::of(&config).and_then(PolicySet::compile))
}

fn files(directory: &Path) -> Result<Vec<PolicyFile>, PolicyProblems> {
    PolicyFile::in_directory(directory).map_err(PolicyProblems)
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
