//! Checks the policy (P10, P11) from the ledgers, the texts of the sets, the call log, and the lines of the replicas' logs that
//! name the set in force.
//!
//! P11: the decision of each entry is made again from the entry and the text of its set, by [`evaluation`](super::evaluation).
//! P10, by the record: AWS accepted a grant under a decision that was made directly before the call, or at the acceptance
//! a second before it at most. P10, by the sets: at each call for a grant, a set that may have been in force in the replica
//! that made the call allows it. Calls that are repeated are checked as first calls are. Reads of AWS and revokes are not
//! checked: they need no decision before the call.
//!
//! What can be seen: which replica made a call, by its `Host` header; which sets it had in force, by its log; the last
//! decision of a change, by its entries. What cannot be seen: the moment of a decision that a later one replaced, or that was
//! lost with its replica. For such a call only the sets in force are judged. A call whose replica ended at that time is not
//! judged: the log may lack the last set.

use std::collections::BTreeMap;

use sharewarden_simulator::ApiCall;
use time::{Duration, OffsetDateTime};

use super::{
    super::history::*, LedgerChanges, Violations, calls::UPDATE, changes::LedgerChange, evaluation::EvaluatedSet,
    ledgers::place,
};

/// How long the decision of the acceptance serves for a call.
const ACCEPTANCE_SERVES_FOR: Duration = Duration::seconds(1);

/// Maximum time from a decision to the arrival of its call at AWS: both happen under one lease, which lasts 1.8 s in a trial.
const CALLED_WITHIN: Duration = Duration::seconds(2);

/// Maximum time from a decision to the start of its call, on the replica's own clock. Nothing is done in between.
const STARTED_WITHIN: Duration = Duration::seconds(1);

/// Maximum time from the moment when a set is in force to its line in the log, and from a line to the log's end.
const LOGGED_WITHIN: Duration = Duration::milliseconds(500);

type Sets = BTreeMap<String, EvaluatedSet>;

pub(super) fn check(history: &History, changes: &LedgerChanges<'_>, violations: &mut Violations) {
    let Some(policies) = &history.policies else { return };
    let texts = policies.texts.iter();
    let sets: Sets = texts
        .map(|(digest, text)| (digest.clone(), EvaluatedSet::of(text)))
        .collect();
    for entry in history.ledgers.iter().flat_map(|ledger| &ledger.entries) {
        is_decided_as_recorded(entry, &sets, violations);
    }
    for (number, replica) in policies.replicas.iter().enumerate() {
        has_valid_sets_only(number, replica, policies, &sets, violations);
    }
    let grants = history.calls.iter().filter(|call| is_grant(call));
    for call in grants {
        let Some(permission) = permission_of(call) else {
            continue;
        };
        let candidates: Vec<_> = candidates(call, &permission, changes).collect();
        if let SetsInForce::These(in_force) = in_force_before(call, policies) {
            is_allowed_by_one(call, &candidates, &in_force, &sets, violations);
        }
    }
    for change in changes.all() {
        is_called_under_its_decision(change, history, policies, violations);
    }
}

/// The number of calls for grants, and of those whose sets in force are known.
pub fn judged(history: &History) -> (usize, usize) {
    let Some(policies) = &history.policies else {
        return (0, 0);
    };
    let grants = history.calls.iter().filter(|call| is_grant(call));
    let known = |call: &&ApiCall| matches!(in_force_before(call, policies), SetsInForce::These(_));
    (grants.clone().count(), grants.filter(known).count())
}

fn is_grant(call: &ApiCall) -> bool {
    call.operation == UPDATE && call.allow == Some(true)
}

/// P11: the text of the set decides again as the entry says. P10: what was allowed is allowed.
fn is_decided_as_recorded(entry: &LedgerEntry, sets: &Sets, violations: &mut Violations) {
    let at = place(entry);
    let Some(decision) = &entry.decision else {
        // The policy decides about what callers ask for.
        if entry.cause.as_deref() == Some("CALLER") {
            violations.add("P11", format!("{at} has no decision"));
        }
        return;
    };
    let Some(set) = sets.get(&decision.policy_set) else {
        let digest = &decision.policy_set;
        return violations.add("P11", format!("{at}: no text of the policy set {digest} was kept"));
    };
    let is_refused = entry.error_reason.as_deref() == Some("POLICY_DENIED");
    let was_allowed = entry.stage != Stage::Denied && !is_refused;
    let again = set.decide(entry, decision.decided_at);
    if (again.is_allowed, &again.policies) != (was_allowed, &decision.policies) {
        let promise = if was_allowed && !again.is_allowed { "P10" } else { "P11" };
        violations.add(
            promise,
            format!("{at}: recorded as allowed {was_allowed} by {decision:?}; made again, it is {again:?}"),
        );
    }
    if is_refused && entry.action == ShareAction::Revoke {
        violations.add("P10", format!("{at}: a revoke was asked again after its acceptance"));
    }
}

/// A set that cannot be used, and one that nobody wrote, is never in force.
fn has_valid_sets_only(
    number: usize,
    replica: &PolicyReplica,
    policies: &PolicyHistory,
    sets: &Sets,
    violations: &mut Violations,
) {
    for event in &replica.events {
        let Some(digest) = event.kind.set() else { continue };
        let what = match sets.get(digest) {
            None => "without a kept text".to_owned(),
            Some(set) if !policies.valid.contains(&set.written_ids()) => format!("with {:?}", set.written_ids()),
            Some(_) => continue,
        };
        let at = event.at;
        violations.add(
            "P10",
            format!("from {at} on, replica {number} had the set {digest} in force, {what}"),
        );
    }
}

