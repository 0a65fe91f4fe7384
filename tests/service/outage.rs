//! Postgres becomes unavailable and comes back.

use std::time::Duration;

use sharewarden::{
    clock::Clock,
    proto::v1::{GetChangeRequest, change},
};
use sharewarden_testkit::{
    log::Log,
    postgres::{TestDatabase, database},
    stack::*,
};
use tonic::Code;
use tonic_types::StatusExt;
use tracing::level_filters::LevelFilter;
use uuid::Uuid;

#[tokio::test]
async fn without_postgres_nothing_reaches_aws_and_service_resumes_automatically() {
    let stack = Stack::start_with("database.acquire_timeout = \"500ms\"\ndatabase.statement_timeout = \"1s\"\ncommitter.commit_timeout = \"2s\"\n").await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    let calls = stack.calls_of(UPDATE);

    let outage = Outage::prepare(&stack).await;
    outage.begin().await;
    let clock = Clock::system();
    let begun = clock.monotonic_now();
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
    let waited = clock.monotonic_now().since(begun);
    assert!(
        waited < Duration::from_secs(20),
        "refused after {waited:?}, which is not in time"
    );
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
    tokio::time::timeout(TIMEOUT, resumed).await.expect("service resumes");
    assert!(stack.shared_with().is_empty());
    stack.end().await;
}

#[tokio::test]
async fn an_outcome_during_an_outage_is_recorded_when_postgres_is_back() {
    let mut log = Log::of_this_thread(LevelFilter::WARN);
    let stack = Stack::start_with("database.acquire_timeout = \"500ms\"\ndatabase.statement_timeout = \"1s\"\ncommitter.commit_timeout = \"1s\"\n").await;
    let outage = Outage::prepare(&stack).await;
    stack.fault(UPDATE, 1, late(4000));
    let call = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;
    outage.begin().await;
    let under_way = stack
        .simulator
        .calls()
        .iter()
        .all(|call| call.ended.is_none() || call.operation != UPDATE);
    assert!(under_way, "the outage began during the call to AWS");

    // AWS has answered, and the outcome cannot be recorded.
    log.wait_for("cannot record the outcome yet; the forwarder will retry")
        .await;
    assert_eq!(stack.shared_with(), [RECIPIENT], "the share is in effect");
    assert!(!call.is_finished(), "P3: no OK before the outcome is durable");
    outage.end().await;
    let granted = call.await.unwrap().unwrap();
    assert_eq!(granted.change.unwrap().state(), change::State::Succeeded);
    assert_eq!(stack.kinds(ACCOUNT).await, ["change.requested", "change.succeeded"]);
    assert_eq!(stack.calls_of(UPDATE), 1);
    stack.end().await;
}

/// Makes Postgres refuse new connections to the test's database, and ends the open ones.
struct Outage {
    admin: sqlx::PgPool,
    _admin_database: TestDatabase,
    name: String,
}

impl Outage {
    /// Connects before the outage, so that the outage can begin at once.
    async fn prepare(stack: &Stack) -> Self {
        let admin_database = database().await;
        let admin = sqlx::PgPool::connect(admin_database.url()).await.unwrap();
        let url = stack.database.url();
        let name = url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned();
        Self {
            admin,
            _admin_database: admin_database,
            name,
        }
    }

    async fn begin(&self) {
        self.allow_connections(false).await;
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind(&self.name)
            .execute(&self.admin)
            .await
            .unwrap();
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
