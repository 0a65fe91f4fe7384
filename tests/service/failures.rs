//! What goes wrong at AWS, at the store and at the caller, and what must hold all the same.

use std::time::Duration;

use sharewarden::{
    clock::Clock,
    domain::Timestamp,
    proto::v1::{
        GetChangeRequest, attempt::Classification, change,
        share_permission_service_client::SharePermissionServiceClient,
    },
    simulator::{Behind, Effect, Moment},
};
use tonic::Code;
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::{stack::*, support::postgres::database};

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_read_back_and_succeeds() {
    for effect in [
        Effect::Reset {
            moment: Moment::AfterApplying,
        },
        Effect::CutShort,
        Effect::Garbage,
        Effect::ServerError {
            http_status: 502,
            moment: Moment::AfterApplying,
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
            "{effect:?}: read back before anything else"
        );
        assert_eq!(stack.shared_with(), [RECIPIENT]);
        stack.end().await;
    }
}

#[tokio::test]
async fn a_change_that_was_lost_on_its_way_is_sent_again() {
    for effect in [
        Effect::Reset {
            moment: Moment::BeforeApplying,
        },
        Effect::ServerError {
            http_status: 503,
            moment: Moment::BeforeApplying,
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
        assert_eq!(stack.stages(ACCOUNT).await, ["REQUESTED", "SUCCEEDED"]);
        stack.end().await;
    }
}

#[tokio::test]
async fn a_call_that_hangs_is_given_up_and_read_back() {
    let stack = Stack::start_with("forwarder.attempt_timeout = \"300ms\"\n").await;
    stack.fault(
        UPDATE,
        1,
        Effect::Hang {
            moment: Moment::AfterApplying,
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
            moment: Moment::AfterApplying,
        },
    );
    stack.fault(
        DESCRIBE,
        1,
        Effect::StaleRead {
            behind: Behind::Changes(1),
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
    assert_eq!(stack.calls_of(UPDATE), 1, "the second look saw it");
    stack.end().await;
}

#[tokio::test]
async fn a_change_in_doubt_stays_pending_past_its_budget_until_aws_can_be_read() {
    let stack = Stack::start_with("forwarder.give_up_after = \"1ms\"\n").await;
    stack.fault(
        UPDATE,
        1,
        Effect::Reset {
            moment: Moment::AfterApplying,
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
async fn refusals_of_aws_are_failures_with_the_reason_of_the_table() {
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
        assert!(
            !refused.message().contains("hidden") || code != "AccessDeniedException",
            "{}",
            refused.message()
        );
        let change = stack.ended(&detail(&refused, "change_id")).await;
        assert_eq!(
            (change.state(), change.error_code.as_str()),
            (change::State::Failed, code)
        );
    }
    assert!(stack.shared_with().is_empty());
    assert_eq!(stack.calls_of(UPDATE), table.len(), "a refusal is not tried again");
    stack.end().await;
}

#[tokio::test]
async fn revoking_what_is_not_shared_succeeds_after_reading_back() {
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
async fn budgets_end_in_the_reason_of_what_spent_them() {
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
        moment: Moment::BeforeApplying,
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
async fn retry_after_is_heeded() {
    let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
    let stack = Stack::start_on("", clock.clone()).await;
    stack.fault(
        UPDATE,
        1,
        Effect::Throttle {
            http_status: 400,
            retry_after_seconds: Some(30),
        },
    );
    let call = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;

    // The change is put off: then, and only then, there is a time for its next attempt.
    let due = async {
        loop {
            let due: Option<f64> = sqlx::query_scalar(
                "SELECT extract(epoch FROM next_attempt_at - clock_timestamp())::float8 FROM share_permission",
            )
            .fetch_one(&stack.pool)
            .await
            .unwrap();
            if let Some(due) = due {
                return due;
            }
            tokio::task::yield_now().await;
        }
    };
    let due = tokio::time::timeout(PATIENCE, due).await.unwrap();
    assert!((25.0..=30.0).contains(&due), "{due} seconds");
    clock.advance(Duration::from_secs(29));
    assert_eq!(stack.calls_of(UPDATE), 1);
    assert!(!call.is_finished());
    // The forwarder begins to wait a moment after the commit: turn the clock until it has seen the time come.
    while !call.is_finished() {
        clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    call.await.unwrap().unwrap();
    assert_eq!(stack.calls_of(UPDATE), 2);
    stack.end().await;
}

#[tokio::test]
async fn a_deadline_that_passes_takes_nothing_back() {
    let stack = Stack::start().await;
    stack.fault(
        UPDATE,
        1,
        Effect::Latency {
            milliseconds: 1500,
            moment: Moment::BeforeApplying,
        },
    );
    let mut request = grant();
    request.request_id = Uuid::new_v4().to_string();
    let mut hurried = as_tester(request.clone());
    hurried.set_timeout(Duration::from_millis(600));
    let mut client = stack.client().await;
    let pending = client.grant_share_permission(hurried).await.unwrap_err();
    assert_eq!(
        (pending.code(), reason(&pending).as_str()),
        (Code::DeadlineExceeded, "CHANGE_PENDING")
    );
    let change_id = detail(&pending, "change_id");
    assert_eq!(
        pending.metadata().get("x-sharewarden-change-id").unwrap(),
        change_id.as_str()
    );

    // The replay waits for the same change, which has gone on all the while.
    let replayed = client
        .grant_share_permission(as_tester(request))
        .await
        .unwrap()
        .into_inner();
    assert!(replayed.replayed);
    assert_eq!(replayed.change.unwrap().change_id, change_id);
    assert_eq!(stack.calls_of(UPDATE), 1);
    stack.end().await;
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_nothing_along() {
    let stack = Stack::start().await;
    stack.fault(
        UPDATE,
        1,
        Effect::Latency {
            milliseconds: 500,
            moment: Moment::BeforeApplying,
        },
    );
    let call = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;
    call.abort();
    let id: Uuid = sqlx::query_scalar("SELECT change_id FROM change")
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    assert_eq!(stack.ended(&id.to_string()).await.state(), change::State::Succeeded);
    assert_eq!(stack.shared_with(), [RECIPIENT]);
    stack.end().await;
}

#[tokio::test]
async fn without_postgres_nothing_reaches_aws_and_service_resumes_by_itself() {
    let mut stack =
        Stack::start_with("database.acquire_timeout = \"500ms\"\ncommitter.commit_timeout = \"2s\"\n").await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    let calls = stack.calls_of(UPDATE);

    let outage = Outage::begin(&mut stack).await;
    let clock = Clock::system();
    let begun = clock.elapsed();
    let mut request = revoke();
    request.request_id = Uuid::new_v4().to_string();
    let refused = client
        .revoke_share_permission(as_tester(request.clone()))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "AUDIT_STORE_UNAVAILABLE")
    );
    assert!(refused.get_details_retry_info().is_some());
    let waited = clock.elapsed().since(begun);
    assert!(waited < Duration::from_secs(20), "bounded: {waited:?}");
    let unread = client
        .get_change(as_tester(GetChangeRequest {
            account_id: ACCOUNT.into(),
            change_id: Uuid::nil().to_string(),
        }))
        .await
        .unwrap_err();
    assert_eq!(reason(&unread), "AUDIT_STORE_UNAVAILABLE");
    for text in [refused.message(), unread.message()] {
        assert!(
            !text.contains("sqlx") && !text.contains("pool") && !text.contains("database \""),
            "P9: {text}"
        );
    }
    assert_eq!(stack.calls_of(UPDATE), calls, "P7: no call to AWS");

    outage.end().await;
    let resumed = async {
        loop {
            match client.revoke_share_permission(as_tester(request.clone())).await {
                Ok(answer) => return answer.into_inner(),
                Err(status) => assert_eq!(status.code(), Code::Unavailable),
            }
        }
    };
    tokio::time::timeout(PATIENCE, resumed).await.expect("service resumes");
    assert!(stack.shared_with().is_empty());
    stack.pool = sqlx::PgPool::connect(stack.database.url()).await.unwrap();
    stack.end().await;
}

#[tokio::test]
async fn an_outcome_that_postgres_could_not_take_is_recorded_when_it_is_back() {
    let mut stack =
        Stack::start_with("database.acquire_timeout = \"500ms\"\ncommitter.commit_timeout = \"1s\"\n").await;
    stack.fault(
        UPDATE,
        1,
        Effect::Latency {
            milliseconds: 1000,
            moment: Moment::BeforeApplying,
        },
    );
    let call = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;
    let outage = Outage::begin(&mut stack).await;
    // AWS has answered, and nobody can write it down.
    let answered = stack.simulator.wait_for_calls(|calls| {
        calls
            .iter()
            .any(|call| call.operation == UPDATE && call.ended.is_some())
    });
    tokio::time::timeout(PATIENCE, answered).await.unwrap();
    assert!(!call.is_finished(), "P3: not OK before it is durable");
    outage.end().await;
    let granted = call.await.unwrap().unwrap();
    assert_eq!(granted.change.unwrap().state(), change::State::Succeeded);
    stack.pool = sqlx::PgPool::connect(stack.database.url()).await.unwrap();
    assert_eq!(stack.stages(ACCOUNT).await, ["REQUESTED", "SUCCEEDED"]);
    assert_eq!(stack.calls_of(UPDATE), 1);
    stack.end().await;
}

/// Postgres refuses connections to the test's database, and has cut those that there were.
struct Outage {
    admin: sqlx::PgPool,
    _database: crate::support::postgres::TestDatabase,
    name: String,
}

impl Outage {
    async fn begin(stack: &mut Stack) -> Self {
        stack.pool.close().await;
        let beside = database().await;
        let admin = sqlx::PgPool::connect(beside.url()).await.unwrap();
        let url = stack.database.url();
        let name = url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned();
        let outage = Self {
            admin,
            _database: beside,
            name,
        };
        outage.allow_connections(false).await;
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind(&outage.name)
            .execute(&outage.admin)
            .await
            .unwrap();
        outage
    }

    async fn end(self) {
        self.allow_connections(true).await;
        self.admin.close().await;
    }

    async fn allow_connections(&self, allowed: bool) {
        let statement = format!("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {allowed}", self.name);
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&self.admin)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_another_replica_finishes_is_heard_of_here() {
    let mut stack = Stack::start().await;
    stack.fault(
        UPDATE,
        1,
        Effect::Latency {
            milliseconds: 700,
            moment: Moment::BeforeApplying,
        },
    );
    let mut request = grant();
    request.request_id = Uuid::new_v4().to_string();
    let first = spawn_grant(stack.client().await, request.clone());
    stack.wait_for_calls(UPDATE, 1).await;

    // A second server on the same database; it replays the request, and the first one does the work.
    let config = config(stack.database.url(), &stack.simulator.url(), "");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = sharewarden::server::Server::build(&config, credentials(), Clock::system(), listener)
        .await
        .unwrap();
    let address = second.address();
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(second.run(stop.clone().cancelled_owned()));
    let mut client = SharePermissionServiceClient::connect(format!("http://{address}"))
        .await
        .unwrap();
    let replayed = client
        .grant_share_permission(as_tester(request))
        .await
        .unwrap()
        .into_inner();
    assert!(replayed.replayed);
    assert_eq!(replayed.change, first.await.unwrap().unwrap().change);
    assert_eq!(stack.calls_of(UPDATE), 1);
    stop.cancel();
    running.await.unwrap().unwrap();
    stack.stop_server().await;
    stack.end().await;
}

#[tokio::test]
async fn more_than_may_wait_is_refused_as_overloaded() {
    let stack = Stack::start_with("forwarder.max_backlog = 1\n").await;
    stack.fault(
        UPDATE,
        1,
        Effect::Latency {
            milliseconds: 700,
            moment: Moment::BeforeApplying,
        },
    );
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
    assert_eq!(stack.stages(ACCOUNT).await, ["REQUESTED", "SUCCEEDED"]);
    stack.end().await;
}
