//! `policy explain`: the decision on one request, with the policies that decided.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{ArgGroup, ValueEnum};
use serde_json::json;

use super::{
    BoxError, ResultPrinter, SetOptions,
    cases::{self, CredentialName, ImagePath, RequestCase},
};
use crate::{
    clock::Clock,
    domain::{AccountId, Action, Justification, Principal, Reason, Ticket, Timestamp, decision::ImageAttributes},
    policy::{PolicySet, PolicyVerdict},
};

/// The arguments of `policy explain`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("request").args(["share", "case"]).required(true))]
pub struct ExplainOptions {
    #[command(flatten)]
    set: SetOptions,
    /// The image: ACCOUNT/REGION/IMAGE
    #[arg(value_name = "SHARE", requires_all = ["with", "asking"])]
    share: Option<ImagePath>,
    /// The recipient: 12 digits, not the owner
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    with: Option<AccountId>,
    /// The principal that asks
    #[arg(long = "as", value_name = "PRINCIPAL")]
    asking: Option<Principal>,
    /// What it asks for
    #[arg(long, value_enum, default_value_t = AskedAction::Grant)]
    action: AskedAction,
    /// Its reason
    #[arg(short = 'm', long, value_name = "TEXT", default_value = "policy explain")]
    reason: Reason,
    /// Its ticket
    #[arg(short, long, value_name = "TICKET")]
    ticket: Option<Ticket>,
    /// What it proved its name with: CERTIFICATE, TOKEN or TRUSTED_HEADER. May be given more than once [default: not known]
    #[arg(long = "credential", value_name = "KIND")]
    credentials: Vec<CredentialName>,
    /// The time of the decision, such as 2026-11-30T10:00:00+01:00 [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    time: Option<Timestamp>,
    /// When the share is to end, such as 2026-12-31T23:00:00Z [default: without an end]
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// What AWS reports about the image: state, operatingSystem, tenancy, created or name [default: not known]
    #[arg(long = "fact", value_name = "NAME=VALUE", value_parser = fact)]
    facts: Vec<(String, String)>,
    /// A tag of the image. An empty text means that it has no tags [default: not known]
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<Option<(String, String)>>,
    /// Explain the case with this name in --file
    #[arg(long, value_name = "NAME", requires = "file", conflicts_with_all = ["with", "asking"])]
    case: Option<String>,
    /// The file of the case
    #[arg(long, value_name = "FILE", requires = "case")]
    file: Option<PathBuf>,
}

/// The actions that can be asked for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum AskedAction {
    Grant,
    Revoke,
}

pub(super) fn explain(options: ExplainOptions, results: ResultPrinter) -> Result<(), BoxError> {
    let set = options.set.set()?;
    let verdict = options.request()?.decide(&set);
    let policies = verdict.decision.policies.iter().filter_map(|id| set.policy(id));
    let policies: Vec<_> = policies.map(super::policy_json).collect();
    results.json(&json!({
        "decision": super::verdict_json(&verdict),
        "policies": policies,
        "policySet": set.digest(),
    }))?;
    results.text(text(&set, &verdict))?;
    Ok(())
}

fn text(set: &PolicySet, verdict: &PolicyVerdict) -> String {
    let reason = verdict.refusal.as_deref().map(|reason| format!(": {reason}"));
    let mut text = format!("{}{}\n", super::decision(verdict), reason.unwrap_or_default());
    for policy in verdict.decision.policies.iter().filter_map(|id| set.policy(id)) {
        text.push_str(&format!("\n{}:\n{}\n", super::origin(policy), policy.text.trim_end()));
    }
    text
}

impl ExplainOptions {
    fn request(self) -> Result<RequestCase, BoxError> {
        if let (Some(name), Some(file)) = (&self.case, &self.file) {
            let case = cases::read(file)?.into_iter().find(|case| case.name == *name);
            let case = case.ok_or_else(|| format!("{} has no case {name:?}", file.display()))?;
            return Ok(case.request);
        }
        let (Some(share), Some(recipient), Some(principal)) = (self.share, self.with, self.asking) else {
            return Err("the request needs SHARE, --with and --as".into());
        };
        let key = share.shared_with(recipient);
        let credentials: Vec<_> = self.credentials.iter().map(|kind| kind.0).collect();
        let tags = (!self.tags.is_empty()).then(|| self.tags.into_iter().flatten().collect());
        Ok(RequestCase {
            principal,
            credentials: (!credentials.is_empty()).then_some(credentials),
            action: match self.action {
                AskedAction::Grant => Action::Grant,
                AskedAction::Revoke => Action::Revoke,
            },
            key: key.map_err(|rule| format!("the request {rule}"))?,
            justification: Justification {
                reason: self.reason,
                ticket: self.ticket,
            },
            expire_time: self.until,
            time: self.time.unwrap_or_else(|| Clock::system().now()),
            facts: cases::facts_of(image(self.facts.into_iter().collect())?, tags),
        })
    }
}

/// What AWS reports, if anything is given. What is left out then is not known.
fn image(mut facts: BTreeMap<String, String>) -> Result<Option<ImageAttributes>, String> {
    if facts.is_empty() {
        return Ok(None);
    }
    let mut take = |name: &str| facts.remove(name).unwrap_or_default();
    let created = take("created");
    let attributes = ImageAttributes {
        created_at: match created.is_empty() {
            true => None,
            false => Some(time(&created)?),
        },
        name: take("name"),
        operating_system: take("operatingSystem"),
        required_tenancy: take("tenancy"),
        state: take("state"),
    };
    Ok(Some(attributes))
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| format!("{text:?} is not a time such as 2026-11-30T10:00:00+01:00"))
}

fn fact(text: &str) -> Result<(String, String), String> {
    const NAMES: [&str; 5] = ["state", "operatingSystem", "tenancy", "created", "name"];
    match text.split_once('=') {
        Some((name, value)) if NAMES.contains(&name) => Ok((name.into(), value.into())),
        _ => Err(format!(
            "must be NAME=VALUE, with one of the names {}",
            NAMES.join(", ")
        )),
    }
}

fn tag(text: &str) -> Result<Option<(String, String)>, String> {
    match text.split_once('=') {
        Some((key, value)) => Ok(Some((key.into(), value.into()))),
        None if text.is_empty() => Ok(None),
        None => Err("must be KEY=VALUE, or empty".into()),
    }
}
