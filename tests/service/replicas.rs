//! Several servers on one database.

use std::{collections::BTreeMap, time::Duration};

use sharewarden::proto::v1::{GrantSharePermissionRequest, RevokeSharePermissionRequest};
use sharewarden_simulator::{ApiCall, Effect, Fault, FaultTiming};
use sharewarden_testkit::stack::*;
use sqlx::{Connection, PgConnection};
use tonic::Status;
use uuid::Uuid;

#[tokio::test]
async fn a_change_finished_by_another_replica_is_answered_here() {
    let stack = Stack::start().await;
    stack.hold();
    let mut request = grant();
    request.request_id = Uuid::new_v4().to_string();
    let first = spawn_grant(stack.client().await, request.clone());
    stack.wait_for_calls(UPDATE, 1).await;

    let second = stack.second_server("").await;
    let replay = spawn_grant(second.client().await, request);
    // The second server waits for the outcome, and the change is still pending.
    stack.wait_for_calls(UPDATE, stack.calls_of(UPDATE) + 1).await;
    stack.release();
    let replayed = replay.await.unwrap().unwrap();
    assert!(replayed.replayed);
    assert_eq!(replayed.change, first.await.unwrap().unwrap().change);
    assert_eq!(stack.kinds(ACCOUNT).await, ["change.requested", "change.succeeded"]);
    second.stop().await;
    stack.end().await;
}

#[tokio::test]
async fn retry_after_is_respected_by_all_replicas() {
    let stack = Stack::start().await;
    let (second, third) = tokio::join!(stack.second_server(""), stack.second_server(""));
    let throttle = Effect::Throttle {
        http_status: 400,
        retry_after_seconds: Some(2),
    };
    stack.fault(UPDATE, 1, throttle);
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    let calls = updates(&stack);
    assert_eq!(calls.len(), 2);
    let waited = calls[1].started_at - calls[0].ended_at.unwrap();
    assert!(waited >= Duration::from_secs(2), "{waited}");
    second.stop().await;
    third.stop().await;
    stack.end().await;
}

/// The batch was read and decided, and waits for the head's lock to write.
#[tokio::test]
async fn a_batch_is_decided_again_after_a_commit_of_another_replica() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    let mut replica = PgConnection::connect(stack.database.url()).await.unwrap();
    let mut run = async |statement: &'static str| sqlx::raw_sql(statement).execute(&mut replica).await.unwrap();
    run("BEGIN; SELECT FROM ledger FOR UPDATE").await;
    let revoking = tokio::spawn(async move { client.revoke_share_permission(as_tester(revoke())).await });
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until(&stack.pool, waiting, 1).await;
    run("UPDATE share_permission SET generation = generation + 5; UPDATE ledger SET version = version + 1; COMMIT")
        .await;

    let revoked = revoking.await.unwrap().unwrap().into_inner();
    assert_eq!(revoked.change.unwrap().generation, 7);
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

/// Otherwise a replica that read earlier would not notice the commit.
#[tokio::test]
async fn a_commit_without_an_entry_also_raises_the_version() {
    let stack = Stack::start().await;
    let throttle = Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    };
    stack.fault(UPDATE, 1, throttle);
    stack
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap();
    let head = sqlx::query_as::<_, (i64, i64)>("SELECT size, version FROM ledger");
    let (size, version) = head.fetch_one(&stack.pool).await.unwrap();
    // Four commits: opened, retry scheduled, claimed, settled.
    assert_eq!((size, version), (2, 4));
    stack.end().await;
}

const CLIENTS: usize = 6;
const REQUESTS: usize = 12;

/// P6 across replicas.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_make_one_call_for_a_permission_at_a_time_and_end_as_recorded() {
    let stack = Stack::start().await;
    let second = stack.second_server("").await;
    for (seed, (effect, share)) in faults().into_iter().enumerate() {
        let fault = Fault::new(effect).share(share, seed as u64);
        stack.simulator.inject(fault.operation(UPDATE)).unwrap();
    }
    let mut clients = Vec::new();
    for seed in 0..CLIENTS {
        let both = [stack.client().await, second.client().await];
        clients.push(tokio::spawn(send_random_requests(both, seed as u64)));
    }
    for client in clients {
        client.await.unwrap();
    }
    wait_until_nothing_is_pending(&stack).await;
    second.stop().await;

    let calls = updates(&stack);
    assert!(
        calls.iter().all(|call| call.client_left.is_none()),
        "no call to AWS timed out"
    );
    assert_no_overlap(&calls);
    assert_changes_acted_once(&stack, &calls).await;
    assert_every_change_ended_once(&stack).await;
    assert_aws_holds_what_succeeded_last(&stack).await;
    stack.end().await;
}

fn faults() -> [(Effect, f64); 4] {
    let latency = |moment| Effect::Latency {
        milliseconds: 30,
        moment,
    };
    [
        (latency(FaultTiming::BeforeApplying), 0.2),
        (latency(FaultTiming::AfterApplying), 0.2),
        (
            Effect::Reset {
                moment: FaultTiming::AfterApplying,
            },
            0.1,
        ),
        (
            Effect::Reset {
                moment: FaultTiming::BeforeApplying,
            },
            0.1,
        ),
    ]
}

/// Sends random grants and revokes. Each request goes to both servers at the same time.
async fn send_random_requests(mut servers: [Client; 2], seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..REQUESTS {
        let (granted, request) = (random.bool(), any_request(&mut random));
        let [first, other] = &mut servers;
        let (one, two) = tokio::join!(send(first, granted, request.clone()), send(other, granted, request),);
        assert_eq!(one, two, "one request id has one change");
        if random.bool() {
            servers.swap(0, 1);
        }
    }
}

