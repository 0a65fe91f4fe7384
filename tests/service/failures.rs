//! Failures at AWS, and the promises that hold despite them.

use sharewarden::proto::v1::{Access, attempt::Classification, change};
use sharewarden_simulator::{Effect, FaultTiming, Staleness};
use sharewarden_testkit::stack::*;
use tonic::Code;
use tonic_types::StatusExt;

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_read_back_and_succeeds() {
    for effect in [
        Effect::Reset {
            moment: FaultTiming::AfterApplying,
        },
        Effect::CutShort,
        Effect::Garbage,
        Effect::ServerError {
            http_status: 502,
            moment: FaultTiming::AfterApplying,
            retry_after_seconds: None,
        },
    ] {
        let stack = Stack::start().await;
        stack.fault(UPDATE, 1, effect.clone());
        let granted = stack
            .client()
            .await
            .grant_share_permission(as_tester(grant()))
            .await
            .unwrap()
            .into_inner();
        let change = granted.change.unwrap();
        let attempts: Vec<_> = change
            .attempts
            .iter()
            .map(|attempt| (attempt.operation.as_str(), attempt.classification()))
            .collect();
        assert_eq!(
            attempts,
            [(UPDATE, Classification::Unknown), (DESCRIBE, Classification::Accepted)],
            "{effect:?}: the next attempt is a read-back"
        );
        assert_eq!(stack.shared_with(), [RECIPIENT]);
        stack.end().await;
    }
}

#[tokio::test]
async fn a_call_that_aws_did_not_apply_is_sent_again() {
    for effect in [
        Effect::Reset {
            moment: FaultTiming::BeforeApplying,
        },
        Effect::ServerError {
            http_status: 503,
            moment: FaultTiming::BeforeApplying,
            retry_after_seconds: None,
        },
    ] {
        let stack = Stack::start().await;
        stack.fault(UPDATE, 1, effect);
        stack
            .client()
            .await
            .grant_share_permission(as_tester(grant()))
            .await
            .unwrap();
        assert_eq!(stack.shared_with(), [RECIPIENT]);
        assert_eq!(stack.calls_of(UPDATE), 2);
        assert_eq!(stack.kinds(ACCOUNT).await, ["change.requested", "change.succeeded"]);
        stack.end().await;
    }
}

#[tokio::test]
async fn a_call_that_hangs_times_out_and_is_read_back() {
    let stack = Stack::start_with("forwarder.attempt_timeout = \"300ms\"\n").await;
    stack.fault(
        UPDATE,
        1,
        Effect::Hang {
            moment: FaultTiming::AfterApplying,
            at_most_milliseconds: 60_000,
        },
    );
    let granted = stack
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap()
        .into_inner();
    let attempts = granted.change.unwrap().attempts;
    assert_eq!(attempts[0].classification(), Classification::Unknown);
    assert_eq!((attempts.len(), stack.calls_of(UPDATE)), (2, 1));
    stack.end().await;
}

#[tokio::test]
async fn a_stale_read_back_does_not_fail_a_change_that_took_effect() {
    let stack = Stack::start().await;
    stack.fault(
        UPDATE,
        1,
        Effect::Reset {
            moment: FaultTiming::AfterApplying,
        },
    );
    stack.fault(
        DESCRIBE,
        1,
        Effect::StaleRead {
            behind: Staleness::Changes(1),
        },
    );
    let granted = stack
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(granted.change.unwrap().state(), change::State::Succeeded);
    assert_eq!(stack.calls_of(UPDATE), 1, "the second read saw the grant");
    stack.end().await;
}

#[tokio::test]
async fn a_change_in_doubt_stays_pending_past_its_retry_budget_until_aws_can_be_read() {
    let stack = Stack::start_with("forwarder.give_up_after = \"1ms\"\n").await;
    stack.fault(
        UPDATE,
        1,
        Effect::Reset {
            moment: FaultTiming::AfterApplying,
        },
    );
    stack.fault(
        DESCRIBE,
        5,
        Effect::Refuse {
            code: "AccessDeniedException".into(),
            message: String::new(),
            http_status: 400,
        },
    );
    let granted = stack
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap()
        .into_inner();
    let change = granted.change.unwrap();
    assert_eq!((change.state(), change.attempts.len()), (change::State::Succeeded, 7));
    stack.end().await;
}

#[tokio::test]
async fn refusals_by_aws_fail_the_change_with_the_documented_reason() {
    let table = [
        ("ResourceNotFoundException", Code::NotFound, "IMAGE_NOT_FOUND"),
        (
            "OperationNotSupportedException",
            Code::FailedPrecondition,
            "OPERATION_NOT_SUPPORTED",
        ),
        (
            "AccessDeniedException",
            Code::FailedPrecondition,
            "UPSTREAM_ACCESS_DENIED",
        ),
        (
            "InvalidParameterValuesException",
            Code::InvalidArgument,
            "UPSTREAM_INVALID_PARAMETER",
        ),
        ("SomethingNewException", Code::FailedPrecondition, "UPSTREAM_REFUSED"),
    ];
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    for (code, grpc_code, expected) in table {
        let secret = format!("arn:aws:iam::{ACCOUNT}:role/hidden is not authorized");
        stack.fault(
            UPDATE,
            1,
            Effect::Refuse {
                code: code.into(),
                message: secret,
                http_status: 400,
            },
        );
        let refused = client.grant_share_permission(as_tester(grant())).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (grpc_code, expected),
            "{code}"
        );
        assert_eq!(detail(&refused, "aws_error_code"), code);
        assert!(!refused.message().contains("hidden"), "P9: {}", refused.message());
        let change = stack.ended(&detail(&refused, "change_id")).await;
        assert_eq!(
            (change.state(), change.error_code.as_str()),
            (change::State::Failed, code)
        );
    }
    assert!(stack.shared_with().is_empty());
    assert_eq!(stack.calls_of(UPDATE), table.len(), "a refusal is not retried");
    stack.end().await;
}

