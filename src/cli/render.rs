//! The API's messages as tables.

use pbjson_types::{Duration, Timestamp};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::table::{self, Pieces};
use super::text::{lines, one_line};
use crate::proto::v1::attempt::Classification;
use crate::proto::v1::share_permission::State;
use crate::proto::v1::{Access, Action, Attempt, Cause, Change, ErrorReason, Image, SharePermission, change};

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
        ("Created", moment(permission.create_time.as_ref())),
        ("Updated", moment(permission.update_time.as_ref())),
    ];
    table::pairs(rows, width)
}

/// One change, and the calls to AWS that it took.
pub(super) fn change(change: &Change, width: Option<u16>) -> String {
    let mut text = table::pairs(change_rows(change), width);
    text.push_str(&attempts(&change.attempts, width));
    text
}

/// A change that was just asked for, with what became of the permission.
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

fn change_rows(change: &Change) -> Vec<(&'static str, String)> {
    vec![
        ("Change", one_line(&change.change_id)),
        ("State", change_state(change.state)),
        (
            "Action",
            name(
                Action::try_from(change.action).map(|a| a.as_str_name()),
                "ACTION_",
                change.action,
            ),
        ),
        ("Account", one_line(&change.account_id)),
        ("Region", one_line(&change.region)),
        ("Image", one_line(&change.image_id)),
        ("Recipient", one_line(&change.shared_account_id)),
        ("Principal", one_line(&change.principal)),
        ("Reason", lines(&change.reason)),
        ("Ticket", one_line(&change.ticket)),
        (
            "Cause",
            name(
                Cause::try_from(change.cause).map(|c| c.as_str_name()),
                "CAUSE_",
                change.cause,
            ),
        ),
        ("Request id", one_line(&change.request_id)),
        ("Generation", change.generation.to_string()),
        ("Previous", access(change.previous)),
        ("AWS request id", one_line(&change.aws_request_id)),
        ("Error", error(change)),
        ("Trace id", one_line(&change.trace_id)),
        ("Created", moment(change.create_time.as_ref())),
        ("Ended", moment(change.end_time.as_ref())),
    ]
}

fn error(change: &Change) -> String {
    if change.error_reason == ErrorReason::Unspecified as i32 {
        return String::new();
    }
    let reason = ErrorReason::try_from(change.error_reason).map(|reason| reason.as_str_name());
    let parts = [
        name(reason, "ERROR_REASON_", change.error_reason),
        one_line(&change.error_code),
        one_line(&change.error_message),
    ];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(": ")
}

fn attempts(attempts: &[Attempt], width: Option<u16>) -> String {
    if attempts.is_empty() {
        return String::new();
    }
    let head = [
        "CALL TO AWS",
        "STARTED",
        "TOOK",
        "RESULT",
        "AWS REQUEST ID",
        "ERROR CODE",
    ];
    let rows = attempts.iter().map(attempt).collect();
    format!("\n{}", table::rows(head, rows, width))
}

fn attempt(attempt: &Attempt) -> [String; 6] {
    let result = Classification::try_from(attempt.classification).map(|result| result.as_str_name());
    [
        one_line(&attempt.operation),
        moment(attempt.start_time.as_ref()),
        attempt.duration.as_ref().map_or_else(String::new, took),
        name(result, "CLASSIFICATION_", attempt.classification),
        one_line(&attempt.aws_request_id),
        one_line(&attempt.error_code),
    ]
}

/// The table of `list`, in pages.
pub(super) struct PermissionList(Pieces<7>);

impl Default for PermissionList {
    fn default() -> Self {
        Self(Pieces::new([
            "ACCOUNT",
            "REGION",
            "IMAGE",
            "RECIPIENT",
            "STATE",
            "UPDATED",
            "PENDING CHANGE",
        ]))
    }
}

impl PermissionList {
    pub(super) fn page(&mut self, permissions: &[SharePermission]) -> String {
        self.0.piece(permissions.iter().map(row).collect())
    }
}

fn row(permission: &SharePermission) -> [String; 7] {
    [
        one_line(&permission.account_id),
        one_line(&permission.region),
        one_line(&permission.image_id),
        one_line(&permission.shared_account_id),
        permission_state(permission.state),
        second(permission.update_time.as_ref()),
        one_line(&permission.pending_change_id),
    ]
}

/// The table of `images`.
pub(super) fn images(images: &[Image], width: Option<u16>) -> String {
    if images.is_empty() {
        return String::new();
    }
    let head = [
        "IMAGE",
        "NAME",
        "STATE",
        "SYSTEM",
        "TENANCY",
        "OWNER",
        "CREATED",
        "DESCRIPTION",
    ];
    table::rows(head, images.iter().map(image).collect(), width)
}

fn image(image: &Image) -> [String; 8] {
    let mut description = vec![one_line(&image.description)];
    if !image.error_code.is_empty() || !image.error_message.is_empty() {
        description.push(format!(
            "{}: {}",
            one_line(&image.error_code),
            one_line(&image.error_message)
        ));
    }
    description.retain(|line| !line.is_empty());
    [
        one_line(&image.image_id),
        one_line(&image.name),
        one_line(&image.state),
        one_line(&image.operating_system),
        one_line(&image.required_tenancy),
        one_line(&image.owner_account_id),
        second(image.create_time.as_ref()),
        description.join("\n"),
    ]
}

fn permission_state(value: i32) -> String {
    name(State::try_from(value).map(|state| state.as_str_name()), "STATE_", value)
}

fn change_state(value: i32) -> String {
    name(
        change::State::try_from(value).map(|state| state.as_str_name()),
        "STATE_",
        value,
    )
}

/// "Unspecified" is a value here: what AWS holds was never learnt.
fn access(value: i32) -> String {
    if value == Access::Unspecified as i32 {
        return "not known".to_owned();
    }
    name(
        Access::try_from(value).map(|access| access.as_str_name()),
        "ACCESS_",
        value,
    )
}

/// The name of an enum's value without its prefix; a newer service's value, which has no name here, as its number.
fn name<E>(name: Result<&'static str, E>, prefix: &str, value: i32) -> String {
    name.map_or_else(|_| value.to_string(), |name| name.trim_start_matches(prefix).to_owned())
}

/// A moment in RFC 3339, UTC.
fn moment(timestamp: Option<&Timestamp>) -> String {
    timestamp
        .and_then(utc)
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// The same to the second, for lists.
fn second(timestamp: Option<&Timestamp>) -> String {
    let time = timestamp.and_then(utc).and_then(|time| time.replace_nanosecond(0).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

fn utc(timestamp: &Timestamp) -> Option<OffsetDateTime> {
    let time = OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()?;
    time.replace_nanosecond(u32::try_from(timestamp.nanos).ok()?).ok()
}

fn took(duration: &Duration) -> String {
    let whole = std::time::Duration::try_from(*duration).unwrap_or_default();
    format!("{}ms", whole.as_millis())
}