fn any_request(random: &mut fastrand::Rng) -> GrantSharePermissionRequest {
    let mut request = grant();
    request.request_id = Uuid::from_u128(random.u128(..)).to_string();
    request.shared_account_id = [RECIPIENT, OTHER_RECIPIENT][random.usize(..2)].into();
    request
}

/// Sends the request, and returns the id and the end of its change.
async fn send(client: &mut Client, grant: bool, request: GrantSharePermissionRequest) -> (String, String) {
    let changed = match grant {
        true => client
            .grant_share_permission(as_tester(request))
            .await
            .map(|answer| answer.into_inner().change),
        false => client
            .revoke_share_permission(as_tester(revoke_of(request)))
            .await
            .map(|answer| answer.into_inner().change),
    };
    match changed {
        Ok(change) => (change.unwrap().change_id, "change.succeeded".into()),
        Err(status) => (superseded(&status), "SUPERSEDED".into()),
    }
}

fn superseded(status: &Status) -> String {
    assert_eq!(reason(status), "CHANGE_SUPERSEDED", "{status:?}");
    detail(status, "change_id")
}

fn revoke_of(request: GrantSharePermissionRequest) -> RevokeSharePermissionRequest {
    RevokeSharePermissionRequest {
        request_id: request.request_id,
        shared_account_id: request.shared_account_id,
        ..revoke()
    }
}

fn assert_no_overlap(calls: &[ApiCall]) {
    let mut permissions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for call in calls {
        let permission = (call.image.as_ref().unwrap(), call.shared_account.as_ref().unwrap());
        permissions
            .entry(permission)
            .or_default()
            .push((call.started, call.ended.unwrap()));
    }
    assert_eq!(permissions.len(), 2);
    for (permission, mut calls) in permissions {
        calls.sort_unstable();
        for pair in calls.windows(2) {
            assert!(
                pair[0].1 < pair[1].0,
                "P6: two calls at once for {permission:?}: {pair:?}"
            );
        }
    }
}

fn updates(stack: &Stack) -> Vec<ApiCall> {
    let mut calls = stack.simulator.calls();
    calls.retain(|call| call.operation == UPDATE);
    calls
}

async fn wait_until_nothing_is_pending(stack: &Stack) {
    let quiet = async {
        while count(stack, "SELECT count(*) FROM change WHERE state = 'PENDING'").await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, quiet).await.expect("every change ends");
}

async fn count(stack: &Stack, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&stack.pool).await.unwrap()
}

/// Fails unless every call to AWS is recorded with one change, and AWS accepted no change twice.
async fn assert_changes_acted_once(stack: &Stack, calls: &[ApiCall]) {
    let requests = count(stack, "SELECT count(*) FROM request").await;
    assert_eq!(requests, (CLIENTS * REQUESTS) as i64);
    let joined = "SELECT count(*) FROM audit_entry WHERE kind = 'change.joined'";
    let changes = count(stack, "SELECT count(*) FROM change").await;
    assert_eq!(changes + count(stack, joined).await, requests);
    let recorded: Vec<(Uuid, String, Option<String>)> = sqlx::query_as(
        "SELECT change_id, attempt->>'classification', attempt->>'aws_request_id'
         FROM change, jsonb_array_elements(attempts) AS attempt
         WHERE attempt->>'operation' = 'UpdateWorkspaceImagePermission'",
    )
    .fetch_all(&stack.pool)
    .await
    .unwrap();
    assert_eq!(recorded.len(), calls.len(), "every call is recorded once");
    let mut accepted = BTreeMap::new();
    for (change, classification, aws_request_id) in recorded {
        if classification == "ACCEPTED" {
            let earlier = accepted.insert(change, aws_request_id);
            assert_eq!(earlier, None, "AWS accepted {change} twice");
        }
    }
    for call in calls.iter().filter(|call| call.http_status == Some(200)) {
        let recorded = accepted.values().filter(|id| id.as_ref() == Some(&call.request_id));
        assert_eq!(recorded.count(), 1, "{call:?}");
    }
}

async fn assert_every_change_ended_once(stack: &Stack) {
    let entries: Vec<(Uuid, i64, i64)> = sqlx::query_as(
        "SELECT change_id, count(*) FILTER (WHERE kind = 'change.requested'),
             count(*) FILTER (WHERE kind IN ('change.succeeded', 'change.failed', 'change.superseded'))
         FROM change LEFT JOIN audit_entry USING (account_id, change_id) GROUP BY change_id",
    )
    .fetch_all(&stack.pool)
    .await
    .unwrap();
    assert_eq!(entries.len() as i64, count(stack, "SELECT count(*) FROM change").await);
    for (change, requested, ended) in entries {
        assert_eq!((requested, ended), (1, 1), "{change}");
    }
}

async fn assert_aws_holds_what_succeeded_last(stack: &Stack) {
    let last: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT ON (shared_account_id) shared_account_id, action FROM change
         WHERE state = 'SUCCEEDED' ORDER BY shared_account_id, generation DESC",
    )
    .fetch_all(&stack.pool)
    .await
    .unwrap();
    let granted = last.into_iter().filter(|(_, action)| action == "GRANT");
    let granted: Vec<_> = granted.map(|(account, _)| account).collect();
    assert_eq!(stack.shared_with(), granted);
}
