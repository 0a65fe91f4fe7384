//! Fairness between accounts and between images, and rate limits: a backlog delays no other account and no other image, and
//! failing endpoints are called less often.

use std::time::Duration;

use sharewarden::{clock::Clock, proto::v1::GrantSharePermissionRequest};
use sharewarden_simulator::{ApiCall, Effect, Fault, FaultTiming};
use sharewarden_testkit::{pending::key, stack::*};
use tonic::Code;

const OTHER_IMAGE: &str = "wsi-devtool01";
const IMAGE_OF_OTHER_ACCOUNT: &str = "wsi-finance01";

fn grant_to(recipient: u64) -> GrantSharePermissionRequest {
    GrantSharePermissionRequest {
        shared_account_id: format!("{recipient:012}"),
        ..grant()
    }
}

fn grant_in_other_account() -> GrantSharePermissionRequest {
    GrantSharePermissionRequest {
        account_id: OTHER_ACCOUNT.into(),
        image_id: IMAGE_OF_OTHER_ACCOUNT.into(),
        shared_account_id: OTHER_RECIPIENT.into(),
        ..grant()
    }
}

/// An empty stack without a server.
async fn without_server() -> Stack {
    let mut stack = Stack::start().await;
    stack.stop_server().await;
    stack
}

#[tokio::test]
async fn changes_of_a_dead_replica_are_recovered_and_each_is_called_once() {
    let mut stack = without_server().await;
    let keys = (0..1024).map(|number| key(ACCOUNT, [IMAGE, OTHER_IMAGE][number as usize % 2], number));
    stack.leave_pending(keys).await;
    stack
        .start_server("forwarder.recover_every = \"60s\"\n", Clock::system())
        .await;
    stack.until_ended("SUCCEEDED", 1024).await;
    assert_eq!(stack.calls_of(UPDATE), 1024, "read back first, then called once");
    let reads = stack.calls_of(DESCRIBE);
    assert!(reads < 100, "{reads} pages: changes of one image share a read");
    let shared = |image| stack.simulator.shared_accounts(ACCOUNT, REGION, image).len();
    assert_eq!(shared(IMAGE) + shared(OTHER_IMAGE), 1024);
    stack.end().await;
}

/// Prints the rate. To run it: `cargo test --release --test service -- --ignored --nocapture ten_thousand`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn ten_thousand_changes_are_recovered_as_fast_as_the_limit_allows() {
    for (calls_per_second, in_doubt) in [(200, false), (400, false), (100_000, false), (400, true)] {
        let mut stack = without_server().await;
        let keys = (0..10_000).map(|number| key(ACCOUNT, [IMAGE, OTHER_IMAGE][number as usize % 2], number));
        stack.leave_pending(keys).await;
        stack
            .leave_pending([key(OTHER_ACCOUNT, IMAGE_OF_OTHER_ACCOUNT, 210_987_654_321)])
            .await;
        if !in_doubt {
            // These changes wait for their turn or their next attempt, and no call was started.
            let given_back =
                "UPDATE share_permission SET lease_owner = NULL, lease_expires_at = NULL, next_attempt_at = now()";
            sqlx::query(given_back).execute(&stack.pool).await.unwrap();
        }
        stack.simulator.inject(Fault::new(late(20))).unwrap();
        let (clock, more) = (
            Clock::system(),
            format!(
                "forwarder.calls_per_second = {calls_per_second}\nforwarder.min_calls_per_second = 1\nforwarder.burst = 100\n"
            ),
        );
        let begun = clock.monotonic_now();
        stack.start_server(&more, Clock::system()).await;
        let started = clock.monotonic_now();
        stack.until_ended("SUCCEEDED", 1).await;
        let other = "SELECT count(*) FROM change WHERE state = 'SUCCEEDED' AND account_id = $1";
        let done: i64 = sqlx::query_scalar(other)
            .bind(OTHER_ACCOUNT)
            .fetch_one(&stack.pool)
            .await
            .unwrap();
        let other_took = clock.monotonic_now().since(started);
        stack.until_ended("SUCCEEDED", 10_001).await;
        let took = clock.monotonic_now().since(started);
        let calls = stack.calls_of(UPDATE) + stack.calls_of(DESCRIBE);
        println!(
            "limit {calls_per_second}/s, in doubt {in_doubt}: 10001 changes with {calls} calls in {took:.1?} after {:.1?}: {:.0} changes/s, {:.0} \
             calls/s; changes done in the other account: {done}, within {other_took:.1?}",
            started.since(begun),
            10_001.0 / took.as_secs_f64(),
            calls as f64 / took.as_secs_f64(),
        );
        assert_eq!(stack.calls_of(UPDATE), 10_001);
        stack.end().await;
    }
}

