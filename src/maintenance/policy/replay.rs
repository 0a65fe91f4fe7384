//! `policy replay`: decides recorded requests under another policy set, and tells what would be decided differently.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    BoxError, ResultPrinter, SetOptions,
    recorded::{self, RecordedDecision},
};
use crate::{
    cli::{Cell, ClientOptions, Console, PolicyService, TableRow},
    clock::Clock,
    domain::{AccountId, Action, Timestamp},
    policy::{PolicyAction, PolicySet, PolicyVerdict},
};

/// Maximum requests that a table shows. They are in memory until all are known, because they share the widths of the columns.
const MAX_ROWS: usize = 1000;

/// The arguments of `policy replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayOptions {
    #[command(flatten)]
    set: SetOptions,
    /// The files of exports, plain or gzip [default: the service]
    #[arg(value_name = "FILE")]
    exports: Vec<PathBuf>,
    /// Only the decisions of this last time, such as 90d
    #[arg(long, value_name = "DURATION")]
    since: Option<humantime::Duration>,
    /// Only the ledger of this AWS account: 12 digits. May be given more than once
    #[arg(short, long, value_name = "ACCOUNT_ID", conflicts_with = "exports")]
    account: Vec<AccountId>,
}

/// A request, as it was decided and as the set decides it.
struct Replayed {
    recorded: RecordedDecision,
    verdict: PolicyVerdict,
    /// What the set speaks of and the entry does not have.
    lacks: Option<String>,
}

/// What a replay finds out, one request after the other.
struct ReplayReport {
    set: PolicySet,
    begin: Option<Timestamp>,
    results: ResultPrinter,
    requests: u64,
    unsure: u64,
    different: u64,
    rows: Vec<TableRow>,
}

pub(super) async fn replay(
    options: &ReplayOptions,
    client: &ClientOptions,
    results: ResultPrinter,
    console: &Console<'_>,
) -> Result<(), BoxError> {
    let now = Clock::system().now().to_offset_date_time();
    let begin = options
        .since
        .and_then(|since| now.checked_sub((*since).try_into().ok()?));
    let mut report = ReplayReport {
        set: options.set.set(client).await?,
        begin: begin.map(Timestamp::new),
        results,
        requests: 0,
        unsure: 0,
        different: 0,
        rows: Vec::new(),
    };
    for export in &options.exports {
        recorded::decisions(export, |recorded| report.take(recorded))?;
    }
    if options.exports.is_empty() {
        let service = PolicyService::open(client).await?;
        let archived = service.requests(&options.account, begin, console, |line| {
            match RecordedDecision::of(line)? {
                Some(recorded) => report.take(recorded),
                None => Ok(()),
            }
        });
        let archived = archived.await?;
        if archived > 0 {
            results.note(format_args!(
                "{archived} entries of this time are in archives, and not in this report: give the files of the archives as FILE"
            ));
        }
    }
    report.end(console)
}

impl ReplayReport {
    fn take(&mut self, recorded: RecordedDecision) -> Result<(), BoxError> {
        // The other entries of a change repeat the decision about its request.
        let is_of_request = ["change.requested", "change.denied", "change.joined"].contains(&&*recorded.kind);
        if !is_of_request || self.begin.is_some_and(|begin| recorded.decision.decided_at < begin) {
            return Ok(());
        }
        self.requests += 1;
        let replayed = Replayed::of(recorded, &self.set);
        let is_unsure = replayed.lacks.is_some();
        if !is_unsure && replayed.verdict.is_allowed() == replayed.recorded.was_allowed {
            return Ok(());
        }
        self.unsure += u64::from(is_unsure);
        self.different += u64::from(!is_unsure);
        if self.rows.len() < MAX_ROWS && !self.results.is_json() {
            self.rows.push(replayed.row());
        }
        Ok(self.results.json(&json!({ "replayed": replayed.json() }))?)
    }

    fn end(self, console: &Console<'_>) -> Result<(), BoxError> {
        let Self {
            results,
            requests,
            unsure,
            different,
            rows,
            ..
        } = self;
        results.text(console.list_text(&rows, &["WHY"]))?;
        let left_out = different + unsure - rows.len() as u64;
        if left_out > 0 {
            results.note(format_args!("{left_out} more are not in the table: -o json prints all"));
        }
        results.json(&json!({
            "requests": requests, "different": different, "unknown": unsure, "policySet": self.set.digest(),
        }))?;
        results.note(format_args!(
            "{requests} requests: {different} would be decided differently, {unsure} cannot be decided with the recorded facts"
        ));
        Ok(())
    }
}

impl Replayed {
    fn of(recorded: RecordedDecision, set: &PolicySet) -> Self {
        let verdict = recorded.again(set);
        let mentions = set.mentions(PolicyAction::of_intent(&recorded.intent));
        let facts = &recorded.decision.facts;
        // Only a fact that was not recorded can be the reason for such a refusal: no policy decided.
        let is_open = recorded.intent.action == Action::Grant
            && !verdict.is_allowed()
            && verdict.decision.policies.is_empty()
            && facts.unknown.is_none();
        let lacks = match () {
            () if recorded.lacks_claim(set).is_some() => recorded.lacks_claim(set),
            () if !is_open => None,
            () if mentions.image && facts.image.is_none() => Some("the description of the image".into()),
            () if mentions.tags && facts.tags.is_none() => Some("the tags of the image".into()),
            () => None,
        };
        Self {
            recorded,
            verdict,
            lacks,
        }
    }

    fn now(&self) -> &'static str {
        match &self.lacks {
            Some(_) => "unknown",
            None => super::decision(&self.verdict),
        }
    }

    fn why(&self) -> String {
        match (&self.lacks, &self.verdict.refusal) {
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
