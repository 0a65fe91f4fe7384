//! Replicas of two builds on one database, as far as one build can show it. `scripts/chaos-upgrade` runs two real builds.

use sharewarden::proto::v1::GrantSharePermissionRequest;
use sharewarden_testkit::stack::*;
use tonic::Code;
use uuid::Uuid;

const FINALIZE_FOR_A_NEWER_BUILD: &str = "UPDATE build_admission SET oldest_build = oldest_build + 9000";
const ADMIT_AGAIN: &str = "UPDATE build_admission SET oldest_build = oldest_build - 9000";

/// P15. The readiness is read every two seconds; a commit must not rely on it.
#[tokio::test]
async fn a_build_that_is_not_admitted_any_more_commits_nothing_and_its_callers_try_again() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(nth_grant(1))).await.unwrap();
    let before = stack.lines(ACCOUNT).await;
    sqlx::query(FINALIZE_FOR_A_NEWER_BUILD)
        .execute(&stack.pool)
        .await
        .unwrap();

    let request = GrantSharePermissionRequest {
        request_id: Uuid::new_v4().to_string(),
        ..nth_grant(2)
    };
    let refused = client
        .grant_share_permission(as_tester(request.clone()))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(stack.calls_of(UPDATE), 1);

    sqlx::query(ADMIT_AGAIN).execute(&stack.pool).await.unwrap();
    assert_eq!(stack.lines(ACCOUNT).await, before);
    let granted = client.grant_share_permission(as_tester(request)).await.unwrap();
    assert!(!granted.into_inner().replayed);
    stack.end().await;
}
