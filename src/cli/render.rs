//! The API's messages as tables.

use super::{
    cell::{Cell, TableRow},
    ends,
    format::{access, action, cause, milliseconds, name, rfc3339_seconds},
    justification,
    table::{self, Fit},
    text::one_line,
    view::View,
};
use crate::proto::v1::{
    Access, Attempt, Authentication, Change, ChangeProgress, CredentialKind, Decision, ErrorReason, LastLook,
    SharePermission, attempt::Classification, change, share_permission::State,
};

/// The columns of calls to AWS that a narrow terminal does without, the first one first.
const DISPENSABLE: &[&str] = &["AWS REQUEST ID", "STARTED", "CALL TO AWS", "ERROR CODE"];

/// One permission, with what AWS was last seen to hold.
pub(super) fn permission(permission: &SharePermission, look: Option<&LastLook>, view: &View) -> String {
    let mut rows = vec![
        ("Account", one_line(&permission.account_id).into()),
        ("Region", one_line(&permission.region).into()),
        ("Image", one_line(&permission.image_id).into()),
        ("Recipient", one_line(&permission.shared_account_id).into()),
        ("State", Cell::State(permission_state(permission.state))),
        ("Desired", access(permission.desired).into()),
        ("Applied", access(permission.applied).into()),
    ];
    rows.extend(ends::basis_rows(&permission.bases));
    rows.extend([
        ("Generation", permission.generation.to_string().into()),
        ("Pending change", one_line(&permission.pending_change_id).into()),
        ("Created", Cell::Time(permission.create_time)),
        ("Updated", Cell::Time(permission.update_time)),
    ]);
    rows.extend(look_rows(look));
    table::pairs(rows, view)
}

/// When AWS was last looked at, and what it showed.
pub(super) fn look_rows(look: Option<&LastLook>) -> TableRow {
    let Some(look) = look else { return TableRow::new() };
    let showed = match look.access() {
        Access::Unspecified => "not told: the permission was being changed, or has changed since".to_owned(),
        _ => access(look.access),
    };
    vec![
        ("Last look at AWS", Cell::Time(look.look_time)),
        ("AWS showed", showed.into()),
    ]
}

/// One change, and its calls to AWS.
pub(super) fn change(change: &Change, view: &View) -> String {
    let mut text = table::pairs(change_rows(change), view);
    text.push_str(&attempts(&change.attempts, view));
    text
}

/// The change of a grant or revoke, with the state of its permission.
pub(super) fn changed(permission: Option<&SharePermission>, change: &Change, view: &View) -> String {
    let state = permission.map_or_else(String::new, |permission| permission_state(permission.state));
    let mut rows = vec![("Permission", Cell::State(state))];
    rows.extend(change_rows(change));
    let mut text = table::pairs(rows, view);
    text.push_str(&attempts(&change.attempts, view));
    text
}

fn change_rows(change: &Change) -> TableRow {
    // The table of the calls has it, too.
    let of_call = |attempt: &Attempt| attempt.aws_request_id == change.aws_request_id;
    let aws_request_id = match change.attempts.iter().any(of_call) {
        true => String::new(),
        false => one_line(&change.aws_request_id),
    };
    let mut rows = vec![
        ("Change", one_line(&change.change_id).into()),
        ("State", Cell::State(change_state(change.state))),
        ("Action", action(change.action).into()),
        ("Account", one_line(&change.account_id).into()),
        ("Region", one_line(&change.region).into()),
        ("Image", one_line(&change.image_id).into()),
        ("Recipient", one_line(&change.shared_account_id).into()),
        ("Principal", one_line(&change.principal).into()),
        ("Credentials", credentials(change.authentication.as_ref()).into()),
        ("Claims", claims(change.authentication.as_ref()).into()),
    ];
    rows.extend(justification::rows(change));
    rows.extend(decision(change.decision.as_ref()));
    rows.extend([
        ("Cause", cause(change.cause).into()),
        ("Ends", Cell::Time(change.expire_time)),
        (
            "Previous basis",
            ends::basis_text(change.previous_basis.as_ref()).into(),
        ),
        ("Request id", one_line(&change.request_id).into()),
        ("Generation", change.generation.to_string().into()),
        ("Previous", access(change.previous).into()),
        ("AWS request id", aws_request_id.into()),
        (
            "Error",
            error(change.error_reason, &change.error_code, &change.error_message).into(),
        ),
        ("Trace id", one_line(&change.trace_id).into()),
        ("Created", Cell::Time(change.create_time)),
        ("Ended", Cell::Time(change.end_time)),
        (
            "Now",
            change.progress.as_ref().map_or_else(String::new, progress_text).into(),
        ),
    ]);
    rows
}

/// A decision of the policy. A row without a value is not shown.
pub(super) fn decision(decision: Option<&Decision>) -> TableRow {
    let Some(decision) = decision else {
        return TableRow::new();
    };
    let policies: Vec<_> = decision.policies.iter().map(|id| one_line(id)).collect();
    vec![
        ("Policies", policies.join(", ").into()),
        ("Policy set", one_line(&decision.policy_set).into()),
        ("Facts", facts(decision).into()),
    ]
}