#[tokio::test]
async fn an_endpoint_that_hangs_does_not_delay_other_accounts() {
    let mut stack = without_server().await;
    let hang = Effect::Hang {
        moment: FaultTiming::BeforeApplying,
        at_most_milliseconds: 60_000,
    };
    fault_account(&stack, hang);
    stack
        .leave_pending((0..3000).map(|number| key(ACCOUNT, IMAGE, number)))
        .await;
    stack
        .leave_pending([key(OTHER_ACCOUNT, IMAGE_OF_OTHER_ACCOUNT, 210_987_654_321)])
        .await;
    stack
        .start_server("forwarder.max_in_flight = 8\n", Clock::system())
        .await;
    stack.until_ended("SUCCEEDED", 1).await;
    let mut client = stack.client().await;
    client
        .grant_share_permission(as_tester(grant_in_other_account()))
        .await
        .unwrap();
    assert_eq!(stack.changes("PENDING").await, 3000);
    let calls = stack.simulator.calls();
    let hanging = calls
        .iter()
        .filter(|call| call.account.as_deref() == Some(ACCOUNT) && call.fault.is_some());
    let hanging = hanging.count();
    assert!(hanging <= 100, "{hanging} calls to an endpoint that does not answer");
    stack.end().await;
}

#[tokio::test]
async fn an_image_with_thousands_of_changes_does_not_delay_other_images() {
    let mut stack = without_server().await;
    stack
        .leave_pending((0..2000).map(|number| key(ACCOUNT, IMAGE, number)))
        .await;
    stack.leave_pending([key(ACCOUNT, OTHER_IMAGE, 1)]).await;
    let slow = "forwarder.calls_per_second = 100\nforwarder.burst = 1\nforwarder.min_calls_per_second = 1\n";
    stack.start_server(slow, Clock::system()).await;
    let other = |call: &ApiCall| call.operation == UPDATE && call.image.as_deref() == Some(OTHER_IMAGE);
    let reached = stack.simulator.wait_for_calls(|calls| calls.iter().any(other));
    let calls = tokio::time::timeout(TIMEOUT, reached).await.unwrap();
    let before = calls.iter().take_while(|call| !other(call));
    let before = before.filter(|call| call.operation == UPDATE).count();
    assert!(
        before <= 20,
        "{before} changes of the first image were called before it"
    );

    let mut request = grant_to(2);
    request.image_id = OTHER_IMAGE.into();
    stack
        .client()
        .await
        .grant_share_permission(as_tester(request))
        .await
        .unwrap();
    assert!(
        stack.changes("PENDING").await > 1000,
        "changes of the first image still wait"
    );
    stack.end().await;
}

#[tokio::test]
async fn throttling_slows_all_calls_of_the_account() {
    let stack =
        Stack::start_with("forwarder.max_in_flight = 4\nforwarder.burst = 4\nforwarder.min_calls_per_second = 10\n")
            .await;
    stack.hold();
    let client = stack.client().await;
    let calls: Vec<_> = (0..40)
        .map(|number| spawn_grant(client.clone(), grant_to(number)))
        .collect();
    stack.wait_for_calls(UPDATE, 50).await;
    let made = stack.simulator.calls();
    let made: Vec<_> = made.iter().filter(|call| call.operation == UPDATE).collect();
    let took = made[49].started_at - made[20].started_at;
    assert!(
        took > Duration::from_millis(2000),
        "29 calls at 10 a second took {took}"
    );
    stack.release();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    stack.end().await;
}

/// Injects a fault into all permission calls of the account.
fn fault_account(stack: &Stack, effect: Effect) {
    for operation in [UPDATE, DESCRIBE] {
        let fault = Fault::new(effect.clone()).account(ACCOUNT).operation(operation);
        stack.simulator.inject(fault).unwrap();
    }
}

