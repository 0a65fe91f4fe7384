//! Checks the ends of shares (P12), and that automation only removes access (P14), from the ledgers and the final state of AWS.
//!
//! An end is accepted only for the grant on which the share stands, or may stand: no newer change had succeeded, and no newer
//! grant was in progress. A share is not shared after its end, in the final state. If its revoke failed, the share is excused:
//! it is repeated later. Without faults, the revoke is accepted in time.

use time::{Duration, OffsetDateTime};

use super::{super::history::*, LedgerChanges, Violations, changes::LedgerChange, ledgers::place};

/// The principal of changes that the service makes by itself.
const AUTOMATION: &str = "sharewarden";

/// Maximum time from an end to the acceptance of its revoke, without faults (P12).
const ACCEPTED_WITHIN: Duration = Duration::seconds(5);

/// A TTL counts from the commit of the entry. Its time is rounded, and moved if an earlier entry has a later one.
const ROUNDED: Duration = Duration::milliseconds(5);

/// True if the share of a grant ends after this time from its acceptance.
pub(super) fn is_after(entry: &LedgerEntry, ttl: Option<Duration>) -> bool {
    match (entry.expire_time, ttl) {
        (None, None) => true,
        (Some(end), Some(ttl)) => (end - entry.recorded_at - ttl).abs() <= ROUNDED,
        _ => false,
    }
}

pub(super) fn check(history: &History, changes: &LedgerChanges<'_>, violations: &mut Violations) {
    for permission in changes.permissions() {
        let all: Vec<_> = changes.of_permission(permission).collect();
        for (index, change) in all.iter().enumerate() {
            let asked = change.requested;
            let is_end = asked.cause.as_deref() == Some("EXPIRY");
            let is_own = is_end || asked.cause.as_deref() == Some("DRIFT");
            if is_own != (asked.principal.as_deref() == Some(AUTOMATION)) || (is_own && asked.action.allows()) {
                let what = (&asked.principal, &asked.cause, asked.action);
                violations.add("P14", format!("{}: a change of {what:?}", place(asked)));
            }
            if is_end {
                ends_its_basis(change, &all[..index], violations);
            }
        }
        if let Some(healed) = history.healed {
            if history.shared.contains(permission) && !history.outside.contains(permission) {
                is_not_overdue(permission, &all, healed.to, violations);
            }
            ends_in_time(&all, healed, violations);
        }
    }
}

fn ends_its_basis(change: &LedgerChange<'_>, before: &[&LedgerChange<'_>], violations: &mut Violations) {
    let (asked, at) = (change.requested, place(change.requested));
    let Some(basis) = &asked.previous_basis else {
        return violations.add("P12", format!("{at}: an end without a basis"));
    };
    let Some(index) = before.iter().position(|grant| grant.id == basis.change_id) else {
        return violations.add("P12", format!("{at}: no earlier change of the share is {basis:?}"));
    };
    let grant = before[index].requested;
    match grant.expire_time {
        Some(end) if grant.action.allows() && basis.expire_time == Some(end) && end <= asked.recorded_at => {}
        end => violations.add("P12", format!("{at}: ends {basis:?}; the grant has the end {end:?}")),
    }
    // What had ended then, by the order of the ledger.
    let stage = |other: &LedgerChange<'_>| match other.terminal {
        Some(end) if end.log_index < asked.log_index => Some(end.stage),
        _ => None,
    };
    if stage(before[index]) == Some(Stage::Failed) {
        violations.add("P12", format!("{at}: ends a grant that had failed: {basis:?}"));
    }
    for newer in &before[index + 1..] {
        let stage = stage(newer);
        if stage == Some(Stage::Succeeded) || (stage.is_none() && newer.requested.action.allows()) {
            violations.add(
                "P12",
                format!("{at}: ends {basis:?}; the newer change {} is {stage:?} then", newer.id),
            );
        }
    }
}

/// A share that is in effect at the end of a trial.
fn is_not_overdue(
    permission: &ImagePermission,
    all: &[&LedgerChange<'_>],
    quiet: OffsetDateTime,
    violations: &mut Violations,
) {
    let has_ended = |change: &&&LedgerChange<'_>, stage| change.terminal.is_some_and(|end| end.stage == stage);
    let mut grants = all.iter().filter(|change| change.requested.action.allows());
    let Some(basis) = grants.rfind(|change| has_ended(change, Stage::Succeeded)) else {
        return;
    };
    let failed = all.iter().any(|change| {
        let ends = change.requested.previous_basis.as_ref();
        change.requested.cause.as_deref() == Some("EXPIRY")
            && has_ended(&change, Stage::Failed)
            && ends.is_some_and(|ended| ended.change_id == basis.id)
    });
    if let Some(end) = basis.requested.expire_time
        && end < quiet
        && !failed
    {
        let id = basis.id;
        violations.add(
            "P12",
            format!("{permission} is shared at {quiet}; its grant {id} ended at {end}"),
        );
    }
}

/// The end of a grant that had succeeded before, without faults. Only the next change counts: it may be another one.
fn ends_in_time(all: &[&LedgerChange<'_>], healed: HealedTime, violations: &mut Violations) {
    for (index, grant) in all.iter().enumerate() {
        let (Some(end), Some(terminal)) = (grant.requested.expire_time, grant.terminal) else {
            continue;
        };
        let latest = end + ACCEPTED_WITHIN;
        if terminal.stage != Stage::Succeeded || terminal.recorded_at > end || end < healed.from || latest > healed.to {
            continue;
        }
        let next = all.get(index + 1).map(|next| next.requested.recorded_at);
        if next.is_none_or(|next| next > latest) {
            violations.add(
                "P12",
                format!(
                    "{}: the share ended at {end}, and the next change was accepted at {next:?}",
                    place(terminal)
                ),
            );
        }
    }
}