fn facts(decision: &Decision) -> String {
    let mut facts = Vec::new();
    if let Some(image) = &decision.image {
        let created = rfc3339_seconds(image.create_time.as_ref());
        let attributes = [
            ("state", &image.state),
            ("operating system", &image.operating_system),
            ("tenancy", &image.required_tenancy),
            ("created", &created),
            ("name", &image.name),
        ];
        let known = attributes.into_iter().filter(|(_, value)| !value.is_empty());
        facts.extend(known.map(|(name, value)| format!("{name} {}", one_line(value))));
    }
    let tags = decision.tags.iter();
    facts.extend(tags.map(|(key, value)| format!("tag {}={}", one_line(key), one_line(value))));
    if !decision.unknown.is_empty() {
        facts.push(format!("not known: {}", one_line(&decision.unknown)));
    }
    facts.join(", ")
}

/// How a caller was authenticated, in words. Empty if it is not known.
pub(super) fn credentials(authentication: Option<&Authentication>) -> String {
    let kinds = authentication.into_iter().flat_map(|it| &it.credentials);
    kinds.map(|&kind| credential(kind)).collect::<Vec<_>>().join(", ")
}

/// The recorded claims of a caller. Empty if there are none.
pub(super) fn claims(authentication: Option<&Authentication>) -> String {
    let claims = authentication.into_iter().flat_map(|it| &it.claims);
    let texts = claims.map(|claim| claim_text(&claim.name, claim.values.iter(), &claim.unusable));
    texts.collect::<Vec<_>>().join("; ")
}

/// A claim in words.
pub(super) fn claim_text<'a>(name: &str, values: impl Iterator<Item = &'a String>, unusable: &str) -> String {
    let name = one_line(name);
    if !unusable.is_empty() {
        return format!("{name} cannot be used: {}", one_line(unusable));
    }
    let values: Vec<_> = values.map(|value| one_line(value)).collect();
    match values.is_empty() {
        true => format!("no {name}"),
        false => format!("{name} {}", values.join(", ")),
    }
}

pub(super) fn credential(value: i32) -> String {
    match CredentialKind::try_from(value) {
        Ok(CredentialKind::Certificate) => "a client certificate".to_owned(),
        Ok(CredentialKind::Token) => "a token".to_owned(),
        Ok(CredentialKind::TrustedHeader) => "a name that is not verified (trusted header)".to_owned(),
        Ok(CredentialKind::Unspecified) | Err(_) => format!("a credential of kind {value}"),
    }
}

/// The progress of a pending change: whether it is in doubt, which replica works on it, and when the next attempt is.
pub(super) fn progress_text(progress: &ChangeProgress) -> String {
    let mut parts = Vec::new();
    if progress.in_doubt {
        parts.push("in doubt".to_owned());
    }
    if !progress.behind_change_id.is_empty() {
        parts.push(format!("behind {}", one_line(&progress.behind_change_id)));
    }
    if let Some(until) = &progress.lease_expire_time {
        let replica = one_line(&progress.replica_id);
        let since = match &progress.lease_start_time {
            Some(since) => format!(" since {}", rfc3339_seconds(Some(since))),
            None => String::new(),
        };
        let until = rfc3339_seconds(Some(until));
        parts.push(format!("a call to AWS is out{since}, by {replica} until {until}"));
    }
    if let Some(next) = &progress.next_attempt_time {
        parts.push(format!("next attempt {}", rfc3339_seconds(Some(next))));
    }
    parts.join("; ")
}

/// Why a change failed: its reason, and the code and the message of AWS.
pub(super) fn error(reason: i32, code: &str, message: &str) -> String {
    if reason == ErrorReason::Unspecified as i32 {
        return String::new();
    }
    let parts = [
        name(reason, "ERROR_REASON_", ErrorReason::as_str_name),
        one_line(code),
        one_line(message),
    ];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(": ")
}

/// The calls to AWS, as a table after an empty line.
pub(super) fn attempts(attempts: &[Attempt], view: &View) -> String {
    if attempts.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = attempts.iter().map(attempt).collect();
    format!("\n{}", table::list(&rows, Fit::Columns(DISPENSABLE), view).text)
}

fn attempt(attempt: &Attempt) -> TableRow {
    let result = name(attempt.classification, "CLASSIFICATION_", Classification::as_str_name);
    vec![
        ("CALL TO AWS", one_line(&attempt.operation).into()),
        ("STARTED", Cell::Moment(attempt.start_time)),
        (
            "TOOK",
            attempt.duration.as_ref().map_or_else(String::new, milliseconds).into(),
        ),
        ("RESULT", Cell::State(result)),
        ("AWS REQUEST ID", Cell::Id(one_line(&attempt.aws_request_id))),
        ("ERROR CODE", Cell::Text(one_line(&attempt.error_code))),
    ]
}

pub(super) fn permission_state(value: i32) -> String {
    name(value, "STATE_", State::as_str_name)
}

pub(super) fn change_state(value: i32) -> String {
    name(value, "STATE_", change::State::as_str_name)
}
