//! The API's messages as tables.

use super::{
    format::{access, action, cause, milliseconds, name, rfc3339, rfc3339_seconds},
    justification,
    table::{self, Cells},
    text::one_line,
};
use crate::proto::v1::{
    Attempt, Change, ChangeProgress, ErrorReason, Image, SharePermission, attempt::Classification, change,
    share_permission::State,
};

/// One permission.
pub(super) fn permission(permission: &SharePermission, width: Option<u16>) -> String {
    let rows = vec![
        ("Account", one_line(&permission.account_id)),
        ("Region", one_line(&permission.region)),
        ("Image", one_line(&permission.image_id)),
        ("Recipient", one_line(&permission.shared_account_id)),
        ("State", permission_state(permission.state)),
        ("Desired", access(permission.desired)),
        ("Applied", access(permission.applied)),
        ("Generation", permission.generation.to_string()),
        ("Pending change", one_line(&permission.pending_change_id)),
        ("Created", rfc3339(permission.create_time.as_ref())),
        ("Updated", rfc3339(permission.update_time.as_ref())),
    ];
    table::pairs(rows, width)
}

/// One change, and its calls to AWS.
pub(super) fn change(change: &Change, width: Option<u16>) -> String {
    let mut text = table::pairs(change_rows(change), width);
    text.push_str(&attempts(&change.attempts, width));
    text
}

/// The change of a grant or revoke, with the state of its permission.
pub(super) fn changed(permission: Option<&SharePermission>, change: &Change, width: Option<u16>) -> String {
    let mut rows = vec![(
        "Permission",
        permission.map_or_else(String::new, |permission| permission_state(permission.state)),
    )];
    rows.extend(change_rows(change));
    let mut text = table::pairs(rows, width);
    text.push_str(&attempts(&change.attempts, width));
    text
}

fn change_rows(change: &Change) -> Cells {
    let mut rows = vec![
        ("Change", one_line(&change.change_id)),
        ("State", change_state(change.state)),
        ("Action", action(change.action)),
        ("Account", one_line(&change.account_id)),
        ("Region", one_line(&change.region)),
        ("Image", one_line(&change.image_id)),
        ("Recipient", one_line(&change.shared_account_id)),
        ("Principal", one_line(&change.principal)),
    ];
    rows.extend(justification::rows(change));
    rows.extend([
        ("Cause", cause(change.cause)),
        ("Request id", one_line(&change.request_id)),
        ("Generation", change.generation.to_string()),
        ("Previous", access(change.previous)),
        ("AWS request id", one_line(&change.aws_request_id)),
        (
            "Error",
            error(change.error_reason, &change.error_code, &change.error_message),
        ),
        ("Trace id", one_line(&change.trace_id)),
        ("Created", rfc3339(change.create_time.as_ref())),
        ("Ended", rfc3339(change.end_time.as_ref())),
        ("Now", change.progress.as_ref().map_or_else(String::new, progress_text)),
    ]);
    rows
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
        parts.push(format!("worked on until {} by {replica}", rfc3339_seconds(Some(until))));
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
pub(super) fn attempts(attempts: &[Attempt], width: Option<u16>) -> String {
    if attempts.is_empty() {
        return String::new();
    }
    format!("\n{}", table::list(attempts.iter().map(attempt).collect(), width))
}

fn attempt(attempt: &Attempt) -> Cells {
    vec![
        ("CALL TO AWS", one_line(&attempt.operation)),
        ("STARTED", rfc3339(attempt.start_time.as_ref())),
        ("TOOK", attempt.duration.as_ref().map_or_else(String::new, milliseconds)),
        (
            "RESULT",
            name(attempt.classification, "CLASSIFICATION_", Classification::as_str_name),
        ),
        ("AWS REQUEST ID", one_line(&attempt.aws_request_id)),
        ("ERROR CODE", one_line(&attempt.error_code)),
    ]
}

/// The table of `images`.
pub(super) fn images(images: &[Image], width: Option<u16>) -> String {
    table::list(images.iter().map(image).collect(), width)
}

fn image(image: &Image) -> Cells {
    let mut description = vec![one_line(&image.description)];
    if !image.error_code.is_empty() || !image.error_message.is_empty() {
        description.push(format!(
            "{}: {}",
            one_line(&image.error_code),
            one_line(&image.error_message)
        ));
    }
    description.retain(|line| !line.is_empty());
    vec![
        ("IMAGE", one_line(&image.image_id)),
        ("NAME", one_line(&image.name)),
        ("STATE", one_line(&image.state)),
        ("SYSTEM", one_line(&image.operating_system)),
        ("TENANCY", one_line(&image.required_tenancy)),
        ("OWNER", one_line(&image.owner_account_id)),
        ("CREATED", rfc3339_seconds(image.create_time.as_ref())),
        ("DESCRIPTION", description.join("\n")),
    ]
}

pub(super) fn permission_state(value: i32) -> String {
    name(value, "STATE_", State::as_str_name)
}

pub(super) fn change_state(value: i32) -> String {
    name(value, "STATE_", change::State::as_str_name)
}