/// Makes every permission call of the account fail with HTTP 503.
fn fail_account(stack: &Stack) {
    let unavailable = Effect::ServerError {
        http_status: 503,
        moment: FaultTiming::BeforeApplying,
        retry_after_seconds: None,
    };
    fault_account(stack, unavailable);
}

#[tokio::test]
async fn a_failing_endpoint_is_probed_and_all_changes_finish_when_it_recovers() {
    let stack = Stack::start_with(
        "forwarder.max_in_flight = 2\nforwarder.circuit_failures = 3\nforwarder.circuit_cool_down = \"150ms\"\n\
         forwarder.circuit_cool_down_cap = \"300ms\"\n",
    )
    .await;
    fail_account(&stack);
    let count = |calls: &[ApiCall]| calls.iter().filter(|call| is_for_change(call)).count();
    let before = count(&stack.simulator.calls());
    let client = stack.client().await;
    let grants: Vec<_> = (0..40)
        .map(|number| spawn_grant(client.clone(), grant_to(number)))
        .collect();
    let reached = stack.simulator.wait_for_calls(|calls| count(calls) >= before + 12);
    let mut made = tokio::time::timeout(TIMEOUT, reached).await.unwrap();
    made.retain(is_for_change);
    // The first six calls include those that opened the circuit and those in flight then. Later calls are probes, one at a time.
    let probes = &made[before + 6..before + 12];
    for pair in probes.windows(2) {
        let apart = pair[1].started_at - pair[0].started_at;
        assert!(apart >= Duration::from_millis(140), "{apart} between {pair:?}");
    }
    assert!(
        grants.iter().all(|grant| !grant.is_finished()),
        "no caller has an answer yet"
    );
    stack.release();
    for grant in grants {
        grant.await.unwrap().unwrap();
    }
    stack.end().await;
}

#[tokio::test]
async fn a_change_that_was_never_sent_fails_when_its_retry_budget_ends_during_an_outage() {
    let stack = Stack::start_with(
        "forwarder.max_in_flight = 1\nforwarder.circuit_failures = 1\nforwarder.give_up_after = \"1s\"\n\
         forwarder.circuit_cool_down = \"10s\"\nforwarder.circuit_cool_down_cap = \"10s\"\n",
    )
    .await;
    fail_account(&stack);
    let client = stack.client().await;
    let in_doubt = spawn_grant(client.clone(), grant_to(0));
    stack.wait_for_calls(UPDATE, 1).await;
    let grants: Vec<_> = (1..40)
        .map(|number| spawn_grant(client.clone(), grant_to(number)))
        .collect();
    for grant in grants {
        let failed = grant.await.unwrap().unwrap_err();
        assert_eq!(failed.code(), Code::Unavailable, "{failed:?}");
        assert_eq!(reason(&failed), "UPSTREAM_UNAVAILABLE");
    }
    assert_eq!(stack.calls_of(UPDATE), 1);
    assert!(
        !in_doubt.is_finished(),
        "it is not known whether the grant is in effect"
    );
    stack.release();
    let failed = in_doubt.await.unwrap().unwrap_err();
    assert_eq!(
        reason(&failed),
        "UPSTREAM_UNAVAILABLE",
        "the read-back found that the grant is not in effect"
    );
    assert!(stack.shared_with().is_empty());
    stack.end().await;
}

/// An account is added to the configuration of one replica after another. A replica without it leaves its changes alone.
#[tokio::test]
async fn changes_of_an_account_that_is_not_configured_here_are_left_to_other_replicas() {
    let mut stack = without_server().await;
    stack
        .leave_pending([key("000099998888", IMAGE, 1), key(ACCOUNT, IMAGE, 1)])
        .await;
    stack.start_server("", Clock::system()).await;
    stack.until_ended("SUCCEEDED", 1).await;
    // Recovery has run once more.
    stack.leave_pending([key(ACCOUNT, IMAGE, 2)]).await;
    stack.until_ended("SUCCEEDED", 2).await;
    let untouched: (i64, i64) = sqlx::query_as(
        "SELECT (SELECT lease_epoch FROM share_permission WHERE account_id = '000099998888'),
             (SELECT sum(jsonb_array_length(attempts)) FROM change WHERE account_id = '000099998888')",
    )
    .fetch_one(&stack.pool)
    .await
    .unwrap();
    assert_eq!(untouched, (2, 0), "still the first lease, which expired, and no call");
    stack.end().await;
}
