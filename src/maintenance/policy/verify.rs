//! `policy verify`: makes the recorded decisions of an export again, from the export alone.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    BoxError, ResultPrinter,
    recorded::{self, RecordedDecision},
    told,
};
use crate::{
    cli::{Cell, Console, TableRow},
    domain::PolicyDigest,
    policy::{PolicySet, PolicyVerdict},
};

/// The arguments of `policy verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyOptions {
    /// The file of the export, plain or gzip
    #[arg(value_name = "FILE")]
    export: PathBuf,
    /// Only the decision of the entry with this index, and explain it
    #[arg(long, value_name = "INDEX")]
    entry: Option<u64>,
}

/// A recorded decision, and how it is made again. None if the text of its set is missing.
struct Repeated {
    recorded: RecordedDecision,
    verdict: Option<PolicyVerdict>,
}

pub(super) fn verify(options: &VerifyOptions, results: ResultPrinter, console: &Console<'_>) -> Result<(), BoxError> {
    let sets = recorded::sets(&options.export)?;
    if let Some(index) = options.entry {
        return verify_entry(&options.export, index, &sets, results);
    }
    let (mut repeated, mut wrong): (u64, Vec<Repeated>) = (0, Vec::new());
    let mut by_set: BTreeMap<PolicyDigest, u64> = BTreeMap::new();
    recorded::decisions(&options.export, |recorded| {
        *by_set.entry(recorded.decision.policy_set).or_default() += 1;
        let made = repeat(recorded, &sets);
        match made.is_same() {
            true => repeated += 1,
            false => wrong.push(made),
        }
        Ok(())
    })?;
    let rows: Vec<_> = by_set
        .iter()
        .map(|(digest, count)| row(*digest, *count, &sets))
        .collect();
    results.text(console.list_text(&rows, &[]))?;
    for made in &wrong {
        results.note(made.words());
        results.json(&json!({ "different": made.json() }))?;
    }
    results.json(&json!({ "repeated": repeated, "different": wrong.len() }))?;
    match wrong.len() {
        0 => results.note(format_args!(
            "{repeated} decisions are as recorded; `audit verify --export` proves that the record was not changed"
        )),
        count => return Err(format!("{count} recorded decisions are not made again as recorded").into()),
    }
    Ok(())
}

/// Makes one decision again, and explains it.
fn verify_entry(
    export: &Path,
    index: u64,
    sets: &BTreeMap<PolicyDigest, PolicySet>,
    results: ResultPrinter,
) -> Result<(), BoxError> {
    let mut found = None;
    recorded::decisions(export, |recorded| {
        if recorded.log_index == index {
            found = Some(recorded);
        }
        Ok(())
    })?;
    let recorded = found.ok_or_else(|| format!("{} has no entry {index} with a decision", export.display()))?;
    let made = repeat(recorded, sets);
    let (Some(set), Some(verdict)) = (sets.get(&made.recorded.decision.policy_set), &made.verdict) else {
        return Err(made.words().into());
    };
    let near = match verdict.is_allowed() {
        true => Vec::new(),
        false => made.recorded.near(set),
    };
    told::print(&told::of(set, verdict, &near), results)?;
    match made.is_same() {
        true => results.note(format_args!(
            "entry {index} ({}) was decided so at {}; `audit verify --export` proves that the record was not changed",
            made.recorded.kind, made.recorded.decision.decided_at
        )),
        false => return Err(made.words().into()),
    }
    Ok(())
}

fn repeat(recorded: RecordedDecision, sets: &BTreeMap<PolicyDigest, PolicySet>) -> Repeated {
    let set = sets.get(&recorded.decision.policy_set);
    Repeated {
        verdict: set.map(|set| recorded.again(set)),
        recorded,
    }
}

fn row(digest: PolicyDigest, decisions: u64, sets: &BTreeMap<PolicyDigest, PolicySet>) -> TableRow {
    let text = if sets.contains_key(&digest) {
        "in the export"
    } else {
        "MISSING"
    };
    vec![
        ("POLICY SET", Cell::Text(digest.to_string())),
        ("TEXT", Cell::Short(text.into())),
        ("DECISIONS", Cell::Short(decisions.to_string())),
    ]
}

impl Repeated {
    fn is_same(&self) -> bool {
        let Self { recorded, verdict } = self;
        verdict.as_ref().is_some_and(|verdict| {
            verdict.is_allowed() == recorded.was_allowed && verdict.decision == recorded.decision
        })
    }

    fn words(&self) -> String {
        let Self { recorded, verdict } = self;
        let place = format!("entry {} ({})", recorded.log_index, recorded.kind);
        let was = super::words(recorded.was_allowed, Some(&recorded.decision.policies));
        match verdict {
            None => format!(
                "{place}: the text of the policy set {} is missing",
                recorded.decision.policy_set
            ),
            Some(verdict) => {
                let is = super::words(verdict.is_allowed(), Some(&verdict.decision.policies));
                format!("{place}: recorded as {was}; made again, it is {is}")
            }
        }
    }

    fn json(&self) -> serde_json::Value {
        let Self { recorded, verdict } = self;
        json!({
            "logIndex": recorded.log_index,
            "kind": recorded.kind,
            "policySet": recorded.decision.policy_set,
            "recorded": { "allowed": recorded.was_allowed, "policies": recorded.decision.policies },
            "again": verdict.as_ref().map(super::verdict_json),
        })
    }
}
