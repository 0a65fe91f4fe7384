//! Checks the call log.
//!
//! P1: a mutating call belongs to a change that is on record as requested before the call and has not ended. An
//! abandoned call may reach AWS after the end of its change, but not before its request was recorded.
//!
//! P6: mutating calls for one permission do not overlap. An abandoned call (its replica was killed, or timed out) has
//! no end that anyone could wait for. The next call must not begin before the timeout of the abandoned one: the
//! lease, which is longer than this timeout, guarantees that. The abandoned call may take effect later, but not after
//! a newer call for the opposite. (A call that takes effect after the late-effect window is a known gap of AWS. Trials
//! have no such calls.)

use std::collections::BTreeMap;

use sharewarden_simulator::ApiCall;
use time::Duration;

use super::{super::history::*, LedgerChanges, Violations};

/// The only mutating operation.
pub const UPDATE: &str = "UpdateWorkspaceImagePermission";

/// Maximum delay between the start of a call in the replica and in the simulator.
const SEEN_LATE: Duration = Duration::milliseconds(150);

pub(super) fn check(history: &History, changes: &LedgerChanges<'_>, violations: &mut Violations) {
    let mut by_permission: BTreeMap<ImagePermission, Vec<&ApiCall>> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| call.operation == UPDATE) {
        let Some(permission) = permission_of(call) else {
            violations.add("P1", format!("call {} names no permission: {call:?}", call.number));
            continue;
        };
        // Anybody makes these, and drift is about them.
        if history.outside.contains(&permission) {
            continue;
        }
        announced(call, &permission, changes, violations);
        by_permission.entry(permission).or_default().push(call);
    }
    for (permission, mut calls) in by_permission {
        calls.sort_by_key(|call| call.started);
        for pair in calls.windows(2) {
            apart(pair[0], pair[1], &permission, history.attempt_timeout, violations);
        }
        for (index, call) in calls.iter().enumerate() {
            overtakes(call, &calls[index + 1..], &permission, violations);
        }
    }
}

/// A call that takes effect after a newer call for the opposite undoes it.
fn overtakes(call: &ApiCall, newer: &[&ApiCall], permission: &ImagePermission, violations: &mut Violations) {
    let Some(applied) = call.applied else { return };
    let meanwhile = newer.iter().take_while(|newer| newer.started < applied);
    let undone = |newer: &&&ApiCall| newer.allow != call.allow && newer.applied.is_some_and(|at| at < applied);
    if let Some(undone) = meanwhile.filter(undone).last() {
        violations.add(
            "P6",
            format!(
                "{permission}: call {} took effect after call {}, which is newer",
                call.number, undone.number
            ),
        );
    }
}

fn announced(call: &ApiCall, permission: &ImagePermission, changes: &LedgerChanges<'_>, violations: &mut Violations) {
    let abandoned = call.client_left.is_some();
    let is_announced = changes.of_permission(permission).any(|change| {
        Some(change.requested.action.allows()) == call.allow
            && change.requested.recorded_at <= call.started_at
            && (abandoned || change.terminal.is_none_or(|end| end.recorded_at >= call.started_at))
    });
    if !is_announced {
        violations.add(
            "P1",
            format!(
                "call {} (allow {:?}, {permission}, at {}, applied {:?}) belongs to no pending change on record",
                call.number, call.allow, call.started_at, call.applied
            ),
        );
    }
}

fn apart(one: &ApiCall, next: &ApiCall, permission: &ImagePermission, timeout: Duration, violations: &mut Violations) {
    if one.ended.is_some_and(|ended| ended < next.started) && one.client_left.is_none() {
        return;
    }
    let left = one.client_left.is_some_and(|left| left < next.started);
    let waited = next.started_at - one.started_at;
    if !left {
        violations.add(
            "P6",
            format!(
                "{permission}: call {} began while call {} was under way",
                next.number, one.number
            ),
        );
    } else if waited + SEEN_LATE < timeout {
        violations.add(
            "P6",
            format!(
                "{permission}: call {} began {waited} after call {}, which was abandoned, before its timeout",
                next.number, one.number
            ),
        );
    }
}
