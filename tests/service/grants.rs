//! Grants and revokes that succeed, and those that are refused before AWS is called.

use sharewarden::proto::v1::{
    Access, Action, CredentialKind, SharePermission, attempt::Classification, change, share_permission,
};
use sharewarden_testkit::stack::*;
use tonic::Code;
use tonic_types::StatusExt;
use uuid::Uuid;

#[tokio::test]
async fn a_grant_is_recorded_before_and_after_the_call_and_a_revoke_undoes_it() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;

    let mut request = grant();
    request.ticket = "OPS-1".into();
    let granted = client
        .grant_share_permission(as_tester(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(stack.shared_with(), [RECIPIENT]);
    let change = granted.change.unwrap();
    assert_eq!(
        (change.state(), change.action(), change.generation),
        (change::State::Succeeded, Action::Grant, 1)
    );
    assert_eq!(
        (change.principal.as_str(), change.ticket.as_str()),
        ("tester@example.com", "OPS-1")
    );
    assert_eq!(change.request_id, change.change_id);
    let authentication = change.authentication.unwrap();
    assert_eq!(authentication.credentials, [CredentialKind::TrustedHeader as i32]);
    let permission = granted.permission.unwrap();
    assert_eq!(permission.state(), share_permission::State::Shared);
    assert_eq!(
        (permission.desired(), permission.applied()),
        (Access::Shared, Access::Shared)
    );
    assert_eq!(permission.pending_change_id, "");

    let call = stack
        .simulator
        .calls()
        .into_iter()
        .find(|call| call.operation == UPDATE)
        .unwrap();
    assert_eq!(change.aws_request_id, call.request_id);
    let ledger = stack.ledger(ACCOUNT).await;
    assert_eq!(ledger.len(), 2);
    assert_eq!(
        (&ledger[0]["kind"], &ledger[1]["kind"]),
        (&"change.requested".into(), &"change.succeeded".into())
    );
    for entry in &ledger {
        assert_eq!(
            entry["body"]["authentication"]["credentials"],
            serde_json::json!(["TRUSTED_HEADER"])
        );
    }
    assert_eq!(
        ledger[1]["body"]["attempts"][0]["aws_request_id"],
        call.request_id.as_str()
    );
    let recorded = time::OffsetDateTime::parse(
        ledger[0]["recorded_at"].as_str().unwrap(),
        &time::format_description::well_known::Rfc3339,
    );
    assert!(
        recorded.unwrap() <= call.started_at,
        "P1: the change was recorded before AWS was called"
    );

    let revoked = client
        .revoke_share_permission(as_tester(revoke()))
        .await
        .unwrap()
        .into_inner();
    assert!(stack.shared_with().is_empty());
    assert!(revoked.warning.contains("cop"), "{}", revoked.warning);
    let permission = revoked.permission.unwrap();
    assert_eq!(
        (permission.state(), permission.generation),
        (share_permission::State::NotShared, 2)
    );
    assert_eq!(revoked.change.unwrap().previous(), Access::Shared);
    assert_eq!(
        stack.kinds(ACCOUNT).await,
        [
            "change.requested",
            "change.succeeded",
            "change.requested",
            "change.succeeded"
        ]
    );
    stack.end().await;
}

#[tokio::test]
async fn a_replay_gets_the_first_answer_and_a_reused_request_id_is_refused() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let mut request = grant();
    request.request_id = Uuid::new_v4().to_string();
    let first = client
        .grant_share_permission(as_tester(request.clone()))
        .await
        .unwrap()
        .into_inner();
    assert!(!first.replayed);

    let second = client
        .grant_share_permission(as_tester(request.clone()))
        .await
        .unwrap()
        .into_inner();
    assert!(second.replayed);
    assert_eq!(second.change, first.change);
    assert_eq!(stack.calls_of(UPDATE), 1);

    let mut other = request.clone();
    other.reason = "another reason".into();
    let refused = client.grant_share_permission(as_tester(other)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "REQUEST_ID_REUSED")
    );
    assert_eq!(detail(&refused, "change_id"), first.change.unwrap().change_id);

    let mut as_revoke = revoke();
    as_revoke.request_id = request.request_id;
    let refused = client.revoke_share_permission(as_tester(as_revoke)).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    assert_eq!(stack.kinds(ACCOUNT).await, ["change.requested", "change.succeeded"]);
    stack.end().await;
}

#[tokio::test]
async fn one_request_id_acts_once_under_concurrent_calls() {
    let stack = Stack::start().await;
    let mut request = grant();
    request.request_id = Uuid::new_v4().to_string();
    let mut calls = Vec::new();
    for _ in 0..16 {
        calls.push(spawn_grant(stack.client().await, request.clone()));
    }
    let mut changes = Vec::new();
    for call in calls {
        changes.push(call.await.unwrap().unwrap().change.unwrap().change_id);
    }
    changes.dedup();
    assert_eq!(changes.len(), 1);
    assert_eq!(stack.calls_of(UPDATE), 1);
    stack.end().await;
}

#[tokio::test]
async fn a_grant_that_the_policy_refuses_is_recorded_and_never_reaches_aws() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let mut request = grant();
    request.account_id = OTHER_ACCOUNT.into();
    request.image_id = "wsi-finance01".into();
    let refused = client.grant_share_permission(as_tester(request)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::PermissionDenied, "POLICY_DENIED")
    );
    assert_eq!(detail(&refused, "log_index"), "0");
    let ledger = stack.ledger(OTHER_ACCOUNT).await;
    assert_eq!(
        (&ledger[0]["kind"], &ledger[0]["body"]["principal"]),
        (&"change.denied".into(), &"tester@example.com".into())
    );
    assert_eq!(stack.calls_of(UPDATE), 0);
    stack.end().await;
}

