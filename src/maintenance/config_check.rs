//! `config check`: the effective configuration, and whether the files that it names can be used.

use clap::Subcommand;
use serde_json::json;

use super::{BoxError, ConfigOptions, ResultPrinter};
use crate::{cli::with_examples, server};

/// The commands under `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and print the effective values, with secrets hidden
    #[command(after_long_help = with_examples(&[
        "sharewarden config check --config sharewarden.toml",
        "sharewarden config check --config sharewarden.toml --set server.listen=127.0.0.1:0",
    ]))]
    Check(ConfigOptions),
}

pub(super) async fn check(options: &ConfigOptions, results: ResultPrinter) -> Result<(), BoxError> {
    let config = options.load().map_err(|error| match &options.config {
        Some(_) => error.to_string(),
        None => format!("{error}; no file was read, because there is no --config and no SHAREWARDEN_CONFIG"),
    })?;
    results.text(config.to_toml()?)?;
    match &options.config {
        Some(file) => results.note(format_args!("read {}, the environment and --set", file.display())),
        None => results.note("read the environment and --set only: there is no --config and no SHAREWARDEN_CONFIG"),
    }
    let problems = server::file_problems(&config).await;
    if !problems.is_empty() {
        let list: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        return Err(format!("the configuration names what cannot be used:{list}").into());
    }
    let opened: Vec<_> = server::named_files(&config).iter().map(ToString::to_string).collect();
    for file in &opened {
        results.note(format_args!("opened {file}"));
    }
    let set = server::policy_set(&config)?;
    let (digest, policies) = (set.digest(), set.policies().len());
    results.note(format_args!("the policy set {digest} has {policies} policies"));
    for warning in set.warnings() {
        results.note(format_args!("warning: {warning}"));
    }
    results.note("not checked: Postgres, AWS and the token issuer, which `serve` connects to");
    let read = options.config.as_ref().map(|file| file.display().to_string());
    results.json(&json!({ "config": &config, "fileRead": read, "filesOpened": opened }))?;
    Ok(())
}
