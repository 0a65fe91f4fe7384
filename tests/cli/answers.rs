//! Sample answers and errors of the service.

use std::{collections::HashMap, time::Duration};

use pbjson_types::Timestamp;
use sharewarden::proto::v1::{attempt::Classification, *};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

pub(crate) const CHANGE_ID: &str = "01987654-3210-7000-8000-000000000001";

pub(crate) fn permission(state: share_permission::State) -> SharePermission {
    SharePermission {
        account_id: "012345678901".into(),
        region: "eu-central-1".into(),
        image_id: "wsi-0123456789".into(),
        shared_account_id: "999999999999".into(),
        state: state.into(),
        desired: Access::Shared.into(),
        applied: Access::Shared.into(),
        generation: 7,
        update_time: Some(sample_time()),
        ..SharePermission::default()
    }
}

pub(crate) fn change(state: change::State) -> Change {
    Change {
        account_id: "012345678901".into(),
        change_id: CHANGE_ID.into(),
        request_id: "11111111-2222-4333-8444-555555555555".into(),
        region: "eu-central-1".into(),
        image_id: "wsi-0123456789".into(),
        shared_account_id: "999999999999".into(),
        action: Action::Grant.into(),
        cause: Cause::Caller.into(),
        principal: "alice".into(),
        reason: "a build".into(),
        generation: 7,
        state: state.into(),
        attempts: vec![Attempt {
            operation: "UpdateWorkspaceImagePermission".into(),
            start_time: Some(sample_time()),
            duration: Some(Duration::from_millis(312).into()),
            classification: Classification::Accepted.into(),
            aws_request_id: "aws-1".into(),
            error_code: String::new(),
        }],
        aws_request_id: "aws-1".into(),
        create_time: Some(sample_time()),
        ..Change::default()
    }
}

pub(crate) fn granted() -> GrantSharePermissionResponse {
    GrantSharePermissionResponse {
        permission: Some(permission(share_permission::State::Shared)),
        change: Some(change(change::State::Succeeded)),
        replayed: false,
        joined: false,
        findings: Vec::new(),
        expire_time: None,
        decision: None,
    }
}

/// 2026-01-02T03:04:05.25Z
fn sample_time() -> Timestamp {
    Timestamp {
        seconds: 1_767_323_045,
        nanos: 250_000_000,
    }
}

/// An error with the details that the service sends.
pub(crate) fn error(code: Code, reason: ErrorReason, message: &str, metadata: &[(&str, &str)]) -> Status {
    Status::with_error_details(code, message, info(reason, metadata))
}

pub(crate) fn info(reason: ErrorReason, metadata: &[(&str, &str)]) -> ErrorDetails {
    let reason = reason.as_str_name().trim_start_matches("ERROR_REASON_");
    let metadata: HashMap<String, String> = metadata.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    ErrorDetails::with_error_info(reason, "sharewarden.v1", metadata)
}
