//! Checks what the ledger says of drift (P13), and what was revoked without a caller because of it (P14).
//!
//! Only the permissions that somebody changes past the service may have findings, and AWS must have shown each. A revoke
//! without a caller needs an open finding, and contradicts no accepted change. In the final state, each difference is on record
//! or was revoked.

use std::collections::BTreeMap;

use time::Duration;

use super::{super::history::*, LedgerChanges, Violations, aws_state::Timeline, changes::LedgerChange, ledgers::place};

/// How much older the state may be that a read shows.
const SHOWN_LATE: Duration = Duration::seconds(1);

const UNRECORDED: &str = "UNRECORDED_SHARE";

pub(super) fn check(history: &History, changes: &LedgerChanges<'_>, violations: &mut Violations) {
    let timelines = Timeline::all(&history.calls);
    let mut findings: BTreeMap<ImagePermission, Vec<RecordedFinding<'_>>> = BTreeMap::new();
    for entry in history.ledgers.iter().flat_map(|ledger| &ledger.drift) {
        let Some(permission) = entry.permission() else { continue };
        if !history.outside.contains(&permission) {
            violations.add("P13", format!("drift of {permission}, which nobody touched: {entry:?}"));
        }
        let of_permission = findings.entry(permission.clone()).or_default();
        if entry.kind == "drift.found" {
            is_true(entry, timelines.get(&permission), violations);
            of_permission.push(RecordedFinding {
                found: entry,
                resolved_at: None,
            });
        } else if entry.kind == "drift.observed" {
            // CloudTrail has a call of somebody.
        } else if let Some(last) = of_permission.last_mut()
            && Some(last.found.log_index) == entry.body.found_index
        {
            last.resolved_at = Some(entry.log_index);
        } else {
            violations.add("P13", format!("{entry:?} resolves no finding that is open"));
        }
    }
    for permission in changes.permissions() {
        let all: Vec<_> = changes.of_permission(permission).collect();
        let found = findings.get(permission).map(Vec::as_slice).unwrap_or_default();
        for (index, change) in all.iter().enumerate() {
            if change.requested.cause.as_deref() == Some("DRIFT") {
                contradicts_nothing(change, &all[..index], found, violations);
            }
        }
    }
    if history.healed.is_some() {
        for permission in &history.outside {
            let all: Vec<_> = changes.of_permission(permission).collect();
            let open = findings
                .get(permission)
                .and_then(|found| found.last())
                .filter(|last| last.resolved_at.is_none());
            ends_on_record(permission, &all, open, history.shared.contains(permission), violations);
        }
    }
}

/// A finding, and the index of the entry that resolved it.
struct RecordedFinding<'a> {
    found: &'a DriftEntry,
    resolved_at: Option<u64>,
}

impl RecordedFinding<'_> {
    fn is_unrecorded(&self) -> bool {
        self.found.body.difference.as_deref() == Some(UNRECORDED)
    }
}

fn is_true(entry: &DriftEntry, timeline: Option<&Timeline<'_>>, violations: &mut Violations) {
    let shown = entry.body.difference.as_deref() == Some(UNRECORDED);
    let nothing = Timeline::default();
    let from = entry.body.first_seen_at.unwrap_or(entry.recorded_at) - SHOWN_LATE;
    if !timeline
        .unwrap_or(&nothing)
        .may_have_been(shown, from, entry.recorded_at)
    {
        violations.add("P13", format!("AWS never held what was found: {entry:?}"));
    }
}

/// A revoke without a caller: its finding was open, nothing was in progress, and the last change that had succeeded was no grant.
fn contradicts_nothing(
    change: &LedgerChange<'_>,
    before: &[&LedgerChange<'_>],
    found: &[RecordedFinding<'_>],
    violations: &mut Violations,
) {
    let (at, place) = (change.requested.log_index, place(change.requested));
    let is_open = found.iter().any(|finding| {
        finding.is_unrecorded()
            && finding.found.log_index < at
            && finding.resolved_at.is_none_or(|resolved| resolved > at)
    });
    if !is_open {
        violations.add(
            "P14",
            format!("{place}: revoked without a caller, and no finding was open"),
        );
    }
    let had_ended = |other: &&&LedgerChange<'_>| other.terminal.is_some_and(|end| end.log_index < at);
    if let Some(pending) = before.iter().find(|other| !had_ended(other)) {
        violations.add(
            "P14",
            format!("{place}: revoked while the change {} was in progress", pending.id),
        );
    }
    let succeeded = |other: &&&LedgerChange<'_>| other.terminal.is_some_and(|end| end.stage == Stage::Succeeded);
    if let Some(last) = before.iter().rfind(succeeded)
        && last.requested.action.allows()
    {
        violations.add(
            "P14",
            format!("{place}: takes away what the change {} had granted", last.id),
        );
    }
}

/// The final state: AWS holds what the ledger says, or the difference is on record and is not one to revoke.
fn ends_on_record(
    permission: &ImagePermission,
    all: &[&LedgerChange<'_>],
    open: Option<&RecordedFinding<'_>>,
    shared: bool,
    violations: &mut Violations,
) {
    let ended = |change: &&&LedgerChange<'_>, stage| change.terminal.is_some_and(|end| end.stage == stage);
    let last = all.iter().rfind(|change| ended(change, Stage::Succeeded));
    let recorded = last.is_some_and(|change| change.requested.action.allows());
    // It is repeated, a minute or more later.
    let failed = all
        .iter()
        .any(|change| change.requested.cause.as_deref() == Some("DRIFT") && ended(&change, Stage::Failed));
    let is_as_expected = match open {
        None => shared == recorded,
        Some(finding) if finding.is_unrecorded() => shared && !recorded && failed,
        Some(_) => !shared && recorded,
    };
    if !is_as_expected {
        violations.add(
            "P13",
            format!(
                "{permission}: at the end shared is {shared}, the ledger says {recorded}, and the open finding is {:?}",
                open.map(|finding| finding.found)
            ),
        );
    }
}
