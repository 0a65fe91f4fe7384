//! The printed report of a trial.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Write},
};

use time::OffsetDateTime;

use super::{
    check::{judged, resolves, stories},
    history::{Build, DriftEntry, PolicyEventKind, RpcOutcome, UpgradeHistory},
    readiness::EVERY,
    trial::Trial,
};

/// Maximum number of violations in the report. One defect often causes hundreds.
const SHOWN: usize = 20;

impl Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let history = &self.history;
        let entries: usize = history.ledgers.iter().map(|ledger| ledger.entries.len()).sum();
        writeln!(
            f,
            "operations: {} grants and revokes requested, {} changes read; {entries} ledger entries",
            history.answers.len(),
            history.readings.len(),
        )?;
        let operations = history.calls.iter().map(|call| call.operation.clone());
        table(f, "calls to AWS", &counted(operations))?;
        table(f, "answers", &self.answers())?;
        table(f, "entries", &self.entries())?;
        if self.outside_calls > 0 {
            writeln!(f, "calls past the service: {}", self.outside_calls)?;
            let drift = history.ledgers.iter().flat_map(|ledger| &ledger.drift);
            table(f, "entries about drift", &counted(drift.map(DriftEntry::what)))?;
        }
        if let Some(policies) = &history.policies {
            table(f, "policy files written", &self.policies)?;
            let replaced = policies.replicas.iter().flat_map(|replica| &replica.events);
            let replaced = replaced.filter(|event| matches!(event.kind, PolicyEventKind::Replaced(_)));
            let (grants, judged) = judged(history);
            writeln!(
                f,
                "policy sets replaced in running replicas: {}; calls for grants: {grants}, with known sets in force: {judged}",
                replaced.count()
            )?;
        }
        table(f, "process kills", &self.kills)?;
        table(f, "calls hit by AWS faults", &self.aws_faults)?;
        table(f, "faults between replicas and Postgres", &self.cuts)?;
        table(f, "observed by the proxies", &self.proxied())?;
        if let Some(resolved) = self.longest_resolution() {
            writeln!(
                f,
                "longest time from an error until a repetition resolved the request: {:.1} s",
                resolved.as_seconds_f64()
            )?;
        }
        if let Some(upgrade) = &history.upgrade {
            self.upgrade(f, upgrade)?;
        }
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
            RpcOutcome::Refused {
                code,
                reason,
                change_id: Some(_),
                ..
            } if reason == "POLICY_DENIED" => format!("{code} {reason}, after the acceptance"),
            RpcOutcome::Refused { code, reason, .. } => format!("{code} {reason}"),
            RpcOutcome::Nothing { code } => format!("{code} (no response of the service)"),
        };
        counted(self.history.answers.iter().map(|answer| name(&answer.told)))
    }

    fn entries(&self) -> BTreeMap<String, u64> {
        let entries = self.history.ledgers.iter().flat_map(|ledger| &ledger.entries);
        counted(entries.map(|entry| match entry.error_reason.as_deref() {
            Some("POLICY_DENIED") => "FAILED, refused by the policy before a call".to_owned(),
            _ if entry.cause.as_deref() == Some("DRIFT") => format!("{}, without a caller", entry.stage.name()),
            _ if entry.cause.as_deref() == Some("EXPIRY") => format!("{}, at the end of a share", entry.stage.name()),
            _ => entry.stage.name().to_owned(),
        }))
    }

    fn longest_resolution(&self) -> Option<time::Duration> {
        let stories = stories(&self.history);
        let after = stories.iter().filter_map(|story| story.resolved_after());
        after.max().filter(|after| after.is_positive())
    }

    fn upgrade(&self, f: &mut fmt::Formatter<'_>, upgrade: &UpgradeHistory) -> fmt::Result {
        let Some((_, began)) = upgrade.phases.first() else {
            return Ok(());
        };
        let second = |at: OffsetDateTime| (at - *began).as_seconds_f64();
        writeln!(
            f,
            "phases, with the answers of each build: all, OK, other ends, errors to be repeated"
        )?;
        for (index, (name, from)) in upgrade.phases.iter().enumerate() {
            let to = upgrade.phases.get(index + 1).map(|(_, to)| *to);
            writeln!(f, "  {:>6.1} s  {name}", second(*from))?;
            for build in [Build::Old, Build::New] {
                let answers = self.history.answers.iter().filter(|answer| {
                    upgrade.builds[answer.replica] == build
                        && answer.answered_at >= *from
                        && to.is_none_or(|to| answer.answered_at < to)
                });
                let (mut all, mut ok, mut open) = (0, 0, 0);
                for answer in answers {
                    all += 1;
                    ok += u64::from(matches!(answer.told, RpcOutcome::Ok { .. }));
                    open += u64::from(!resolves(&answer.told));
                }
                if all > 0 {
                    let (name, ended) = (upgrade.name(build), all - ok - open);
                    writeln!(f, "            {name}: {all}, {ok}, {ended}, {open}")?;
                }
            }
        }
        writeln!(f, "commands of the owner: {}", upgrade.owner.len())?;
        let mut texts = BTreeMap::new();
        for run in &upgrade.owner {
            let early = if run.old_was_ready {
                " while an old replica was ready"
            } else {
                ""
            };
            let end = match &run.error {
                None => "accepted".to_owned(),
                // The rest differs from run to run: the names of replicas.
                Some(error) => format!(
                    "refused: {}",
                    error.rsplit_once(", version").map_or(&**error, |(start, _)| start)
                ),
            };
            let (times, first) = texts
                .entry(format!("{}{early}: {end}", run.what))
                .or_insert((0_u64, run.ended_at));
            (*times, *first) = (*times + 1, run.ended_at.min(*first));
        }
        for (text, (times, first)) in texts {
            writeln!(f, "  {times:>7}  {text} (first at {:.1} s)", second(first))?;
        }
        let readiness = &upgrade.readiness;
        let gaps = readiness.gaps.iter();
        let longest = gaps
            .map(|gap| gap.to.unwrap_or(gap.from) - gap.from)
            .max()
            .unwrap_or_default();
        writeln!(
            f,
            "readiness: {} polls; {} times without a ready replica, the longest {} ms (polled every {} ms)",
            readiness.polls,
            readiness.gaps.len(),
            longest.whole_milliseconds(),
            EVERY.as_millis(),
        )?;
        for ((build, reason), times) in &readiness.not_ready {
            writeln!(f, "  {times:>7}  not ready: {}, {reason}", upgrade.name(*build))?;
        }
        writeln!(f, "rows written to permissions, entries and leases of workers:")?;
        for (number, writes) in &upgrade.writes {
            let (name, at) = (upgrade.name(upgrade.builds[*number]), second(writes.last_at));
            writeln!(
                f,
                "  {:>7}  replica {number}, {name}; the last at {at:.1} s",
                writes.rows
            )?;
        }
        Ok(())
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

impl UpgradeHistory {
    /// The name of a build, with its number if its health service tells it.
    fn name(&self, build: Build) -> String {
        let name = match build {
            Build::Old => "old",
            Build::New => "new",
        };
        match self.readiness.numbers.get(&build) {
            Some(number) => format!("{name} (build {number})"),
            None => name.to_owned(),
        }
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
