//! Calls that AWS applies after the server's timeout.

use sharewarden::proto::v1::change;
use sharewarden_simulator::{Effect, FaultTiming};
use sharewarden_testkit::stack::*;

const SHORT_ATTEMPTS: &str = "forwarder.attempt_timeout = \"300ms\"\nforwarder.late_effect_window = \"3s\"\n";

/// The delay before AWS applies the call, in milliseconds. The attempt times out after 300 ms.
const APPLY_DELAY: u64 = 1500;

#[tokio::test]
async fn a_grant_that_is_applied_late_does_not_undo_a_later_revoke() {
    let stack = Stack::start_with(SHORT_ATTEMPTS).await;
    stack.fault(UPDATE, 1, late(APPLY_DELAY));
    let granted = spawn_grant(stack.client().await, grant());
    // The grant has timed out, and was read back for the first time.
    stack.wait_for_calls(DESCRIBE, 1).await;
    let revoked = stack
        .client()
        .await
        .revoke_share_permission(as_tester(revoke()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(revoked.change.unwrap().state(), change::State::Succeeded);
    let superseded = granted.await.unwrap().unwrap_err();
    assert_eq!(reason(&superseded), "CHANGE_SUPERSEDED");

    assert!(stack.shared_with().is_empty(), "the newest accepted change wins");
    let calls = stack.simulator.calls();
    let updates: Vec<_> = calls.iter().filter(|call| call.operation == UPDATE).collect();
    let [grant, revoke] = updates[..] else {
        panic!("one call each: {updates:?}")
    };
    assert!(
        grant.ended < Some(revoke.started),
        "P6: the revoke waited for the unresolved grant call"
    );
    stack.end().await;
}

#[tokio::test]
async fn a_change_is_not_recorded_as_failed_while_its_call_may_still_be_applied() {
    let stack = Stack::start_with(&format!("{SHORT_ATTEMPTS}forwarder.give_up_after = \"1ms\"\n")).await;
    stack.fault(UPDATE, 1, late(APPLY_DELAY));
    let granted = stack.client().await.grant_share_permission(as_tester(grant())).await;
    // The retry budget ended long before AWS applied the call.
    let change = granted.unwrap().into_inner().change.unwrap();
    assert_eq!(change.state(), change::State::Succeeded);
    assert_eq!(stack.shared_with(), [RECIPIENT]);
    stack.end().await;
}

/// Only a change for the opposite of an unresolved call waits for the late-effect window.
#[tokio::test]
async fn a_change_does_not_wait_without_an_opposite_unresolved_call() {
    let stack = Stack::start_with("forwarder.late_effect_window = \"10m\"\n").await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    client.revoke_share_permission(as_tester(revoke())).await.unwrap();
    let throttle = Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    };
    stack.fault(UPDATE, 1, throttle);
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    // An unresolved call of the same action is no reason to wait either.
    let moment = FaultTiming::BeforeApplying;
    stack.fault(UPDATE, 1, Effect::Reset { moment });
    let mut other = grant();
    other.shared_account_id = OTHER_RECIPIENT.into();
    client.grant_share_permission(as_tester(other)).await.unwrap();
    assert_eq!(stack.shared_with().len(), 2);
    stack.end().await;
}

#[tokio::test]
async fn a_refused_revoke_past_its_retry_budget_reports_the_refusal() {
    let stack = Stack::start_with("forwarder.give_up_after = \"1ms\"\n").await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    let denied = Effect::Refuse {
        code: "AccessDeniedException".into(),
        message: String::new(),
        http_status: 400,
    };
    stack.fault(UPDATE, 1, denied);
    // The first read misses the share, so that there is a second one.
    let behind = sharewarden_simulator::Staleness::Changes(1);
    stack.fault(DESCRIBE, 1, Effect::StaleRead { behind });
    let refused = client.revoke_share_permission(as_tester(revoke())).await.unwrap_err();
    assert_eq!(reason(&refused), "UPSTREAM_ACCESS_DENIED");
    assert_eq!(stack.calls_of(DESCRIBE), 2);
    stack.end().await;
}

/// AWS applies the first call after the first read-back. The next call is throttled, and the last one is refused. None of these
/// answers shows the result of the first call.
#[tokio::test]
async fn a_grant_that_is_applied_unseen_is_not_failed_by_its_later_calls() {
    let more = "forwarder.attempt_timeout = \"300ms\"\nforwarder.late_effect_window = \"2s\"\n";
    let stack = Stack::start_with(more).await;
    stack.fault(UPDATE, 1, late(1000));
    let (throttle, denied) = (
        Effect::Throttle {
            http_status: 400,
            retry_after_seconds: Some(3),
        },
        Effect::Refuse {
            code: "AccessDeniedException".into(),
            message: String::new(),
            http_status: 400,
        },
    );
    stack.fault(UPDATE, 1, throttle);
    stack.fault(UPDATE, u64::MAX, denied);
    let granted = stack.client().await.grant_share_permission(as_tester(grant())).await;
    let change = granted.unwrap().into_inner().change.unwrap();
    assert_eq!(change.state(), change::State::Succeeded);
    assert_eq!(stack.shared_with(), [RECIPIENT]);
    assert_eq!(stack.calls_of(UPDATE), 3, "the last one was refused");
    stack.end().await;
}

/// Changes run one at a time, so the third one starts late in its lease. Its call is unresolved, and no time is left
/// to read back.
#[tokio::test]
async fn a_call_that_starts_late_leaves_its_read_back_to_the_next_lease() {
    let stack = Stack::start_with(
        "forwarder.max_in_flight = 1
forwarder.attempt_timeout = \"1s\"
forwarder.read_timeout = \"2s\"
forwarder.lease_margin = \"1s\"
forwarder.lease = \"4s\"
",
    )
    .await;
    stack.fault(UPDATE, 2, late(800));
    stack.fault(UPDATE, 1, late(1500));
    stack.fault(DESCRIBE, 1, late(1900));
    let mut granted = Vec::new();
    for number in 0..3 {
        let mut request = grant();
        request.shared_account_id = format!("50000000000{number}");
        granted.push(spawn_grant(stack.client().await, request));
    }
    for granted in granted {
        granted.await.unwrap().unwrap();
    }
    let expired =
        "SELECT count(*) FROM change WHERE jsonb_path_exists(attempts, '$[*].error_code ? (@ == \"LeaseExpired\")')";
    let expired: i64 = sqlx::query_scalar(expired).fetch_one(&stack.pool).await.unwrap();
    assert_eq!(expired, 0, "no lease expired");
    stack.end().await;
}
