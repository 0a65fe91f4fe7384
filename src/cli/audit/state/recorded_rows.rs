//! What the entries tell about each row, as texts that can be compared and printed.

use std::{collections::BTreeMap, fmt};

use crate::{
    cli::{audit::time_arg::timestamp, format::rfc3339, justification, render::claim_text, table::Cells},
    domain::{
        Access, AccountId, Attempt, Basis, Change, ChangeId, ChangeState, Claim, PermissionKey, PolicyId,
        RecordedState, Timestamp,
        recorded_state::{RecordedPermission, RecordedShare},
    },
};

/// Names a row and its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowName {
    /// A row of `share_permission`.
    Permission(PermissionKey),
    /// A row of `change`.
    Change(AccountId, ChangeId),
    /// A row of `share_interval`, by the index of the entry that began it.
    Share(PermissionKey, u64),
}

impl fmt::Display for RowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permission(key) => write!(f, "permission {key}"),
            Self::Change(account, id) => write!(f, "change {account}/{id}"),
            Self::Share(key, start) => write!(f, "share {key} from entry {start}"),
        }
    }
}

/// All rows that the entries tell of.
pub(super) fn names(recorded: &RecordedState) -> impl Iterator<Item = RowName> {
    let permissions = recorded.permissions().keys().cloned().map(RowName::Permission);
    let changes = recorded.changes().values();
    let changes = changes.map(|change| RowName::Change(change.intent.key.account, change.id()));
    let shares = recorded.shares().keys().cloned();
    permissions
        .chain(changes)
        .chain(shares.map(|(key, start)| RowName::Share(key, start)))
}

/// The fields that the entries determine. None if they tell of no such row.
pub(super) fn fields(recorded: &RecordedState, name: &RowName) -> Option<Cells> {
    match name {
        RowName::Permission(key) => Some(permission(recorded.permissions().get(key)?)),
        RowName::Change(_, id) => Some(change(recorded.changes().get(id)?)),
        RowName::Share(key, start) => Some(share(recorded.shares().get(&(key.clone(), *start))?)),
    }
}

fn permission(told: &RecordedPermission) -> Cells {
    let pending = told.pending_change();
    let mut cells = vec![
        ("generation", told.generation.to_string()),
        ("pending_change_id", text(pending)),
        ("create_time", time(told.created_at)),
    ];
    let basis = basis(told.basis);
    cells.extend([("basis_change_id", basis.0), ("expire_time", basis.1)]);
    let named = |access: Option<Access>| access.map(Access::as_str);
    cells.extend(named(told.desired).map(|desired| ("desired", desired.to_owned())));
    cells.extend(named(told.applied).map(|applied| ("applied", applied.to_owned())));
    match pending {
        Some(_) => cells.push(("state", "PENDING".to_owned())),
        None => {
            cells.extend(named(told.applied).map(|applied| ("state", applied.to_owned())));
            cells.push(("update_time", time(told.updated_at)));
        }
    }
    cells
}

fn change(told: &Change) -> Cells {
    let intent = &told.intent;
    let failure = told.failure.as_ref();
    let error_reason = match (told.state, failure) {
        (ChangeState::Superseded, _) => "CHANGE_SUPERSEDED",
        (_, Some(failure)) => failure.reason.as_str(),
        (_, None) => "UNSPECIFIED",
    };
    let previous_basis = basis(told.previous_basis);
    let mut cells = vec![
        ("request_id", intent.request_id.to_string()),
        ("region", intent.key.region.to_string()),
        ("image_id", intent.key.image.to_string()),
        ("shared_account_id", intent.key.shared_account.to_string()),
        ("action", intent.action.as_str().to_owned()),
        ("cause", intent.cause.as_str().to_owned()),
        ("principal", intent.principal.to_string()),
        ("generation", told.generation.to_string()),
        (
            "previous",
            told.previous.map_or("UNSPECIFIED", Access::as_str).to_owned(),
        ),
        ("expire_time", told.expire_time().map_or_else(String::new, time)),
        ("previous_basis_change_id", previous_basis.0),
        ("previous_basis_expire_time", previous_basis.1),
        ("state", told.state.as_str().to_owned()),
        ("error_reason", error_reason.to_owned()),
        ("error_code", text(failure.and_then(|failure| failure.code.as_ref()))),
        (
            "error_message",
            text(failure.and_then(|failure| failure.message.as_ref())),
        ),
        ("trace_id", text(intent.trace_id.as_ref())),
        ("credentials", credentials(told)),
        ("claims", claims(told)),
        ("create_time", time(told.created_at)),
        ("end_time", told.ended_at.map_or_else(String::new, time)),
    ];
    let texts: BTreeMap<_, _> = intent.justification.texts().collect();
    cells.extend(justification::NAMES.iter().map(|&name| (name, text(texts.get(name)))));
    if told.has_ended() {
        let attempts: Vec<_> = told.attempts.iter().map(attempt).collect();
        cells.push(("attempts", attempts.join("; ")));
        if let Some(decision) = &intent.decision {
            let ids: Vec<_> = decision.policies.iter().map(PolicyId::as_str).collect();
            let (ids, set, at) = (
                ids.join(" "),
                decision.policy_set.to_string(),
                time(decision.decided_at),
            );
            cells.push(("decision", decision_text([&ids, &set, &at])));
        }
    }
    cells
}

/// The grant of a basis, and its end.
fn basis(basis: Option<Basis>) -> (String, String) {
    let end = basis.and_then(|basis| basis.expire_time);
    (
        text(basis.map(|basis| basis.change_id)),
        end.map_or_else(String::new, time),
    )
}

fn credentials(told: &Change) -> String {
    let kinds = told.intent.authentication.iter().flat_map(|it| &it.credentials);
    kinds.map(|kind| kind.as_str()).collect::<Vec<_>>().join(" ")
}

fn claims(told: &Change) -> String {
    let known = told.intent.authentication.iter().flat_map(|it| it.claims.iter());
    let texts = known.map(|(name, claim)| match claim {
        Claim::Values(values) => claim_text(name, values.iter(), ""),
        Claim::Unusable(reason) => claim_text(name, [].iter(), reason),
    });
    texts.collect::<Vec<_>>().join("; ")
}

fn attempt(told: &Attempt) -> String {
    let (operation, started_at) = (told.operation.as_str(), time(told.started_at));
    let (duration, classification) = (told.duration.as_micros(), told.classification.as_str());
    let (id, code) = (text(told.aws_request_id.as_ref()), text(told.error_code.as_ref()));
    attempt_text([operation, &started_at, classification, &id, &code], duration)
}

/// The text of a decision, of either side: the policies, their set and the time.
pub(super) fn decision_text(texts: [&str; 3]) -> String {
    texts.join(" ")
}

/// The text of an attempt, of either side.
pub(super) fn attempt_text(texts: [&str; 5], micros: u128) -> String {
    format!("{} for {micros} µs", texts.join(" "))
}

fn share(told: &RecordedShare) -> Cells {
    let (end_time, end_index) = told
        .end
        .map(|(at, index)| (time(at), index.to_string()))
        .unwrap_or_default();
    vec![
        ("start_time", time(told.start_time)),
        ("end_time", end_time),
        ("end_index", end_index),
    ]
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn time(time: Timestamp) -> String {
    rfc3339(Some(&timestamp(time.to_offset_date_time())))
}
