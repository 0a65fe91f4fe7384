//! The recorded decisions of an export, and the texts of the policy sets that made them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::BoxError;
use crate::{
    cli::LineReader,
    domain::{ChangeBody, Decision, EntryBody, FailureReason, Intent, PolicyDigest, entry},
    ledger::export::{ENTRY_PREFIX, Header, PolicySetText},
    policy::{NearPolicy, PolicyQuery, PolicySet, PolicyVerdict},
};

/// A decision in an entry.
#[derive(Debug, Clone)]
pub(super) struct RecordedDecision {
    pub(super) log_index: u64,
    pub(super) kind: String,
    pub(super) intent: Arc<Intent>,
    pub(super) decision: Decision,
    pub(super) was_allowed: bool,
}

impl RecordedDecision {
    /// The decision of an entry, if it has one.
    pub(super) fn of(line: &str) -> Result<Option<Self>, BoxError> {
        let recorded = entry::decode(line)?;
        let entry = recorded.entry;
        let Some(ChangeBody { intent, failure, .. }) = entry.body.change() else {
            return Ok(None);
        };
        let Some(decision) = &intent.decision else {
            return Ok(None);
        };
        let is_denied = matches!(entry.body, EntryBody::ChangeDenied(_));
        let is_refused = failure.as_ref().map(|failure| failure.reason) == Some(FailureReason::PolicyDenied);
        Ok(Some(Self {
            log_index: entry.log_index,
            kind: entry.columns().kind.into_owned(),
            intent: intent.clone(),
            decision: decision.clone(),
            was_allowed: !is_denied && !is_refused,
        }))
    }

    /// Makes the decision again, under a set, with the recorded facts and at the recorded time.
    pub(super) fn again(&self, set: &PolicySet) -> PolicyVerdict {
        set.decide(self.query())
    }

    /// The claim of the caller that the set speaks of and the entry does not have, if there is one.
    pub(super) fn lacks_claim(&self, set: &PolicySet) -> Option<String> {
        let name = set.lacks_claim(self.query())?;
        Some(format!("the claim {name:?} of the caller"))
    }

    /// The policies of a set that would permit the request.
    pub(super) fn near(&self, set: &PolicySet) -> Vec<NearPolicy> {
        set.near(self.query(), true)
    }

    fn query(&self) -> PolicyQuery<'_> {
        PolicyQuery {
            facts: Some(&self.decision.facts),
            // None if the set that decided did not speak of it.
            expire_time: self.decision.facts.expire_time.or(self.intent.expire_time()),
            ..PolicyQuery::of(&self.intent, self.decision.decided_at)
        }
    }
}

/// Calls `each` for each recorded decision of an export, plain or gzip. Hashes and signatures are not verified.
pub(super) fn decisions(
    path: &Path,
    mut each: impl FnMut(RecordedDecision) -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    for_each_line(path, |number, line| {
        if !line.starts_with(ENTRY_PREFIX) {
            return Ok(());
        }
        match RecordedDecision::of(line).map_err(|error| format!("{}:{number}: {error}", path.display()))? {
            Some(recorded) => each(recorded),
            None => Ok(()),
        }
    })
}

/// The policy sets whose texts the export has. A text must have its digest.
pub(super) fn sets(path: &Path) -> Result<BTreeMap<PolicyDigest, PolicySet>, BoxError> {
    let mut sets = BTreeMap::new();
    for_each_line(path, |number, line| {
        if number == 1 {
            Header::parse(line.as_bytes())
                .map_err(|error| format!("{} is not an export of a ledger: {error}", path.display()))?;
        } else if !line.starts_with(ENTRY_PREFIX)
            && let Ok(text) = PolicySetText::parse(line.as_bytes())
        {
            let digest = PolicyDigest::from(text.digest);
            let set = PolicySet::from_text(&text.text)
                .map_err(|error| format!("{}:{number}: the policy set {digest}: {error}", path.display()))?;
            if set.digest() != digest {
                return Err(format!(
                    "{}:{number}: the text is not that of the policy set {digest}",
                    path.display()
                )
                .into());
            }
            sets.insert(digest, set);
        }
        Ok(())
    })?;
    Ok(sets)
}

fn for_each_line(path: &Path, mut each: impl FnMut(u64, &str) -> Result<(), BoxError>) -> Result<(), BoxError> {
    let mut lines = LineReader::open(path)?;
    for number in 1.. {
        let Some(line) = lines.next_line()? else { break };
        let line = str::from_utf8(line).map_err(|_| format!("{}:{number}: the line is not UTF-8", path.display()))?;
        each(number, line.trim_end_matches('\n'))?;
    }
    Ok(())
}
