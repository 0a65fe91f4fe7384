//! What the call log must show.
//!
//! P1: a mutating call belongs to a change whose REQUESTED was recorded before it, and that had not ended. (A call that was
//! abandoned by its caller may be seen by AWS after that; it must still have been announced.)
//!
//! P6: of two mutating calls for one permission, the first has ended before the second begins. A call that was abandoned –
//! its replica was killed, or timed out – has no end that anyone could wait for. For such a call P6 means: nobody waits for
//! it any more, and the next call begins no sooner than its time-out, which is what the lease (time-out and margin, and
//! more) guarantees to a replica that takes over. It may take effect later than that, but not after a newer call for the
//! opposite: nothing is called against what may still land. (What lands later than the landing window is AWS's own gap; the
//! trials have no such calls.)

use std::collections::BTreeMap;

use sharewarden_simulator::Call;
use time::Duration;

use super::super::history::*;
use super::{Changes, Found};

/// The one mutating operation.
pub const UPDATE: &str = "UpdateWorkspaceImagePermission";

/// The simulator sees a call later than the caller who began it, by what the machine needs to run both.
const SEEN_LATE: Duration = Duration::milliseconds(150);

pub(super) fn check(history: &History, changes: &Changes<'_>, found: &mut Found) {
    let mut by_permission: BTreeMap<Permission, Vec<&Call>> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| call.operation == UPDATE) {
        let Some(permission) = permission_of(call) else {
            found.add("P1", format!("call {} names no permission: {call:?}", call.number));
            continue;
        };
        announced(call, &permission, changes, found);
        by_permission.entry(permission).or_default().push(call);
    }
    for (permission, mut calls) in by_permission {
        calls.sort_by_key(|call| call.started);
        for pair in calls.windows(2) {
            apart(pair[0], pair[1], &permission, history.attempt_timeout, found);
        }
        for (index, call) in calls.iter().enumerate() {
            overtakes(call, &calls[index + 1..], &permission, found);
        }
    }
}

/// A call that takes effect after a newer one for the opposite undoes it.
fn overtakes(call: &Call, newer: &[&Call], permission: &Permission, found: &mut Found) {
    let Some(applied) = call.applied else { return };
    let meanwhile = newer.iter().take_while(|newer| newer.started < applied);
    let undone = |newer: &&&Call| newer.allow != call.allow && newer.applied.is_some_and(|at| at < applied);
    if let Some(undone) = meanwhile.filter(undone).last() {
        found.add(
            "P6",
            format!(
                "{permission}: call {} took effect after call {}, which is newer",
                call.number, undone.number
            ),
        );
    }
}

fn announced(call: &Call, permission: &Permission, changes: &Changes<'_>, found: &mut Found) {
    let abandoned = call.client_left.is_some();
    let is_announced = changes.of_permission(permission).any(|change| {
        Some(change.requested.action.allows()) == call.allow
            && change.requested.recorded_at <= call.started_at
            && (abandoned || change.terminal.is_none_or(|end| end.recorded_at >= call.started_at))
    });
    if !is_announced {
        found.add(
            "P1",
            format!(
                "call {} (allow {:?}, {permission}, at {}, applied {:?}) belongs to no change that was on record and under way",
                call.number, call.allow, call.started_at, call.applied
            ),
        );
    }
}

fn apart(one: &Call, next: &Call, permission: &Permission, timeout: Duration, found: &mut Found) {
    if one.ended.is_some_and(|ended| ended < next.started) && one.client_left.is_none() {
        return;
    }
    let left = one.client_left.is_some_and(|left| left < next.started);
    let waited = next.started_at - one.started_at;
    if !left {
        found.add(
            "P6",
            format!(
                "{permission}: call {} began while call {} was under way",
                next.number, one.number
            ),
        );
    } else if waited + SEEN_LATE < timeout {
        found.add(
            "P6",
            format!(
                "{permission}: call {} began {waited} after call {}, which was abandoned, and not after its time-out",
                next.number, one.number
            ),
        );
    }
}