/// The grants that a call can belong to.
fn candidates<'a, 'c>(
    call: &'c ApiCall,
    permission: &ImagePermission,
    changes: &'c LedgerChanges<'a>,
) -> impl Iterator<Item = &'c LedgerChange<'a>> {
    let abandoned = call.client_left.is_some();
    changes.of_permission(permission).filter(move |change| {
        change.requested.action.allows()
            && change.requested.recorded_at <= call.started_at
            && (abandoned || change.terminal.is_none_or(|end| end.recorded_at >= call.started_at))
    })
}

/// The sets that a replica may have had in force in an interval.
#[derive(Debug, PartialEq, Eq)]
enum SetsInForce<'a> {
    These(Vec<&'a str>),
    /// The process ended then, or the call names no replica.
    Unknown,
}

/// The sets that may have decided about a call.
fn in_force_before<'a>(call: &ApiCall, policies: &'a PolicyHistory) -> SetsInForce<'a> {
    let mut replicas = policies.replicas.iter();
    match replicas.find(|replica| call.host.as_deref() == Some(&*replica.host)) {
        Some(replica) => in_force(replica, call.started_at - CALLED_WITHIN, call.started_at),
        None => SetsInForce::Unknown,
    }
}

fn in_force(replica: &PolicyReplica, from: OffsetDateTime, to: OffsetDateTime) -> SetsInForce<'_> {
    // A process does nothing before it starts, and the calls of the one before it have arrived by then.
    let starts = replica.events.iter().rev();
    let mut starts = starts.filter(|event| matches!(event.kind, PolicyEventKind::Started(_)));
    let started = starts.find(|event| event.at <= to).map(|event| event.at);
    let from = started.map_or(from, |started| from.max(started));
    let mut found = Vec::new();
    for (index, event) in replica.events.iter().enumerate() {
        let ends = replica.events.get(index + 1).map(|next| next.at);
        if event.at - LOGGED_WITHIN > to || ends.is_some_and(|ends| ends <= from) {
            continue;
        }
        match event.kind.set() {
            Some(digest) => found.push(digest),
            None => return SetsInForce::Unknown,
        }
    }
    match found.is_empty() {
        true => SetsInForce::Unknown,
        false => SetsInForce::These(found),
    }
}

fn is_allowed_by_one(
    call: &ApiCall,
    candidates: &[&LedgerChange<'_>],
    in_force: &[&str],
    sets: &Sets,
    violations: &mut Violations,
) {
    // A set without a text is a violation of its own.
    let allows = |digest: &&str, change: &LedgerChange<'_>| {
        sets.get(*digest)
            .is_none_or(|set| set.decide(change.requested, call.started_at).is_allowed)
    };
    let is_allowed = candidates
        .iter()
        .any(|change| in_force.iter().any(|digest| allows(digest, change)));
    // Without a candidate, P1 is broken.
    if !is_allowed && !candidates.is_empty() {
        let ids: Vec<_> = candidates.iter().map(|change| change.id).collect();
        let names: Vec<_> = in_force.iter().map(|digest| name(digest, sets)).collect();
        violations.add(
            "P10",
            format!(
                "call {} at {} grants {ids:?}, and the set in force in its replica refuses: {}",
                call.number,
                call.started_at,
                names.join(" or ")
            ),
        );
    }
}

/// The name of a set for a person: the ids of its policies.
fn name(digest: &str, sets: &Sets) -> String {
    let ids = sets.get(digest).map(EvaluatedSet::written_ids).unwrap_or_default();
    let ids: Vec<_> = ids.into_iter().collect();
    format!("{} ({})", digest.get(..12).unwrap_or(digest), ids.join(", "))
}

/// A grant that AWS accepted, in its last call: the decision on record was made in time, under a set that the replica had in
/// force.
fn is_called_under_its_decision(
    change: &LedgerChange<'_>,
    history: &History,
    policies: &PolicyHistory,
    violations: &mut Violations,
) {
    let (requested, Some(end)) = (change.requested, change.terminal) else {
        return;
    };
    if end.stage != Stage::Succeeded || !end.action.allows() {
        return;
    }
    let accepted = end.attempts.last();
    let accepted = accepted.filter(|attempt| attempt.operation == UPDATE && attempt.classification == "ACCEPTED");
    let (Some(attempt), Some(decision)) = (accepted, &end.decision) else {
        return;
    };
    let id = attempt.aws_request_id.as_deref();
    let Some(call) = history.calls.iter().find(|call| Some(&*call.request_id) == id) else {
        return violations.add("P1", format!("{}: AWS has no call {id:?}", place(end)));
    };
    let at = place(end);
    if requested.decision.as_ref() == Some(decision) {
        let waited = call.started_at - requested.recorded_at;
        if waited > ACCEPTANCE_SERVES_FOR + CALLED_WITHIN {
            violations.add(
                "P10",
                format!(
                    "{at}: the decision of the acceptance served for call {}, {waited} later",
                    call.number
                ),
            );
        }
    } else {
        let waited = attempt.started_at - decision.decided_at;
        // No decision is older than its change: a replica whose clock is behind decides at the time of the acceptance.
        let is_behind = waited.is_negative() && decision.decided_at != requested.recorded_at;
        if is_behind || waited > STARTED_WITHIN {
            violations.add(
                "P10",
                format!("{at}: call {} began {waited} after its decision", call.number),
            );
        }
    }
    if let SetsInForce::These(in_force) = in_force_before(call, policies)
        && !in_force.contains(&decision.policy_set.as_str())
    {
        violations.add(
            "P10",
            format!(
                "{at}: call {} was allowed by a set that its replica did not have: {decision:?}",
                call.number
            ),
        );
    }
}
