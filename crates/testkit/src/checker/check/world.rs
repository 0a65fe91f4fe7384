//! What AWS held, told from the calls that took effect, and compared with what the ledgers say. P3: what is recorded as
//! SUCCEEDED was in effect at a time between its two entries; what is recorded as FAILED was not left in effect by its own
//! call. P6: at the end AWS holds what the newest accepted intent says.

use std::collections::{BTreeMap, HashMap};

use sharewarden_simulator::Call;
use time::OffsetDateTime;

use super::super::history::*;
use super::{Changes, Found, changes::Change, endings::place};

/// The calls that took effect on a permission, in that order.
#[derive(Debug, Default)]
struct Timeline<'a>(Vec<&'a Call>);

impl<'a> Timeline<'a> {
    fn all(calls: &'a [Call]) -> BTreeMap<Permission, Self> {
        let mut timelines: BTreeMap<Permission, Self> = BTreeMap::new();
        let took_effect = |call: &&Call| call.operation == super::calls::UPDATE && call.applied.is_some();
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

    /// Could it have been so at some time between these two? At first, nothing is shared.
    fn may_have_been(&self, shared: bool, from: OffsetDateTime, to: OffsetDateTime) -> bool {
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

pub(super) fn check(history: &History, changes: &Changes<'_>, found: &mut Found) {
    let timelines = Timeline::all(&history.calls);
    let nothing = Timeline::default();
    for permission in changes.permissions() {
        let timeline = timelines.get(permission).unwrap_or(&nothing);
        let all: Vec<_> = changes.of_permission(permission).collect();
        for change in &all {
            let Some(end) = change.terminal else { continue };
            match end.stage {
                Stage::Succeeded => was_in_effect(change, end, timeline, found),
                Stage::Failed => was_not_left_in_effect(change, end, &all, timeline, found),
                _ => {}
            }
        }
        ends_as_asked(permission, &all, history, found);
    }
    for permission in &history.shared {
        if changes.of_permission(permission).next().is_none() {
            found.add("P1", format!("{permission} is shared, and nobody asked for it"));
        }
    }
}

fn was_in_effect(change: &Change<'_>, end: &Entry, timeline: &Timeline<'_>, found: &mut Found) {
    let (wanted, from) = (end.action.allows(), change.requested.recorded_at);
    if !timeline.may_have_been(wanted, from, end.recorded_at) {
        found.add(
            "P3",
            format!(
                "{}: change {} is recorded as SUCCEEDED and was never in effect between {from} and {}",
                place(end),
                change.id,
                end.recorded_at
            ),
        );
    }
}

/// Only calls that can be nobody else's, that ended in time, and that nothing undid, are held against a failure.
fn was_not_left_in_effect(
    change: &Change<'_>,
    end: &Entry,
    all: &[&Change<'_>],
    timeline: &Timeline<'_>,
    found: &mut Found,
) {
    let covers = |other: &Change<'_>, at: OffsetDateTime| {
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
        found.add(
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

fn ends_as_asked(permission: &Permission, all: &[&Change<'_>], history: &History, found: &mut Found) {
    let shared = history.shared.contains(permission);
    let outcomes: HashMap<_, _> = all
        .iter()
        .filter_map(|change| Some((change.id, change.terminal?.stage)))
        .collect();
    let mut newest_first = all.iter().rev();
    // A change that failed had no effect; before it, the next older decides.
    let deciding = newest_first.find(|change| outcomes.get(change.id) != Some(&Stage::Failed));
    let wanted = match deciding {
        None => false,
        Some(change) => match outcomes.get(change.id) {
            Some(Stage::Succeeded) => change.requested.action.allows(),
            // It may or may not have been called before a newer one took its place, which then failed.
            Some(Stage::Superseded) if all.last().is_some_and(|last| last.id != change.id) => return,
            other => {
                let id = change.id;
                return found.add("P6", format!("{permission}: the newest change {id} ended as {other:?}"));
            }
        },
    };
    if shared != wanted {
        found.add(
            "P6",
            format!("{permission}: at the end shared is {shared}, and the newest accepted intent says {wanted}"),
        );
    }
}
