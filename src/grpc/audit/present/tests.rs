use std::{sync::Arc, time::Duration};

use super::*;
use crate::domain::{
    Access, Attempt, AwsOperation, ChangeFailure, Classification, Entry, EntryBody, FailureReason, PermissionKey,
    Timestamp, entry::RecordedEntry, example,
};
use crate::store::audit::Share;

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn key() -> PermissionKey {
    example::intent().key
}

fn a_failure() -> ChangeBody {
    let mut intent = example::intent();
    intent.justification.ticket = Some("T-1".parse().unwrap());
    ChangeBody {
        intent: Arc::new(intent),
        generation: Some(3),
        previous: Some(Access::NotShared),
        previous_basis: None,
        attempts: vec![Attempt {
            operation: AwsOperation::UpdateWorkspaceImagePermission,
            started_at: time("2026-11-22T07:04:59Z"),
            duration: Duration::from_millis(12),
            classification: Classification::Refused,
            aws_request_id: Some("aws-1".into()),
            error_code: Some("ResourceNotFoundException".into()),
        }],
        failure: Some(ChangeFailure {
            reason: FailureReason::ImageNotFound,
            code: Some("ResourceNotFoundException".into()),
            message: Some("gone".into()),
        }),
        denied_by: None,
    }
}

fn presented(body: EntryBody) -> v1::AuditEntry {
    super::entry(AuditEntry {
        recorded: RecordedEntry {
            entry: Entry {
                account: "000011112222".parse().unwrap(),
                log_index: 7,
                recorded_at: time("2026-11-22T07:05:00.5Z"),
                body,
            },
            server_version: "0.1.0".into(),
        },
        text: "{}".into(),
        leaf_hash: [7; 32],
    })
}

#[test]
fn an_entry_is_presented_with_all_fields() {
    let expected = serde_json::json!({
        "accountId": "000011112222", "logIndex": "7", "recordTime": "2026-11-22T07:05:00.500+00:00",
        "kind": "change.failed", "schema": 1, "serverVersion": "0.1.0", "canonical": "{}",
        "leafHash": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
        "change": {
            "action": "ACTION_GRANT", "cause": "CAUSE_CALLER",
            "changeId": "00000000-0000-0000-0000-000000000001", "requestId": "00000000-0000-0000-0000-000000000002",
            "principal": "build", "reason": "a test", "ticket": "T-1", "region": "eu-central-1",
            "imageId": "wsi-123456789", "sharedAccountId": "210987654321", "generation": "3",
            "previous": "ACCESS_NOT_SHARED",
            "attempts": [{
                "operation": "UpdateWorkspaceImagePermission", "startTime": "2026-11-22T07:04:59+00:00",
                "duration": "0.012s", "classification": "CLASSIFICATION_REFUSED", "awsRequestId": "aws-1",
                "errorCode": "ResourceNotFoundException",
            }],
            "awsRequestId": "aws-1",
            "errorReason": "ERROR_REASON_IMAGE_NOT_FOUND", "errorCode": "ResourceNotFoundException",
            "errorMessage": "gone",
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
        },
    });
    assert_eq!(
        serde_json::to_value(presented(EntryBody::ChangeFailed(a_failure()))).unwrap(),
        expected
    );
}

#[test]
fn a_refusal_is_presented_without_a_change_id() {
    let denied = presented(EntryBody::ChangeDenied(ChangeBody {
        generation: None,
        previous: None,
        previous_basis: None,
        attempts: vec![],
        failure: None,
        denied_by: Some("not on the list".into()),
        ..a_failure()
    }));
    let Some(v1::audit_entry::Body::Change(denied)) = denied.body else {
        panic!("{denied:?}");
    };
    assert_eq!((denied.change_id.as_str(), denied.generation), ("", 0));
    assert_eq!(
        (denied.denied_by.as_str(), denied.error_reason()),
        ("not on the list", v1::ErrorReason::Unspecified)
    );
}

#[test]
fn counted_denials_are_presented_with_all_fields() {
    let denials = |principal: Option<&str>| DenialsBody {
        count: 7,
        denied_by: "not on the list".into(),
        first_at: time("2026-11-22T07:04:00Z"),
        last_at: time("2026-11-22T07:04:59.25Z"),
        principal: principal.map(|name| name.parse().unwrap()),
    };
    let presented = presented(EntryBody::ChangeDenials(denials(Some("greedy"))));
    let expected = serde_json::json!({
        "count": "7", "firstTime": "2026-11-22T07:04:00+00:00", "lastTime": "2026-11-22T07:04:59.250+00:00",
        "principal": "greedy", "deniedBy": "not on the list",
    });
    assert_eq!(presented.kind, "change.denials");
    let Some(v1::audit_entry::Body::Denials(body)) = presented.body else {
        panic!("{presented:?}");
    };
    assert_eq!(serde_json::to_value(body).unwrap(), expected);
    assert_eq!(super::denials(&denials(None)).principal, "");
}

#[test]
fn an_entry_of_an_unknown_kind_is_presented_without_a_body() {
    let account = "000011112222".parse().unwrap();
    let unknown = presented(EntryBody::read("test.invented", 3, account, r#"{"region":"eu-central-1"}"#).unwrap());
    assert_eq!((unknown.kind.as_str(), unknown.schema), ("test.invented", 3));
    assert_eq!((unknown.body, unknown.canonical.as_str()), (None, "{}"));
}

#[test]
fn a_share_in_effect_has_no_end() {
    let mut lasting = Share {
        key: key(),
        start_time: time("2026-11-22T07:05:00Z"),
        start_index: 1,
        end: None,
    };
    let presented = |past: &Share| {
        share(PastShare {
            share: past.clone(),
            basis: PastBasis::Archived,
        })
    };
    let open = presented(&lasting);
    assert!(open.basis_archived && open.bases.is_empty());
    assert_eq!((open.end_time, open.end_index), (None, None));
    lasting.end = Some((time("2026-11-22T07:06:00Z"), 3));
    let ended = presented(&lasting);
    assert_eq!(
        (ended.end_time.unwrap().seconds, ended.end_index),
        (1_795_331_160, Some(3))
    );
}
