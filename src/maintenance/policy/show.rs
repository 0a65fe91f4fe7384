//! `policy show`: the policies of a set.

use serde_json::json;

use super::{BoxError, ResultPrinter, SetOptions};
use crate::{
    cli::{Cell, Console, TableRow},
    domain::PolicyId,
    policy::{NamedPolicy, PolicySet},
};

/// The arguments of `policy show`.
#[derive(Debug, clap::Args)]
pub struct ShowOptions {
    #[command(flatten)]
    set: SetOptions,
    /// Show the text of the policy with this id, in Cedar
    #[arg(long, value_name = "ID", conflicts_with = "digest")]
    id: Option<String>,
    /// Show the digest of the set only
    #[arg(long)]
    digest: bool,
}

pub(super) fn show(options: &ShowOptions, results: ResultPrinter, console: &Console<'_>) -> Result<(), BoxError> {
    let set = options.set.set()?;
    if options.digest {
        results.json(&json!({ "digest": set.digest() }))?;
        results.text(format_args!("{}\n", set.digest()))?;
    } else if let Some(id) = &options.id {
        let policy = find(&set, id)?;
        results.json(&super::policy_json(policy))?;
        results.text(format_args!("{}\n", policy.text))?;
    } else {
        let policies: Vec<_> = set.policies().map(super::policy_json).collect();
        results.json(&json!({ "digest": set.digest(), "policies": policies }))?;
        let rows: Vec<_> = set.policies().map(row).collect();
        results.text(console.list_text(&rows, &["SAYS", "ORIGIN"]))?;
    }
    Ok(())
}

fn find<'a>(set: &'a PolicySet, id: &str) -> Result<&'a NamedPolicy, String> {
    let found = set.policy(&PolicyId::from(id.to_owned()));
    found.ok_or_else(|| format!("the policy set has no policy with the id {id:?}; `policy show` lists them"))
}

fn row(policy: &NamedPolicy) -> TableRow {
    vec![
        ("ID", Cell::Short(policy.id.to_string())),
        ("EFFECT", Cell::Short(super::effect(policy).into())),
        ("ORIGIN", Cell::Text(super::origin(policy))),
        ("SAYS", Cell::Text(policy.says.clone().unwrap_or_default())),
    ]
}
