//! `policy replay`: decides recorded requests under another policy set, and tells what would be decided differently.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    BoxError, ResultPrinter, SetOptions,
    recorded::{self, RecordedDecision},
};
use crate::{
    cli::{Cell, Console, TableRow},
    clock::Clock,
    domain::{Action, Timestamp},
    policy::{PolicySet, PolicyVerdict},
};

/// The arguments of `policy replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayOptions {
    #[command(flatten)]
    set: SetOptions,
    /// The files of exports, plain or gzip
    #[arg(value_name = "FILE", required = true)]
    exports: Vec<PathBuf>,
    /// Only the decisions of this last time, such as 90d
    #[arg(long, value_name = "DURATION")]
    since: Option<humantime::Duration>,
}

/// A request, as it was decided and as the set decides it.
struct Replayed {
    recorded: RecordedDecision,
    verdict: PolicyVerdict,
    /// What the set speaks of and the entry does not have.
    lacks: Option<&'static str>,
}

pub(super) fn replay(options: &ReplayOptions, results: ResultPrinter, console: &Console<'_>) -> Result<(), BoxError> {
    let set = options.set.set()?;
    let now = Clock::system().now().to_offset_date_time();
    let begin = options
        .since
        .and_then(|since| now.checked_sub((*since).try_into().ok()?));
    let begin = begin.map(Timestamp::new);
    let (mut all, mut unsure, mut different) = (0_u64, 0_u64, Vec::new());
    for export in &options.exports {
        recorded::decisions(export, |recorded| {
            // The other entries of a change repeat the decision about its request.
            let is_of_request = ["change.requested", "change.denied", "change.joined"].contains(&&*recorded.kind);
            if is_of_request && begin.is_none_or(|begin| recorded.decision.decided_at >= begin) {
                all += 1;
                let replayed = Replayed::of(recorded, &set);
                unsure += u64::from(replayed.lacks.is_some());
                if replayed.lacks.is_some() || replayed.verdict.is_allowed() != replayed.recorded.was_allowed {
                    different.push(replayed);
                }
            }
            Ok(())
        })?;
    }
    let rows: Vec<_> = different.iter().map(Replayed::row).collect();
    results.text(console.list_text(&rows, &["WHY"]))?;
    for replayed in &different {
        results.json(&json!({ "replayed": replayed.json() }))?;
    }
    let changed = different.len() as u64 - unsure;
    results.json(&json!({ "requests": all, "different": changed, "unknown": unsure, "policySet": set.digest() }))?;
    results.note(format_args!(
        "{all} requests: {changed} would be decided differently, {unsure} cannot be decided with the recorded facts"
    ));
    Ok(())
}

impl Replayed {
    fn of(recorded: RecordedDecision, set: &PolicySet) -> Self {
        let verdict = recorded.again(set);
        let mentions = set.mentions(recorded.intent.action);
        let facts = &recorded.decision.facts;
        // Only a fact that was not recorded can be the reason for such a refusal: no policy decided.
        let is_open = recorded.intent.action == Action::Grant
            && !verdict.is_allowed()
            && verdict.decision.policies.is_empty()
            && facts.unknown.is_none();
        let lacks = match () {
            () if !is_open => None,
            () if mentions.image && facts.image.is_none() => Some("the description of the image"),
            () if mentions.tags && facts.tags.is_none() => Some("the tags of the image"),
            () => None,
        };
        Self {
            recorded,
            verdict,
            lacks,
        }
    }

    fn now(&self) -> &'static str {
        match self.lacks {
            Some(_) => "unknown",
            None => super::decision(&self.verdict),
        }
    }

    fn why(&self) -> String {
        match (self.lacks, &self.verdict.refusal) {
            (Some(fact), _) => format!("the entry does not have {fact}"),
            (None, Some(refusal)) => refusal.clone(),
            (None, None) => super::ids(&self.verdict.decision.policies),
        }
    }

    fn row(&self) -> TableRow {
        let intent = &self.recorded.intent;
        let was = if self.recorded.was_allowed {
            "allowed"
        } else {
            "refused"
        };
        vec![
            (
                "ENTRY",
                Cell::Short(format!("{}/{}", intent.key.account, self.recorded.log_index)),
            ),
            ("PRINCIPAL", Cell::Text(intent.principal.to_string())),
            ("ACTION", Cell::Short(intent.action.as_str().into())),
            ("WAS", Cell::Short(was.into())),
            ("NOW", Cell::Short(self.now().into())),
            ("WHY", Cell::Text(self.why())),
        ]
    }

    fn json(&self) -> Value {
        let intent = &self.recorded.intent;
        json!({
            "accountId": intent.key.account.to_string(),
            "logIndex": self.recorded.log_index,
            "principal": intent.principal.as_str(),
            "action": intent.action.as_str(),
            "image": intent.key.image.as_str(),
            "recipient": intent.key.shared_account.to_string(),
            "was": { "allowed": self.recorded.was_allowed, "policies": self.recorded.decision.policies },
            "now": self.lacks.is_none().then(|| super::verdict_json(&self.verdict)),
            "lacks": self.lacks,
        })
    }
}
