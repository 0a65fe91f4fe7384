//! Callers that do not wait for the outcome: which answer they get, and that their change continues.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use sharewarden::grpc::CHANGE_ID;
use sharewarden_client::proto::v1::{GrantSharePermissionRequest, change};
use sharewarden_testkit::stack::*;
use sqlx::{Connection, PgConnection};
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;
use uuid::Uuid;

/// Long enough for a change to be accepted. It expires while a fault blocks the change.
const CALL_DEADLINE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn an_expired_deadline_does_not_cancel_the_change() {
    let stack = Stack::start().await;
    stack.hold();
    let mut request = grant();
    request.request_id = Uuid::new_v4().to_string();
    let mut hurried = as_tester(request.clone());
    hurried.set_timeout(CALL_DEADLINE);
    let mut client = stack.client().await;
    let pending = client.grant_share_permission(hurried).await.unwrap_err();
    assert_eq!(
        (pending.code(), reason(&pending).as_str()),
        (Code::DeadlineExceeded, "CHANGE_PENDING")
    );
    let change_id = detail(&pending, "change_id");
    assert_eq!(trailer(&pending), change_id);

    // The replay waits for the same change, which was never interrupted.
    stack.release();
    let replayed = client
        .grant_share_permission(as_tester(request))
        .await
        .unwrap()
        .into_inner();
    assert!(replayed.replayed);
    assert_eq!(replayed.change.unwrap().change_id, change_id);
    assert_eq!(stack.kinds(ACCOUNT).await, ["change.requested", "change.succeeded"]);
    stack.end().await;
}

#[tokio::test]
async fn a_deadline_during_the_commit_returns_the_request_id_to_replay() {
    let stack = Stack::start_with("database.statement_timeout = \"60s\"\ncommitter.commit_timeout = \"60s\"\n").await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    let head = LockedHead::of(ACCOUNT, &stack).await;
    let mut request = revoke();
    // The second try is a replay that cannot be confirmed either. Its answer has no change id: that id would never exist.
    request.request_id = Uuid::new_v4().to_string();
    for _ in 0..2 {
        let mut hurried = as_tester(request.clone());
        hurried.set_timeout(CALL_DEADLINE);
        let unconfirmed = client.revoke_share_permission(hurried).await.unwrap_err();
        assert_eq!(
            (unconfirmed.code(), reason(&unconfirmed).as_str()),
            (Code::DeadlineExceeded, "CHANGE_UNCONFIRMED")
        );
        assert_eq!(detail(&unconfirmed, "request_id"), request.request_id);
        let info = unconfirmed.get_details_error_info().unwrap();
        assert!(!info.metadata.contains_key("change_id") && unconfirmed.metadata().get(CHANGE_ID).is_none());
    }
    assert_eq!(
        stack.kinds(ACCOUNT).await,
        ["change.requested", "change.succeeded"],
        "the commit still waits for the lock"
    );

    head.release().await;
    let replay = client.revoke_share_permission(as_tester(request.clone())).await;
    let replayed = replay.unwrap().into_inner();
    assert!(replayed.replayed);
    let change = replayed.change.unwrap();
    assert_eq!(
        (change.state(), change.request_id),
        (change::State::Succeeded, request.request_id)
    );
    assert_eq!(stack.kinds(ACCOUNT).await.len(), 4, "the request acted once");
    assert!(stack.shared_with().is_empty());
    stack.end().await;
}

#[tokio::test]
async fn a_caller_without_a_request_id_gets_one_to_replay() {
    let stack = Stack::start_with("database.statement_timeout = \"60s\"\ncommitter.commit_timeout = \"60s\"\n").await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    let head = LockedHead::of(ACCOUNT, &stack).await;
    let mut hurried = as_tester(revoke());
    hurried.set_timeout(CALL_DEADLINE);
    let unconfirmed = client.revoke_share_permission(hurried).await.unwrap_err();
    assert_eq!(reason(&unconfirmed), "CHANGE_UNCONFIRMED");
    head.release().await;
    let mut request = revoke();
    request.request_id = detail(&unconfirmed, "request_id");
    let replayed = client
        .revoke_share_permission(as_tester(request))
        .await
        .unwrap()
        .into_inner();
    assert!(replayed.replayed);
    assert_eq!(stack.kinds(ACCOUNT).await.len(), 4, "the request acted once");
    stack.end().await;
}