#[tokio::test]
async fn revoking_an_image_that_is_not_shared_succeeds_after_a_read_back() {
    let stack = Stack::start().await;
    let revoked = stack
        .client()
        .await
        .revoke_share_permission(as_tester(revoke()))
        .await
        .unwrap()
        .into_inner();
    let attempts = revoked.change.unwrap().attempts;
    assert_eq!(attempts[0].classification(), Classification::Refused);
    assert_eq!((attempts[1].operation.as_str(), attempts.len()), (DESCRIBE, 2));
    stack.end().await;
}

#[tokio::test]
async fn a_change_past_its_retry_budget_fails_with_its_last_cause() {
    let stack = Stack::start_with("forwarder.give_up_after = \"150ms\"\n").await;
    let mut client = stack.client().await;

    stack.fault(
        UPDATE,
        1_000_000,
        Effect::Throttle {
            http_status: 429,
            retry_after_seconds: None,
        },
    );
    let refused = client.grant_share_permission(as_tester(grant())).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "UPSTREAM_THROTTLED")
    );
    assert!(refused.get_details_retry_info().is_some());
    stack.simulator.clear_faults();

    let down = Effect::ServerError {
        http_status: 500,
        moment: FaultTiming::BeforeApplying,
        retry_after_seconds: None,
    };
    stack.fault(UPDATE, 1_000_000, down);
    let refused = client.grant_share_permission(as_tester(grant())).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "UPSTREAM_UNAVAILABLE")
    );
    assert!(refused.get_details_retry_info().is_some());
    stack.simulator.clear_faults();

    let mut of_pending_image = grant();
    of_pending_image.image_id = PENDING_IMAGE.into();
    let refused = client
        .grant_share_permission(as_tester(of_pending_image))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "IMAGE_UNAVAILABLE")
    );
    assert!(stack.shared_with().is_empty());
    stack.end().await;
}

#[tokio::test]
async fn changes_over_max_backlog_are_refused_as_overloaded() {
    let stack = Stack::start_with("forwarder.max_backlog = 1\n").await;
    stack.fault(UPDATE, 1, late(2000));
    let first = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;
    let refused = stack
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "OVERLOADED")
    );
    assert!(refused.get_details_retry_info().is_some());
    assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"));
    first.await.unwrap().unwrap();
    assert_eq!(stack.kinds(ACCOUNT).await, ["change.requested", "change.succeeded"]);
    stack.end().await;
}

/// A revoke must not return OK while the other account still has the image.
#[tokio::test]
async fn a_stale_read_does_not_end_a_revoke() {
    let denied = Effect::Refuse {
        code: "AccessDeniedException".into(),
        message: String::new(),
        http_status: 400,
    };
    let reset = Effect::Reset {
        moment: FaultTiming::BeforeApplying,
    };
    for (effect, calls) in [(reset, 1), (denied.clone(), 1), (denied, u64::MAX)] {
        let stack = Stack::start().await;
        let mut client = stack.client().await;
        client.grant_share_permission(as_tester(grant())).await.unwrap();
        stack.fault(UPDATE, calls, effect.clone());
        // The stale read misses the grant and returns "not shared".
        let behind = Staleness::Changes(1);
        stack.fault(DESCRIBE, 1, Effect::StaleRead { behind });
        let revoked = client.revoke_share_permission(as_tester(revoke())).await;
        match revoked {
            Ok(_) => assert!(
                stack.shared_with().is_empty(),
                "{effect:?}: the revoke returned OK, and the image is still shared"
            ),
            Err(status) => {
                assert_eq!(reason(&status), "UPSTREAM_ACCESS_DENIED", "{effect:?}");
                assert_eq!(stack.shared_with(), [RECIPIENT]);
                assert_eq!(calls, u64::MAX, "{effect:?}: the second call would have succeeded");
            }
        }
        assert!(stack.calls_of(DESCRIBE) > 0, "{effect:?}: the stale read was used");
        stack.end().await;
    }
}

/// Deleting an image deletes all its shares.
#[tokio::test]
async fn revoking_a_share_of_a_deleted_image_succeeds_and_ends_the_share() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    let gone = Effect::Refuse {
        code: "ResourceNotFoundException".into(),
        message: String::new(),
        http_status: 400,
    };
    stack.fault(UPDATE, u64::MAX, gone.clone());
    stack.fault(DESCRIBE, u64::MAX, gone);
    let revoked = client.revoke_share_permission(as_tester(revoke())).await.unwrap();
    let permission = revoked.into_inner().permission.unwrap();
    assert_eq!(permission.applied(), Access::NotShared);
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM share_interval WHERE end_index IS NULL")
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    assert_eq!(open, 0, "no share is open");

    // A revoke of a share that was never recorded fails, because the image id is probably wrong.
    let mut other = revoke();
    other.shared_account_id = OTHER_RECIPIENT.into();
    let refused = client.revoke_share_permission(as_tester(other)).await.unwrap_err();
    assert_eq!(reason(&refused), "IMAGE_NOT_FOUND");
    stack.end().await;
}
