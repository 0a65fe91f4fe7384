//! Postgres's clock is set back: times on record lie in its future.

use sharewarden::{clock::Clock, proto::v1::change};
use sharewarden_simulator::Effect;
use sharewarden_testkit::{pending::key, stack::*};
use sqlx::AssertSqlSafe;

const THROTTLE: Effect = Effect::Throttle {
    http_status: 400,
    retry_after_seconds: None,
};

#[tokio::test]
async fn a_second_attempt_does_not_wait_until_a_clock_that_was_set_back_has_caught_up() {
    for ahead in ["60 seconds", "40 days"] {
        let stack = Stack::start().await;
        let mut client = stack.client().await;
        client.grant_share_permission(as_tester(grant())).await.unwrap();
        let ahead = format!("UPDATE ledger SET last_recorded_at = last_recorded_at + interval '{ahead}'");
        sqlx::query(AssertSqlSafe(ahead)).execute(&stack.pool).await.unwrap();
        stack.fault(UPDATE, 1, THROTTLE);
        let revoked = client.revoke_share_permission(as_tester(revoke())).await.unwrap();
        assert_eq!(revoked.into_inner().change.unwrap().state(), change::State::Succeeded);
        assert_eq!(stack.calls_of(UPDATE), 3, "the revoke needed a second attempt");
        stack.end().await;
    }
}

/// A lease may have begun a moment ago, so it lasts for its longest time from now.
#[tokio::test]
async fn an_attempt_that_was_scheduled_before_the_clock_was_set_back_is_due_and_a_lease_is_shortened() {
    let mut stack = Stack::start().await;
    stack.stop_server().await;
    stack
        .leave_pending([key(ACCOUNT, IMAGE, 1), key(ACCOUNT, IMAGE, 2)])
        .await;
    let set_back = "
        UPDATE ledger SET last_recorded_at = last_recorded_at + interval '40 days';
        UPDATE share_permission SET lease_owner = NULL, lease_expires_at = NULL, next_attempt_at = now() + interval '40 days'
            WHERE shared_account_id = '000000000001';
        UPDATE share_permission SET lease_expires_at = now() + interval '40 days' WHERE shared_account_id = '000000000002'";
    sqlx::raw_sql(set_back).execute(&stack.pool).await.unwrap();
    stack.start_server("", Clock::system()).await;
    stack.until_ended("SUCCEEDED", 1).await;
    let shortened = "SELECT count(*) FROM share_permission
        WHERE lease_expires_at BETWEEN now() + interval '5 minutes' AND now() + interval '10 minutes'";
    until(&stack.pool, shortened, 1).await;
    assert_eq!(stack.calls_of(UPDATE), 1, "the lease is respected");
    stack.end().await;
}
