//! The current policy is checked when a change is accepted, and again before each grant call to AWS.

use sharewarden::policy::PolicySet;
use tonic::Code;

use sharewarden_testkit::stack::{
    ACCOUNT, RECIPIENT, Stack, UPDATE, as_tester, detail, grant, late, reason, revoke, spawn_grant, until,
};

#[tokio::test]
async fn a_grant_that_the_policy_refuses_before_the_first_call_fails_and_aws_is_not_called() {
    let stack = Stack::start().await;
    // The revoke call is in flight, and the grant waits behind it.
    stack.fault(UPDATE, 1, late(1500));
    let mut revoking = stack.client().await;
    let revoked = tokio::spawn(async move { revoking.revoke_share_permission(as_tester(revoke())).await });
    stack.wait_for_calls(UPDATE, 1).await;
    let granted = spawn_grant(stack.client().await, grant());
    until(&stack.pool, "SELECT count(*) FROM change", 2).await;
    stack.policy().replace(PolicySet::default());

    revoked.await.unwrap().unwrap();
    let refused = granted.await.unwrap().unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::PermissionDenied, "POLICY_DENIED"),
        "{refused:?}"
    );
    assert!(detail(&refused, "rule").contains("tester"), "{refused:?}");
    assert_eq!(stack.calls_of(UPDATE), 1);
    let ledger = stack.ledger(ACCOUNT).await;
    let last = &ledger[3];
    assert_eq!(
        (&last["kind"], &last["body"]["error_reason"]),
        (&"change.failed".into(), &"POLICY_DENIED".into())
    );
    assert!(last["body"].get("attempts").is_none(), "{last}");
    stack.end().await;
}

#[tokio::test]
async fn a_retried_grant_is_checked_against_the_current_policy() {
    let stack = Stack::start().await;
    stack.hold();
    let granted = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;
    stack.policy().replace(PolicySet::default());
    let refused = granted.await.unwrap().unwrap_err();
    assert_eq!(reason(&refused), "POLICY_DENIED", "{refused:?}");
    stack.release();
    assert_eq!(stack.shared_with(), [RECIPIENT; 0]);
    stack.end().await;
}

#[tokio::test]
async fn an_accepted_revoke_is_not_checked_against_the_policy_again() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    assert_eq!(stack.shared_with(), [RECIPIENT]);
    stack.hold();
    let mut revoking = stack.client().await;
    let revoked = tokio::spawn(async move { revoking.revoke_share_permission(as_tester(revoke())).await });
    stack.wait_for_calls(UPDATE, 2).await;
    stack.policy().replace(PolicySet::default());
    stack.release();
    revoked.await.unwrap().unwrap();
    assert_eq!(stack.shared_with(), [RECIPIENT; 0]);
    stack.end().await;
}