#[tokio::test]
async fn a_full_queue_of_a_lane_refuses_further_changes_as_overloaded() {
    const CALLS: u64 = 8;
    let stack = Stack::start_with(
        "committer.queue = 1\ncommitter.max_batch = 1\ndatabase.statement_timeout = \"60s\"\ncommitter.commit_timeout = \"60s\"\n",
    )
    .await;
    let client = stack.client().await;
    client.clone().grant_share_permission(as_tester(grant())).await.unwrap();
    let head = LockedHead::of(ACCOUNT, &stack).await;
    let calls = (1..=CALLS).map(|recipient| {
        let mut client = client.clone();
        async move {
            let request = GrantSharePermissionRequest {
                shared_account_id: format!("{recipient:0>12}"),
                ..grant()
            };
            client.grant_share_permission(as_tester(request)).await
        }
    });
    let mut calls: FuturesUnordered<_> = calls.collect();
    // One command is being committed, one is queued, and the lane may hold one between the two.
    for _ in 0..CALLS - 3 {
        let refused = calls.next().await.unwrap().unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::ResourceExhausted, "OVERLOADED")
        );
    }
    head.release().await;
    let accepted: Vec<_> = calls.collect().await;
    assert!(accepted.iter().any(Result::is_ok), "{accepted:?}");
    stack.end().await;
}

/// The lock of an account's ledger head. All commits of the account wait for it.
pub(crate) struct LockedHead(PgConnection);

impl LockedHead {
    pub(crate) async fn of(account: &str, stack: &Stack) -> Self {
        let mut connection = PgConnection::connect(stack.database.url()).await.unwrap();
        sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
        let held = sqlx::query("SELECT size FROM ledger WHERE account_id = $1 FOR UPDATE")
            .bind(account)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert_eq!(held.len(), 1, "the ledger has a head to lock");
        Self(connection)
    }

    pub(crate) async fn release(mut self) {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap();
        self.0.close().await.unwrap();
    }
}

fn trailer(status: &Status) -> &str {
    status
        .metadata()
        .get(CHANGE_ID)
        .expect("the change id is in the trailers too")
        .to_str()
        .unwrap()
}

#[tokio::test]
async fn a_caller_that_disconnects_does_not_cancel_the_change() {
    let stack = Stack::start().await;
    stack.hold();
    let call = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled(), "the call was not answered");
    stack.release();
    let id = stack.only_change().await.to_string();
    assert_eq!(stack.ended(&id).await.state(), change::State::Succeeded);
    assert_eq!(stack.shared_with(), [RECIPIENT]);
    stack.end().await;
}

#[tokio::test]
async fn health_watches_do_not_delay_the_shutdown() {
    let mut stack = Stack::start_with("server.shutdown_grace = \"30s\"\n").await;
    let endpoint = tonic::transport::Endpoint::new(format!("http://{}", stack.address)).unwrap();
    let mut watches = Vec::new();
    for service in ["", "liveness", "sharewarden.v1.SharePermissionService"] {
        let mut health = HealthClient::new(endpoint.connect().await.unwrap());
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let mut updates = health.watch(request).await.unwrap().into_inner();
        updates.message().await.unwrap().expect("the watch is open");
        watches.push((health, updates));
    }
    // A connection without a call.
    let idle = stack.client().await;
    tokio::time::timeout(Duration::from_secs(10), stack.stop_server())
        .await
        .expect("the shutdown does not wait for the grace period");
    drop((watches, idle));
    stack.end().await;
}
