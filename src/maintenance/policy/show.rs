//! `policy show`: the policies of a set.

use serde_json::json;

use super::{BoxError, ResultPrinter, SetOptions, told};
use crate::{
    cli::{Cell, ClientOptions, Console, PolicyService, TableRow},
    domain::{PolicyDigest, PolicyId},
    policy::{NamedPolicy, PolicySet},
};

/// The arguments of `policy show`.
#[derive(Debug, clap::Args)]
pub struct ShowOptions {
    #[command(flatten)]
    set: SetOptions,
    /// Show the text of the policy with this id, in Cedar
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Show the digest of the set only. With HEX: show the set with this digest, from the service
    #[arg(long, value_name = "HEX", num_args = 0..=1)]
    digest: Option<Option<PolicyDigest>>,
}

pub(super) async fn show(
    options: &ShowOptions,
    client: &ClientOptions,
    results: ResultPrinter,
    console: &Console<'_>,
) -> Result<(), BoxError> {
    let set = match options.digest.flatten() {
        Some(digest) => options.of_digest(digest, client).await?,
        None => options.set.set(client).await?,
    };
    if options.digest == Some(None) {
        if options.id.is_some() {
            return Err("--digest without HEX shows the digest only: leave out --id".into());
        }
        results.json(&json!({ "digest": set.digest() }))?;
        results.text(format_args!("{}\n", set.digest()))?;
    } else if let Some(id) = &options.id {
        let policy = find(&set, id)?;
        results.json(&told::policy_json(&told::policy(policy)))?;
        results.text(format_args!("{}\n", policy.text))?;
    } else {
        let policies: Vec<_> = set
            .policies()
            .map(|policy| told::policy_json(&told::policy(policy)))
            .collect();
        results.json(&json!({ "digest": set.digest(), "policies": policies }))?;
        let rows: Vec<_> = set.policies().map(row).collect();
        results.text(console.list_text(&rows, &["SAYS", "ORIGIN"]))?;
    }
    Ok(())
}

impl ShowOptions {
    /// The set with this digest, which the service keeps.
    async fn of_digest(&self, digest: PolicyDigest, client: &ClientOptions) -> Result<PolicySet, BoxError> {
        if self.set.place.is_on_command_line || self.set.directory.is_some() {
            return Err("--digest HEX shows a set of the service: leave out --config, --set and --policy".into());
        }
        let (_, text) = PolicyService::open(client).await?.policy_set(Some(digest)).await?;
        Ok(PolicySet::from_text(&text)?)
    }
}

fn find<'a>(set: &'a PolicySet, id: &str) -> Result<&'a NamedPolicy, String> {
    let found = set.policy(&PolicyId::from(id.to_owned()));
    found.ok_or_else(|| format!("the policy set has no policy with the id {id:?}; `policy show` lists them"))
}

fn row(policy: &NamedPolicy) -> TableRow {
    vec![
        ("ID", Cell::Short(policy.id.to_string())),
        ("EFFECT", Cell::Short(told::effect(&told::policy(policy)).into())),
        ("ORIGIN", Cell::Text(policy.origin.to_string())),
        ("SAYS", Cell::Text(policy.says.clone().unwrap_or_default())),
    ]
}
