use std::sync::Arc;

use crate::domain::{
    Action, Attempt, AwsOperation, Change, ChangeFailure, ChangeId, FailureReason, Intent, Permission, PermissionKey,
    RequestId, example,
};

use super::*;

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn key() -> PermissionKey {
    example::intent().key
}

fn a_change(state: ChangeState, failure: Option<ChangeFailure>) -> Change {
    let id: ChangeId = "0192f0c1-7e6b-7a4e-8f00-000000000001".parse().unwrap();
    let mut intent = Intent {
        change_id: id,
        request_id: RequestId(id.0),
        action: Action::Revoke,
        principal: "tester".parse().unwrap(),
        ..example::intent()
    };
    intent.justification.ticket = Some("T-1".parse().unwrap());
    Change {
        intent: Arc::new(intent),
        generation: 3,
        previous: Some(Access::Shared),
        previous_basis: None,
        state,
        attempts: vec![Attempt {
            operation: AwsOperation::UpdateWorkspaceImagePermission,
            started_at: time("2026-11-22T00:00:01Z"),
            duration: Duration::from_millis(1250),
            classification: Classification::Refused,
            aws_request_id: Some("aws-1".into()),
            error_code: None,
        }],
        failure,
        created_at: time("2026-11-22T00:00:00.5Z"),
        ended_at: (state != ChangeState::Pending).then(|| time("2026-11-22T00:00:03Z")),
    }
}

#[test]
fn a_failed_change_is_presented_with_all_fields() {
    let failure = ChangeFailure {
        reason: FailureReason::ImageNotFound,
        code: Some("ResourceNotFoundException".into()),
        message: Some("no such image".into()),
    };
    let change = change(&a_change(ChangeState::Failed, Some(failure)));
    let expected = serde_json::json!({
        "accountId": "000011112222", "changeId": "0192f0c1-7e6b-7a4e-8f00-000000000001",
        "requestId": "0192f0c1-7e6b-7a4e-8f00-000000000001", "region": "eu-central-1", "imageId": "wsi-123456789",
        "sharedAccountId": "210987654321", "action": "ACTION_REVOKE", "cause": "CAUSE_CALLER", "principal": "tester",
        "reason": "a test", "ticket": "T-1", "generation": "3", "previous": "ACCESS_SHARED", "state": "STATE_FAILED",
        "attempts": [{
            "operation": "UpdateWorkspaceImagePermission", "startTime": "2026-11-22T00:00:01+00:00", "duration": "1.250s",
            "classification": "CLASSIFICATION_REFUSED", "awsRequestId": "aws-1",
        }],
        "awsRequestId": "aws-1", "errorReason": "ERROR_REASON_IMAGE_NOT_FOUND",
        "errorCode": "ResourceNotFoundException", "errorMessage": "no such image",
        "authentication": {
            "credentials": ["CREDENTIAL_KIND_TRUSTED_HEADER"],
            "claims": [{ "name": "groups", "values": ["platform"] }, { "name": "team" }],
        },
        "decision": {
            "decideTime": "2026-11-22T07:04:59.123456+00:00",
            "policySet": "73300871f44c168e7c949de2c750e60c2c9bb8ff530017c5a267234e9cb4db8e",
            "policies": ["pipelines-share"],
            "image": {
                "createTime": "2026-11-01T00:00:00+00:00", "name": "Base 11", "operatingSystem": "WINDOWS",
                "requiredTenancy": "DEFAULT", "state": "AVAILABLE",
            },
            "tags": { "release": "approved" },
        },
        "createTime": "2026-11-22T00:00:00.500+00:00", "endTime": "2026-11-22T00:00:03+00:00",
    });
    assert_eq!(serde_json::to_value(&change).unwrap(), expected);
}

#[test]
fn a_change_has_an_error_reason_only_if_it_did_not_succeed() {
    let reason = |state| change(&a_change(state, None)).error_reason();
    assert_eq!(reason(ChangeState::Superseded), ErrorReason::ChangeSuperseded);
    assert_eq!(reason(ChangeState::Succeeded), ErrorReason::Unspecified);
    assert_eq!(reason(ChangeState::Pending), ErrorReason::Unspecified);
    assert_eq!(change(&a_change(ChangeState::Pending, None)).end_time, None);
}

#[test]
fn a_permission_is_presented_with_its_state() {
    let mut standing = Permission::new(key(), time("2026-11-22T00:00:00Z"));
    assert_eq!(permission(&standing).state(), share_permission::State::Unknown);
    standing.applied = Some(Access::Shared);
    let shared = permission(&standing);
    assert_eq!(
        (shared.state(), shared.applied()),
        (share_permission::State::Shared, v1::Access::Shared)
    );
    standing.current = Some(a_change(ChangeState::Pending, None).id());
    let pending = permission(&standing);
    assert_eq!(pending.state(), share_permission::State::Pending);
    assert_eq!(pending.pending_change_id, "0192f0c1-7e6b-7a4e-8f00-000000000001");
}

#[test]
fn a_revoke_warns_that_copies_stay() {
    let changed = CompletedChange {
        permission: Permission::new(key(), time("2026-11-22T00:00:00Z")),
        change: a_change(ChangeState::Succeeded, None),
        replayed: true,
        joined: false,
        findings: Vec::new(),
    };
    let answer = revoked(granted(changed));
    assert!(answer.replayed && answer.warning.contains("Copies that it has already made stay"));
}

#[test]
fn every_finding_has_its_own_code_and_a_severity() {
    for &code in FindingCode::ALL {
        let found = Finding {
            code,
            message: "a sentence".into(),
        };
        let shown = &findings(&[found])[0];
        assert_eq!(shown.code().as_str_name(), format!("CODE_{}", code.as_str()));
        assert_ne!(shown.severity(), finding::Severity::Unspecified, "{code:?}");
        assert_eq!(shown.message, "a sentence");
    }
}
