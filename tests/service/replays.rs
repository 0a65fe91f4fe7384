//! A known request id gets its first answer, even when new changes are refused.

use std::collections::HashMap;

use sharewarden::{clock::Clock, config::Config, policy::PolicySet, proto::v1::GrantSharePermissionRequest};
use sharewarden_testkit::stack::*;
use uuid::Uuid;

use crate::policy_facts;

fn grant_with_id() -> GrantSharePermissionRequest {
    GrantSharePermissionRequest {
        request_id: Uuid::new_v4().to_string(),
        ..grant()
    }
}

/// P5, P8: a caller that lost the answer replays while the backlog is full.
#[tokio::test]
async fn a_replay_is_answered_when_the_backlog_is_full() {
    let stack = Stack::start_with("forwarder.max_backlog = 1\n").await;
    stack.fault(UPDATE, 1, late(2000));
    let request = grant_with_id();
    let first = spawn_grant(stack.client().await, request.clone());
    stack.wait_for_calls(UPDATE, 1).await;

    let replay = spawn_grant(stack.client().await, request.clone());
    let mut client = stack.client().await;
    let mut reasons = HashMap::new();
    let reused = GrantSharePermissionRequest {
        reason: "another".into(),
        ..request
    };
    for request in [grant(), grant_with_id(), reused] {
        let refused = client.grant_share_permission(as_tester(request)).await.unwrap_err();
        *reasons.entry(reason(&refused)).or_default() += 1;
    }
    assert_eq!(
        reasons,
        HashMap::from([("OVERLOADED".into(), 2), ("REQUEST_ID_REUSED".into(), 1)])
    );
    let (first, replayed) = (first.await.unwrap().unwrap(), replay.await.unwrap().unwrap());
    assert!(replayed.replayed);
    assert_eq!(replayed.change, first.change);
    assert_eq!(stack.calls_of(UPDATE), 1);
    stack.end().await;
}

#[tokio::test]
async fn a_replay_is_answered_when_its_region_is_no_longer_configured() {
    let mut stack = Stack::start().await;
    let request = grant_with_id();
    let mut client = stack.client().await;
    let first = client.grant_share_permission(as_tester(request.clone())).await.unwrap();
    stack.stop_server().await;

    let config = config_text(stack.database.url(), &stack.simulator.url(), "");
    let config = config.replace(&format!("[\"{REGION}\", \"us-east-1\"]"), "[\"us-east-1\"]");
    let server = RunningServer::start(&Config::from_toml(&config).unwrap(), Clock::system()).await;
    let mut client = server.client().await;
    let replayed = client
        .grant_share_permission(as_tester(request))
        .await
        .unwrap()
        .into_inner();
    assert!(replayed.replayed);
    assert_eq!(replayed.change, first.into_inner().change);
    let refused = client
        .grant_share_permission(as_tester(grant_with_id()))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "ACCOUNT_NOT_CONFIGURED");
    server.stop().await;
    stack.end().await;
}

/// A service whose policy reads the tags of the image for each decision, and an accepted request.
async fn accepted() -> (Stack, GrantSharePermissionRequest) {
    let stack = policy_facts::stack().await;
    let policies = policy_facts::RELEASED.replacen("permit", "@max_fact_age(\"0s\") permit", 1);
    stack.policy().replace(policy_facts::set(&policies));
    let request = GrantSharePermissionRequest {
        request_id: Uuid::new_v4().to_string(),
        ..policy_facts::released()
    };
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(request.clone())).await.unwrap();
    (stack, request)
}

/// P5: the first answer, and the refusal of other content, are those of a request that the policy decides.
#[tokio::test]
async fn a_replay_is_answered_without_a_decision_of_the_policy() {
    let (stack, request) = accepted().await;
    let reads = stack.calls_of(policy_facts::TAGS);
    let mut client = stack.client().await;
    for _ in 0..2 {
        let replayed = client.grant_share_permission(as_tester(request.clone())).await;
        let replayed = replayed.unwrap().into_inner();
        assert!(replayed.replayed);
        assert_eq!(replayed.change.unwrap().request_id, request.request_id);
    }
    let reused = GrantSharePermissionRequest {
        reason: "another".into(),
        ..request
    };
    let refused = client.grant_share_permission(as_tester(reused)).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    assert_eq!(stack.calls_of(policy_facts::TAGS), reads, "the policy needed no facts");
    assert_eq!(stack.calls_of(UPDATE), 1);
    stack.end().await;
}

/// P10: what the process remembers is only a hint. After a failover the database may not have the request.
#[tokio::test]
async fn a_remembered_request_that_the_database_has_lost_is_decided_as_a_new_one() {
    let (stack, request) = accepted().await;
    sqlx::query("DELETE FROM request").execute(&stack.pool).await.unwrap();
    let mut client = stack.client().await;
    stack.policy().replace(PolicySet::default());
    let refused = client.grant_share_permission(as_tester(request.clone())).await;
    assert_eq!(reason(&refused.unwrap_err()), "POLICY_DENIED");
    assert_eq!(stack.calls_of(UPDATE), 1);

    stack.policy().replace(policy_facts::set(policy_facts::RELEASED));
    let granted = client
        .grant_share_permission(as_tester(request))
        .await
        .unwrap()
        .into_inner();
    assert!(!granted.replayed);
    assert!(granted.change.unwrap().decision.is_some());
    assert_eq!(stack.calls_of(UPDATE), 2);
    stack.end().await;
}