#[tokio::test]
async fn validate_only_checks_everything_and_changes_nothing() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let mut request = grant();
    request.validate_only = true;
    let answer = client
        .grant_share_permission(as_tester(request.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.change, None);
    request.account_id = OTHER_ACCOUNT.into();
    let refused = client.grant_share_permission(as_tester(request)).await.unwrap_err();
    assert_eq!(reason(&refused), "POLICY_DENIED");
    assert_eq!(stack.calls_of(UPDATE), 0);
    assert!(stack.kinds(ACCOUNT).await.is_empty() && stack.kinds(OTHER_ACCOUNT).await.is_empty());
    stack.end().await;
}

#[tokio::test]
async fn every_invalid_field_is_named_and_nothing_is_recorded() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let mut request = grant();
    request.account_id = "123".into();
    request.region = "EU Central".into();
    request.image_id = "ami-12345678".into();
    request.shared_account_id = "12345678901x".into();
    request.request_id = "not-a-uuid".into();
    request.reason = " ".into();
    request.ticket = "t".repeat(129);
    let refused = client.grant_share_permission(as_tester(request)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "INVALID_FIELDS")
    );
    let fields: Vec<_> = refused
        .get_details_bad_request()
        .unwrap()
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    let all = [
        "account_id",
        "region",
        "image_id",
        "shared_account_id",
        "request_id",
        "reason",
        "ticket",
    ];
    assert_eq!(fields, all);

    let mut with_itself = grant();
    with_itself.shared_account_id = ACCOUNT.into();
    let refused = client.grant_share_permission(as_tester(with_itself)).await.unwrap_err();
    assert_eq!(
        refused.get_details_bad_request().unwrap().field_violations[0].field,
        "shared_account_id"
    );
    assert!(stack.kinds(ACCOUNT).await.is_empty());
    stack.end().await;
}

#[tokio::test]
async fn a_call_without_credentials_is_unauthenticated() {
    let stack = Stack::start().await;
    let refused = stack.client().await.grant_share_permission(grant()).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unauthenticated, "UNAUTHENTICATED")
    );
    stack.end().await;
}

#[tokio::test]
async fn accounts_and_regions_that_are_not_configured_are_refused() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let (mut account, mut region) = (grant(), grant());
    account.account_id = "999999999999".into();
    region.region = "eu-west-1".into();
    for request in [account, region] {
        let refused = client.grant_share_permission(as_tester(request)).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::FailedPrecondition, "ACCOUNT_NOT_CONFIGURED")
        );
    }
    stack.end().await;
}

#[tokio::test]
async fn the_callers_trace_id_is_in_the_ledger() {
    let stack = Stack::start().await;
    let mut request = as_tester(grant());
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.metadata_mut().insert("traceparent", trace.parse().unwrap());
    let granted = stack
        .client()
        .await
        .grant_share_permission(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(granted.change.unwrap().trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    let ledger = stack.ledger(ACCOUNT).await;
    assert_eq!(ledger[0]["body"]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    stack.end().await;
}

#[tokio::test]
async fn the_newest_change_wins_and_the_waiting_one_is_superseded() {
    let stack = Stack::start().await;
    stack.fault(UPDATE, 1, late(3000));
    let first = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;

    // A second and a third change are accepted while the first is being called. Only the newest is called.
    let mut revoking = stack.client().await;
    let second = tokio::spawn(async move { revoking.revoke_share_permission(as_tester(revoke())).await });
    let mut reader = stack.client().await;
    while pending(&mut reader).await.generation < 2 {
        tokio::task::yield_now().await;
    }
    let third = spawn_grant(stack.client().await, grant());

    assert_eq!(first.await.unwrap().unwrap().change.unwrap().generation, 1);
    let superseded = second.await.unwrap().unwrap_err();
    assert_eq!(
        (superseded.code(), reason(&superseded).as_str()),
        (Code::Aborted, "CHANGE_SUPERSEDED")
    );
    assert_eq!(third.await.unwrap().unwrap().change.unwrap().generation, 3);
    assert_eq!(stack.shared_with(), [RECIPIENT]);
    assert_eq!(stack.calls_of(UPDATE), 2);
    let mut kinds = stack.kinds(ACCOUNT).await;
    kinds.sort();
    assert_eq!(
        kinds,
        [
            "change.requested",
            "change.requested",
            "change.requested",
            "change.succeeded",
            "change.succeeded",
            "change.superseded"
        ]
    );
    stack.end().await;
}

async fn pending(client: &mut Client) -> SharePermission {
    let request = sharewarden::proto::v1::GetSharePermissionRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: RECIPIENT.into(),
    };
    client
        .get_share_permission(as_tester(request))
        .await
        .unwrap()
        .into_inner()
        .permission
        .unwrap()
}

#[tokio::test]
async fn a_change_lists_its_attempts() {
    let stack = Stack::start().await;
    let throttle = sharewarden_simulator::Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    };
    stack.fault(UPDATE, 2, throttle);
    let granted = stack
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap()
        .into_inner();
    let change = granted.change.unwrap();
    let classifications: Vec<_> = change.attempts.iter().map(|attempt| attempt.classification()).collect();
    assert_eq!(
        classifications,
        [
            Classification::Throttled,
            Classification::Throttled,
            Classification::Accepted
        ]
    );
    assert!(
        change
            .attempts
            .iter()
            .all(|attempt| !attempt.aws_request_id.is_empty() && attempt.operation == UPDATE)
    );
    assert_eq!(change.attempts[0].error_code, "ThrottlingException");
    stack.end().await;
}
