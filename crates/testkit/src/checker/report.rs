//! The printed report of a trial.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Write},
};

use super::{history::RpcOutcome, trial::Trial};

/// Maximum number of violations in the report. One defect often causes hundreds.
const SHOWN: usize = 20;

impl Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let history = &self.history;
        let entries: usize = history.ledgers.iter().map(|ledger| ledger.entries.len()).sum();
        let updates = history
            .calls
            .iter()
            .filter(|call| call.operation == super::check::UPDATE);
        writeln!(
            f,
            "operations: {} grants and revokes requested, {} changes read; {entries} ledger entries; {} calls to AWS, {} of \
             them mutating",
            history.answers.len(),
            history.readings.len(),
            history.calls.len(),
            updates.count(),
        )?;
        table(f, "answers", &self.answers())?;
        table(f, "entries", &self.entries())?;
        table(f, "process kills", &self.kills)?;
        table(f, "calls hit by AWS faults", &self.aws_faults)?;
        table(f, "faults between replicas and Postgres", &self.cuts)?;
        table(f, "observed by the proxies", &self.proxied())?;
        writeln!(f, "violations: {}", self.violations.len())?;
        for violation in self.violations.iter().take(SHOWN) {
            writeln!(f, "  {violation}")?;
        }
        Ok(())
    }
}

impl Trial {
    fn answers(&self) -> BTreeMap<String, u64> {
        let name = |told: &RpcOutcome| match told {
            RpcOutcome::Ok { .. } => "OK".to_owned(),
            RpcOutcome::Refused { code, reason, .. } => format!("{code} {reason}"),
            RpcOutcome::Nothing { code } => format!("{code} (no response of the service)"),
        };
        counted(self.history.answers.iter().map(|answer| name(&answer.told)))
    }

    fn entries(&self) -> BTreeMap<String, u64> {
        let entries = self.history.ledgers.iter().flat_map(|ledger| &ledger.entries);
        counted(entries.map(|entry| entry.stage.name().to_owned()))
    }

    fn proxied(&self) -> BTreeMap<String, u64> {
        let mut seen = BTreeMap::new();
        for counts in &self.proxies {
            for (name, count) in [
                ("COMMITs", counts.commits),
                ("COMMITs cut before", counts.cut_before),
                ("COMMITs cut after", counts.cut_after),
                ("COMMITs delayed", counts.late),
                ("connections", counts.connections),
                ("connections cut", counts.cut),
                ("connections refused", counts.refused),
            ] {
                *seen.entry(name.to_owned()).or_default() += count;
            }
        }
        seen
    }
}

fn counted(names: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    for name in names {
        *counted.entry(name).or_default() += 1;
    }
    counted
}

/// Prints counts and their sum. Names in brackets are not in the sum.
fn table(f: &mut fmt::Formatter<'_>, title: &str, counts: &BTreeMap<String, u64>) -> fmt::Result {
    let total: u64 = counts
        .iter()
        .filter(|(name, _)| !name.starts_with('('))
        .map(|(_, count)| count)
        .sum();
    let mut text = String::new();
    for (name, count) in counts {
        write!(text, "\n  {count:>7}  {name}")?;
    }
    writeln!(f, "{title}: {total}{text}")
}
