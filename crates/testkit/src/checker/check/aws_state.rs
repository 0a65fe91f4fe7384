//! Derives the state of AWS from the calls that took effect, and checks the ledgers against it.
//!
//! P3: a change that SUCCEEDED was in effect at some time between its two entries. A change that FAILED was not left
//! in effect by its own call. P6: at the end AWS has the state of the newest accepted change.

use std::collections::{BTreeMap, HashMap};

use sharewarden_simulator::ApiCall;
use time::OffsetDateTime;

use super::{super::history::*, LedgerChanges, Violations, changes::LedgerChange, ledgers::place};

/// The calls that took effect on a permission, in that order.
#[derive(Debug, Default)]
pub(super) struct Timeline<'a>(Vec<&'a ApiCall>);

impl<'a> Timeline<'a> {
    pub(super) fn all(calls: &'a [ApiCall]) -> BTreeMap<ImagePermission, Self> {
        let mut timelines: BTreeMap<ImagePermission, Self> = BTreeMap::new();
        let took_effect = |call: &&ApiCall| call.operation == super::calls::UPDATE && call.applied.is_some();
        for call in calls.iter().filter(took_effect) {
            if let Some(permission) = permission_of(call) {
                timelines.entry(permission).or_default().0.push(call);
            }
        }
        for timeline in timelines.values_mut() {
            timeline.0.sort_by_key(|call| call.applied);
        }
        timelines
    }

    /// True if this may have been the state at some time in the interval. Initially nothing is shared.
    pub(super) fn may_have_been(&self, shared: bool, from: OffsetDateTime, to: OffsetDateTime) -> bool {
        let ends = |index: usize| match self.0.get(index) {
            Some(call) => call.ended_at,
            None => None,
        };
        let overlaps = |begins: Option<OffsetDateTime>, ends: Option<OffsetDateTime>| {
            begins.is_none_or(|begins| begins <= to) && ends.is_none_or(|ends| ends >= from)
        };
        let at_first = !shared && overlaps(None, ends(0));
        at_first
            || self
                .0
                .iter()
                .enumerate()
                .any(|(index, call)| call.allow == Some(shared) && overlaps(Some(call.started_at), ends(index + 1)))
    }
}

pub(super) fn check(history: &History, changes: &LedgerChanges<'_>, violations: &mut Violations) {
    let timelines = Timeline::all(&history.calls);
    let nothing = Timeline::default();
    for permission in changes.permissions().filter(|of| !history.outside.contains(of)) {
        let timeline = timelines.get(permission).unwrap_or(&nothing);
        let all: Vec<_> = changes.of_permission(permission).collect();
        for change in &all {
            let Some(end) = change.terminal else { continue };
            match end.stage {
                Stage::Succeeded => was_in_effect(change, end, timeline, violations),
                Stage::Failed => was_not_left_in_effect(change, end, &all, timeline, violations),
                _ => {}
            }
        }
        ends_as_asked(permission, &all, history, violations);
    }
    for permission in history.shared.difference(&history.outside) {
        if changes.of_permission(permission).next().is_none() {
            violations.add("P1", format!("{permission} is shared without any request"));
        }
    }
}

fn was_in_effect(change: &LedgerChange<'_>, end: &LedgerEntry, timeline: &Timeline<'_>, violations: &mut Violations) {
    let (wanted, from) = (end.action.allows(), change.requested.recorded_at);
    if !timeline.may_have_been(wanted, from, end.recorded_at) {
        violations.add(
            "P3",
            format!(
                "{}: change {} is recorded as SUCCEEDED but was never in effect between {from} and {}",
                place(end),
                change.id,
                end.recorded_at
            ),
        );
    }
}

/// Counts a call against a failure only if it can belong to no other change, ended in time, and was not undone.
fn was_not_left_in_effect(
    change: &LedgerChange<'_>,
    end: &LedgerEntry,
    all: &[&LedgerChange<'_>],
    timeline: &Timeline<'_>,
    violations: &mut Violations,
) {
    let covers = |other: &LedgerChange<'_>, at: OffsetDateTime| {
        other.requested.action == end.action
            && other.requested.recorded_at <= at
            && other.terminal.is_none_or(|end| end.recorded_at >= at)
    };
    let mut newest_first = timeline.0.iter().rev();
    let Some(call) = newest_first.find(|call| call.started_at <= end.recorded_at) else {
        return;
    };
    let is_ours = call.allow == Some(end.action.allows())
        && covers(change, call.started_at)
        && all.iter().filter(|other| covers(other, call.started_at)).count() == 1;
    let in_time = call.ended_at.is_some_and(|ended| ended <= end.recorded_at) && call.client_left.is_none();
    if is_ours && in_time {
        violations.add(
            "P3",
            format!(
                "{}: change {} is recorded as FAILED, and its call {} took effect",
                place(end),
                change.id,
                call.number
            ),
        );
    }
}

fn ends_as_asked(
    permission: &ImagePermission,
    all: &[&LedgerChange<'_>],
    history: &History,
    violations: &mut Violations,
) {
    let shared = history.shared.contains(permission);
    let outcomes: HashMap<_, _> = all
        .iter()
        .filter_map(|change| Some((change.id, change.terminal?.stage)))
        .collect();
    let mut newest_first = all.iter().rev();
    // A failed change had no effect: the change before it decides.
    let deciding = newest_first.find(|change| outcomes.get(change.id) != Some(&Stage::Failed));
    let wanted = match deciding {
        None => false,
        Some(change) => match outcomes.get(change.id) {
            Some(Stage::Succeeded) => change.requested.action.allows(),
            // It was superseded by a change that failed. It is unknown whether it had taken effect.
            Some(Stage::Superseded) if all.last().is_some_and(|last| last.id != change.id) => return,
            other => {
                let id = change.id;
                return violations.add("P6", format!("{permission}: the newest change {id} ended as {other:?}"));
            }
        },
    };
    if shared != wanted {
        violations.add(
            "P6",
            format!("{permission}: at the end shared is {shared}; the newest accepted change requires {wanted}"),
        );
    }
}
