//! A request for the same as a pending change joins that change, and both get its outcome.

use sharewarden::proto::v1::{GrantSharePermissionRequest, GrantSharePermissionResponse};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use sharewarden_testkit::stack::{
    ACCOUNT, OTHER_RECIPIENT, RECIPIENT, Stack, UPDATE, as_tester, grant, late, reason, revoke, spawn_grant, until,
};

/// The same grant, from another principal and for another reason.
fn as_other(request_id: Uuid) -> Request<GrantSharePermissionRequest> {
    let mut request = as_tester(GrantSharePermissionRequest {
        request_id: request_id.to_string(),
        reason: "the same, for another principal".into(),
        ..grant()
    });
    request
        .metadata_mut()
        .insert("x-sharewarden-principal", "other".parse().unwrap());
    request
}

fn answer(result: Result<tonic::Response<GrantSharePermissionResponse>, Status>) -> GrantSharePermissionResponse {
    result.unwrap().into_inner()
}

#[tokio::test]
async fn a_request_equal_to_a_pending_change_joins_it_and_gets_its_outcome() {
    let stack = Stack::start().await;
    stack.fault(UPDATE, 1, late(1500));
    let first = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;
    let mut client = stack.client().await;
    let id = Uuid::from_u128(77);
    let joined = answer(client.grant_share_permission(as_other(id)).await);
    let first = first.await.unwrap().unwrap();

    assert_eq!((first.joined, first.replayed), (false, false));
    assert_eq!((joined.joined, joined.replayed), (true, false));
    assert_eq!(
        joined.change, first.change,
        "there is one change, that of the first caller"
    );
    assert_eq!(stack.calls_of(UPDATE), 1);
    let ledger = stack.ledger(ACCOUNT).await;
    let kinds: Vec<_> = ledger.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["change.requested", "change.joined", "change.succeeded"]);
    let body = &ledger[1]["body"];
    assert_eq!(body["principal"], "other");
    assert_eq!(body["reason"], "the same, for another principal");
    assert_eq!(body["request_id"], id.to_string());
    assert_eq!(body["change_id"], first.change.unwrap().change_id);

    // The joined request can be replayed, and no other request can use its id.
    let replayed = answer(client.grant_share_permission(as_other(id)).await);
    assert_eq!((replayed.joined, replayed.replayed), (true, true));
    assert_eq!(replayed.change, joined.change);
    let mut reused = grant();
    reused.request_id = id.to_string();
    let refused = client.grant_share_permission(as_tester(reused)).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    assert_eq!(stack.ledger(ACCOUNT).await.len(), 3);
    stack.end().await;
}

#[tokio::test]
async fn a_joined_request_is_superseded_with_its_change() {
    let stack = Stack::start().await;
    stack.hold();
    let mut tasks = vec![spawn_grant(stack.client().await, grant())];
    stack.wait_for_calls(UPDATE, 1).await;
    tasks.push(spawn_grant(stack.client().await, grant()));
    until(&stack.pool, "SELECT count(*) FROM request", 2).await;
    let mut client = stack.client().await;
    let revoked = tokio::spawn(async move { client.revoke_share_permission(as_tester(revoke())).await });
    // Released earlier, the call of the grant could succeed.
    until(&stack.pool, "SELECT count(*) FROM change WHERE state = 'SUPERSEDED'", 1).await;
    stack.release();
    revoked.await.unwrap().unwrap();
    for task in tasks {
        let superseded = task.await.unwrap().unwrap_err();
        assert_eq!(
            (superseded.code(), reason(&superseded).as_str()),
            (Code::Aborted, "CHANGE_SUPERSEDED")
        );
    }
    stack.end().await;
}

#[tokio::test]
async fn concurrent_requests_for_the_same_shares_are_all_answered() {
    const CALLERS: usize = 32;
    const ROUNDS: usize = 8;
    let stack = Stack::start().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let mut client = stack.client().await;
        tasks.spawn(async move {
            for round in 0..ROUNDS {
                let mut request = grant();
                request.shared_account_id = [RECIPIENT, OTHER_RECIPIENT][round % 2].into();
                client.grant_share_permission(as_tester(request)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let counts: Vec<(String, i64)> =
        sqlx::query_as("SELECT kind, count(*) FROM audit_entry GROUP BY kind ORDER BY kind")
            .fetch_all(&stack.pool)
            .await
            .unwrap();
    let count = |kind: &str| counts.iter().find(|(of, _)| of == kind).map_or(0, |(_, count)| *count);
    let asked = count("change.requested") + count("change.joined");
    assert_eq!(asked, (CALLERS * ROUNDS) as i64, "{counts:?}");
    assert_eq!(count("change.requested"), count("change.succeeded"), "{counts:?}");
    assert!(count("change.joined") > 0, "{counts:?}");
    assert_eq!(stack.calls_of(UPDATE) as i64, count("change.succeeded"));
    stack.end().await;
}
