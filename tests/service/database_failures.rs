//! Failures of Postgres: refused connections, no answers, connections cut during a statement or around COMMIT, lock conflicts,
//! and a failover.
//!
//! The simulator's log shows which calls reached AWS. The tests read the recorded rows over a connection without the proxy.

use std::time::Duration;

use sharewarden::{
    clock::Clock,
    config::DatabaseConfig,
    dev::postgres::{Cluster, ClusterSettings},
    proto::v1::{GrantSharePermissionResponse, change},
    store::Database,
};
use sharewarden_testkit::{
    pending::key,
    proxy::{CommitFault, Proxy, Rule},
    stack::*,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

const SHORT_TIMEOUTS: &str = "database.acquire_timeout = \"500ms\"
database.statement_timeout = \"3s\"
committer.commit_timeout = \"5s\"
forwarder.attempt_timeout = \"1s\"
forwarder.read_timeout = \"1s\"
forwarder.lease_margin = \"200ms\"
forwarder.lease = \"4s\"
";

/// The lock timeout is half of the statement timeout. 30 s are enough for two sessions to deadlock on a busy machine.
const LONG_TIMEOUTS: &str = "database.statement_timeout = \"60s\"
committer.commit_timeout = \"60s\"
";

/// A stack with a server that connects to Postgres through a fault-injecting proxy.
struct ProxiedStack {
    stack: Stack,
    proxy: Proxy,
    server: RunningServer,
}

impl ProxiedStack {
    async fn start() -> Self {
        Self::start_with(SHORT_TIMEOUTS).await
    }

    async fn start_with(settings: &str) -> Self {
        let mut stack = Stack::start().await;
        stack.stop_server().await;
        let proxy = Proxy::start(stack.database.url()).await;
        let config = config(&proxy.url(stack.database.url()), &stack.simulator.url(), settings);
        let server = RunningServer::start(&config, Clock::system()).await;
        Self { stack, proxy, server }
    }

    async fn grant(&self, request_id: Uuid) -> Result<GrantSharePermissionResponse, Status> {
        let mut request = grant();
        request.request_id = request_id.to_string();
        let mut client = self.server.client().await;
        Ok(client.grant_share_permission(as_tester(request)).await?.into_inner())
    }

    /// Repeats the grant under the same request id until it succeeds.
    async fn grant_with_retries(&self, request_id: Uuid) -> GrantSharePermissionResponse {
        let asking = async {
            loop {
                match self.grant(request_id).await {
                    Ok(granted) => return granted,
                    Err(status) => assert_eq!(reason(&status), "AUDIT_STORE_UNAVAILABLE", "{status:?}"),
                }
            }
        };
        tokio::time::timeout(TIMEOUT, asking).await.expect("service resumes")
    }

    /// Fails unless there is one change, one call and one terminal entry.
    async fn assert_granted_once(&self, granted: GrantSharePermissionResponse) {
        assert_eq!(granted.change.unwrap().state(), change::State::Succeeded);
        assert_eq!(
            self.stack.kinds(ACCOUNT).await,
            ["change.requested", "change.succeeded"]
        );
        assert_eq!(self.stack.calls_of(UPDATE), 1, "AWS was called once");
        assert_eq!(self.stack.shared_with(), [RECIPIENT]);
    }

    async fn end(self) {
        self.server.stop().await;
        self.stack.end().await;
    }
}

/// Checks P7: a grant is refused in bounded time, and service resumes automatically.
async fn assert_refused_in_time_then_resumes(rule: Rule, cut: bool) {
    let proxied = ProxiedStack::start().await;
    proxied.proxy.set(rule);
    if cut {
        proxied.proxy.cut();
    }
    let clock = Clock::system();
    let begun = clock.monotonic_now();
    let id = Uuid::new_v4();
    let refused = proxied.grant(id).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "AUDIT_STORE_UNAVAILABLE")
    );
    assert!(refused.get_details_retry_info().is_some());
    assert_eq!(detail(&refused, "request_id"), id.to_string());
    let waited = clock.monotonic_now().since(begun);
    assert!(
        waited < Duration::from_secs(20),
        "refused after {waited:?}, which is not in time"
    );
    assert_eq!(
        proxied.stack.calls_of(UPDATE),
        0,
        "AWS is not called before the change is recorded"
    );
    assert_eq!(proxied.stack.kinds(ACCOUNT).await, [""; 0]);

    proxied.proxy.set(Rule::Pass);
    let granted = proxied.grant_with_retries(id).await;
    proxied.assert_granted_once(granted).await;
    proxied.end().await;
}

#[tokio::test]
async fn a_postgres_that_refuses_connections_is_reported_in_time() {
    assert_refused_in_time_then_resumes(Rule::Refuse, true).await;
}

#[tokio::test]
async fn a_postgres_that_accepts_connections_and_does_not_answer_is_reported_in_time() {
    assert_refused_in_time_then_resumes(Rule::BlackHole, true).await;
}

#[tokio::test]
async fn connections_that_stop_answering_are_reported_in_time() {
    assert_refused_in_time_then_resumes(Rule::BlackHole, false).await;
}

/// A connection that broke while it was idle causes no error for a caller.
#[tokio::test]
async fn a_pool_of_broken_connections_causes_no_error() {
    let proxied = ProxiedStack::start().await;
    for _ in 0..5 {
        proxied.proxy.cut();
        proxied.grant(Uuid::new_v4()).await.unwrap();
    }
    proxied.end().await;
}

#[tokio::test]
async fn a_statement_that_is_interrupted_is_run_again() {
    let proxied = ProxiedStack::start().await;
    let (mut lock, revoking) = proxied.start_blocked_revoke().await;
    proxied.proxy.cut();
    lock.run("COMMIT").await;
    revoking.await.unwrap().unwrap();
    let kinds = proxied.stack.kinds(ACCOUNT).await;
    assert_eq!(
        kinds,
        [
            "change.requested",
            "change.succeeded",
            "change.requested",
            "change.succeeded"
        ]
    );
    proxied.end().await;
}

/// The server reads back whether the commit happened. Two commits are faulted: the accepting one and the settling one.
#[tokio::test]
async fn a_commit_with_a_lost_answer_is_resolved_by_reading_back() {
    for fault in [
        CommitFault::CutBefore,
        CommitFault::CutAfter,
        CommitFault::Delayed(Duration::from_millis(300)),
    ] {
        let proxied = ProxiedStack::start().await;
        proxied.proxy.next_commits(fault, 2);
        let granted = proxied.grant_with_retries(Uuid::new_v4()).await;
        let counts = proxied.proxy.counts();
        assert_eq!(
            counts.cut_before + counts.cut_after + counts.late,
            2,
            "{fault:?}: both faults were used"
        );
        proxied.assert_granted_once(granted).await;
        proxied.end().await;
    }
}

/// The claimed change is worked on at once, and does not wait until its lease expires.
#[tokio::test]
async fn a_claim_with_a_lost_commit_answer_is_worked_on() {
    // The claim is the only commit: no checkpoint is signed in the next 60 s.
    let proxied = ProxiedStack::start_with(&format!("{SHORT_TIMEOUTS}checkpoint.every = \"60s\"\n")).await;
    proxied.proxy.next_commits(CommitFault::CutAfter, 1);
    proxied.stack.leave_pending([key(ACCOUNT, IMAGE, 1)]).await;
    proxied.stack.until_ended("SUCCEEDED", 1).await;
    assert_eq!(proxied.proxy.counts().cut_after, 1, "the fault was used");
    let expired = "SELECT count(*) FROM change, jsonb_array_elements(attempts) AS attempt
         WHERE attempt->>'error_code' = 'LeaseExpired'";
    let expired: i64 = sqlx::query_scalar(expired)
        .fetch_one(&proxied.stack.pool)
        .await
        .unwrap();
    assert_eq!(expired, 1, "only the lease of the dead replica expired");
    proxied.end().await;
}

/// AWS has answered, and Postgres is unavailable for a part of the grace period.
#[tokio::test]
async fn an_outcome_during_a_database_outage_is_recorded_before_the_server_stops() {
    let proxied = ProxiedStack::start_with("database.acquire_timeout = \"500ms\"\n").await;
    proxied.stack.fault(UPDATE, 1, late(1500));
    let granted = spawn_grant(proxied.server.client().await, grant());
    proxied.stack.wait_for_calls(UPDATE, 1).await;
    let ProxiedStack { stack, proxy, server } = proxied;
    proxy.set(Rule::Refuse);
    proxy.cut();
    // Without open calls the forwarder stops at once.
    granted.abort();
    let stopping = tokio::spawn(server.stop());
    let answered = stack.simulator.wait_for_calls(|calls| {
        calls
            .iter()
            .any(|call| call.operation == UPDATE && call.ended.is_some())
    });
    tokio::time::timeout(TIMEOUT, answered).await.unwrap();
    let before = proxy.counts().refused;
    let refused = async {
        while !stopping.is_finished() && proxy.counts().refused < before + 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, refused)
        .await
        .expect("the server connects to Postgres again");
    proxy.set(Rule::Pass);
    stopping.await.unwrap();
    assert_eq!(stack.kinds(ACCOUNT).await, ["change.requested", "change.succeeded"]);
    assert_eq!(stack.calls_of(DESCRIBE), 0, "no replica had to read back the outcome");
    stack.end().await;
}

/// With asynchronous replication the new primary can lack the account's first commit.
#[tokio::test]
async fn an_account_whose_first_commit_was_lost_by_a_failover_is_served() {
    let stack = Stack::start_with("checkpoint.every = \"60s\"\n").await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    // A TRUNCATE would lock the tables, and could deadlock with a worker that reads them.
    let tables = [
        "audit_entry",
        "audit_rollup",
        "audit_ranking",
        "audit_ranking_total",
        "audit_summary_progress",
        "share_interval",
        "share_permission",
        "request",
        "change",
        "ledger",
    ];
    let lost: String = tables.iter().map(|table| format!("DELETE FROM {table};")).collect();
    let lost = format!(
        "SET session_replication_role = replica; SELECT FROM worker_lease WHERE worker = 'counting' FOR UPDATE; {lost}"
    );
    let mut postgres = PgConnection::connect(stack.database.url()).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(lost))
        .execute(&mut postgres)
        .await
        .unwrap();
    postgres.close().await.unwrap();
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    assert_eq!(stack.kinds(ACCOUNT).await, ["change.requested", "change.succeeded"]);
    stack.end().await;
}

/// Six commits fail, more than the tries of a batch. The caller gets an unknown outcome and replays.
#[tokio::test]
async fn a_grant_that_is_not_recorded_is_not_sent_to_aws() {
    let proxied = ProxiedStack::start().await;
    proxied.proxy.next_commits(CommitFault::CutBefore, 6);
    let id = Uuid::new_v4();
    let unconfirmed = proxied.grant(id).await.unwrap_err();
    assert_eq!(reason(&unconfirmed), "AUDIT_STORE_UNAVAILABLE");
    assert_eq!(proxied.stack.calls_of(UPDATE), 0, "the change is not recorded");
    proxied.proxy.clear_commit_faults();
    let granted = proxied.grant_with_retries(id).await;
    proxied.assert_granted_once(granted).await;
    proxied.end().await;
}

/// The commit happens, and the server cannot read back whether it did.
#[tokio::test]
async fn a_grant_with_an_unconfirmed_commit_is_not_recorded_twice() {
    let proxied = ProxiedStack::start().await;
    // This gives the lane a connection.
    let mut other = grant();
    other.shared_account_id = OTHER_RECIPIENT.into();
    let mut client = proxied.server.client().await;
    client.grant_share_permission(as_tester(other)).await.unwrap();
    proxied.proxy.next_commits(CommitFault::CutAfter, 1);
    proxied.proxy.set(Rule::Refuse);
    let id = Uuid::new_v4();
    let unconfirmed = proxied.grant(id).await.unwrap_err();
    assert_eq!(reason(&unconfirmed), "AUDIT_STORE_UNAVAILABLE");
    assert_eq!(proxied.proxy.counts().cut_after, 1, "the fault was used");
    proxied.proxy.set(Rule::Pass);
    let granted = proxied.grant_with_retries(id).await;
    assert_eq!(granted.change.unwrap().state(), change::State::Succeeded);
    let kinds = proxied.stack.kinds(ACCOUNT).await;
    assert_eq!(
        kinds,
        [
            "change.requested",
            "change.succeeded",
            "change.requested",
            "change.succeeded"
        ]
    );
    proxied.end().await;
}

/// The process keeps the outcome until it is durable, however many commits that needs.
#[tokio::test]
async fn an_outcome_is_committed_again_until_it_is_confirmed() {
    for fault in [CommitFault::CutBefore, CommitFault::CutAfter] {
        let proxied = ProxiedStack::start().await;
        proxied.stack.fault(UPDATE, 1, late(600));
        let granting = spawn_grant(proxied.server.client().await, grant());
        proxied.stack.wait_for_calls(UPDATE, 1).await;
        proxied.proxy.next_commits(fault, 10);
        let granted = granting.await.unwrap().unwrap();
        proxied.assert_granted_once(granted).await;
        proxied.proxy.clear_commit_faults();
        proxied.end().await;
    }
}

#[tokio::test]
async fn a_batch_with_a_lock_timeout_is_run_again() {
    let proxied = ProxiedStack::start().await;
    let (mut lock, revoking) = proxied.start_blocked_revoke().await;
    let begun =
        "SELECT max(xact_start) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let begun: OffsetDateTime = sqlx::query_scalar(begun).fetch_one(&proxied.stack.pool).await.unwrap();
    // The lock timeout of the connection (half of the statement timeout) ended the first transaction.
    let again = async {
        let again =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
             AND xact_start > $1";
        while sqlx::query_scalar::<_, i64>(again)
            .bind(begun)
            .fetch_one(&proxied.stack.pool)
            .await
            .unwrap()
            == 0
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, again)
        .await
        .expect("the batch is run again");
    lock.run("COMMIT").await;
    revoking.await.unwrap().unwrap();
    proxied.end().await;
}

/// One lane serves all accounts. The second time it knows that the account was locked before.
#[tokio::test]
async fn an_account_that_another_session_keeps_locked_does_not_stop_the_others() {
    let settings = SHORT_TIMEOUTS.replace("commit_timeout = \"5s\"", "commit_timeout = \"60s\"");
    let proxied = ProxiedStack::start_with(&settings).await;
    proxied.grant(Uuid::new_v4()).await.unwrap();
    for locking in [
        "SELECT 1 FROM ledger WHERE account_id = '111122223333' FOR UPDATE",
        "SELECT 1 FROM share_permission WHERE account_id = '111122223333' FOR UPDATE",
    ] {
        let mut lock = OtherSession::begin(&proxied.stack).await;
        lock.run(locking).await;
        let stuck = proxied.spawn_revoke().await;
        wait_for_lock_waiters(&proxied.stack, 1).await;
        for _ in 0..3 {
            let other = spawn_grant(proxied.server.client().await, other_accounts_grant());
            let granted = other.await.unwrap().unwrap();
            assert_eq!(granted.change.unwrap().state(), change::State::Succeeded);
            assert!(!stuck.is_finished(), "only the locked account waits");
        }
        lock.run("COMMIT").await;
        stuck.await.unwrap().unwrap();
        proxied.grant(Uuid::new_v4()).await.unwrap();
    }
    proxied.end().await;
}

#[tokio::test]
async fn a_batch_with_a_deadlock_is_run_again() {
    let proxied = ProxiedStack::start_with(LONG_TIMEOUTS).await;
    proxied.grant(Uuid::new_v4()).await.unwrap();
    set_for_new_sessions(&proxied.stack, "deadlock_timeout = '50ms'").await;
    proxied.proxy.cut();
    let mut other = OtherSession::begin(&proxied.stack).await;
    other.run("SELECT 1 FROM share_permission FOR UPDATE").await;
    // Postgres aborts the session that detects the deadlock. This session never checks, so the server's session is aborted.
    other.run("SET LOCAL deadlock_timeout = '1h'").await;

    let revoking = proxied.spawn_revoke().await;
    // The batch has the head's lock and waits for the permission. The other session waits for the head.
    wait_for_lock_waiters(&proxied.stack, 1).await;
    let other = tokio::spawn(async move {
        other.run("SELECT 1 FROM ledger FOR UPDATE").await;
        other.run("COMMIT").await;
    });
    let resolved = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    until(&proxied.stack.pool, resolved, 1).await;
    other.await.unwrap();
    revoking.await.unwrap().unwrap();
    proxied.end().await;
}

/// An unlocked read could come from a read-only server, or return a commit that no standby has yet.
#[tokio::test]
async fn a_replay_waits_for_the_lock_of_the_ledger_head() {
    let proxied = ProxiedStack::start().await;
    let id = Uuid::new_v4();
    let granted = proxied.grant(id).await.unwrap();
    let mut lock = OtherSession::begin(&proxied.stack).await;
    lock.run("SELECT 1 FROM ledger FOR UPDATE").await;
    let mut request = grant();
    request.request_id = id.to_string();
    let replaying = spawn_grant(proxied.server.client().await, request);
    wait_for_lock_waiters(&proxied.stack, 1).await;
    lock.run("COMMIT").await;
    let replayed = replaying.await.unwrap().unwrap();
    assert!(replayed.replayed);
    assert_eq!(replayed.change, granted.change);
    proxied.end().await;
}

/// A manual change of a row does not raise the version of the head, so only the row count shows it.
#[tokio::test]
async fn a_batch_with_a_missing_row_is_not_saved_in_part() {
    let proxied = ProxiedStack::start().await;
    let (mut lock, revoking) = proxied.start_blocked_revoke().await;
    lock.run("DELETE FROM share_permission").await;
    lock.run("COMMIT").await;
    let refused = revoking.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Internal, "{refused:?}");
    assert_eq!(
        proxied.stack.kinds(ACCOUNT).await,
        ["change.requested", "change.succeeded"]
    );
    let changes: i64 = sqlx::query_scalar("SELECT count(*) FROM change")
        .fetch_one(&proxied.stack.pool)
        .await
        .unwrap();
    assert_eq!(changes, 1);
    proxied.end().await;
}

#[tokio::test]
async fn a_batch_with_a_serialization_failure_is_run_again() {
    let proxied = ProxiedStack::start().await;
    proxied.grant(Uuid::new_v4()).await.unwrap();
    set_for_new_sessions(&proxied.stack, "default_transaction_isolation = 'repeatable read'").await;
    proxied.proxy.cut();
    let mut lock = OtherSession::begin(&proxied.stack).await;
    // The batch takes its snapshot before this is committed.
    lock.run("UPDATE ledger SET size = size").await;
    let revoking = proxied.spawn_revoke().await;
    wait_for_lock_waiters(&proxied.stack, 1).await;
    lock.run("COMMIT").await;
    revoking.await.unwrap().unwrap();
    proxied.end().await;
}

#[tokio::test]
async fn sessions_that_an_administrator_ends_are_replaced() {
    let proxied = ProxiedStack::start().await;
    let (mut lock, revoking) = proxied.start_blocked_revoke().await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let ended: i64 = sqlx::query_scalar(end).fetch_one(&proxied.stack.pool).await.unwrap();
    assert_eq!(ended, 1);
    lock.run("COMMIT").await;
    revoking.await.unwrap().unwrap();
    proxied.end().await;
}

/// The old primary continues as a read-only server, and the address leads to the new primary. Connections to the old one must
/// not stay in the pool.
#[tokio::test]
async fn connections_to_a_replaced_primary_are_closed() {
    let mut stack = Stack::start().await;
    let (mut other, name) = (grant(), database_name(stack.database.url()).to_owned());
    other.shared_account_id = OTHER_RECIPIENT.into();
    // This change stands for the replicated history.
    stack
        .client()
        .await
        .grant_share_permission(as_tester(other))
        .await
        .unwrap();
    stack.stop_server().await;
    let folder = tempfile::tempdir().unwrap();
    let old = Cluster::start(ClusterSettings::new(folder.path()).without_fsync())
        .await
        .unwrap();
    let url = old.url(&name);
    create_database(&url).await;
    let proxy = Proxy::start(&url).await;
    let config = config(&proxy.url(&url), &stack.simulator.url(), SHORT_TIMEOUTS);
    let server = RunningServer::start(&config, Clock::system()).await;
    let proxied = ProxiedStack { stack, proxy, server };
    proxied.grant(Uuid::new_v4()).await.unwrap();

    let mut admin = PgConnection::connect(&url).await.unwrap();
    for statement in [
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::query(statement).execute(&mut admin).await.unwrap();
    }
    let id = Uuid::new_v4();
    let refused = async {
        loop {
            // The sessions apply the new setting a moment later.
            match proxied.grant(Uuid::new_v4()).await {
                // The change was accepted before the setting applied. Its outcome can no longer be recorded.
                Err(pending) if reason(&pending) == "CHANGE_PENDING" => {}
                Err(refused) => return refused,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    let refused = tokio::time::timeout(TIMEOUT, refused).await.unwrap();
    assert_eq!(reason(&refused), "AUDIT_STORE_UNAVAILABLE", "the primary is read-only");
    let calls = proxied.stack.calls_of(UPDATE);
    proxied.proxy.retarget(proxied.stack.database.url());
    let granted = proxied.grant_with_retries(id).await;
    assert_eq!(granted.change.unwrap().state(), change::State::Succeeded);
    assert_eq!(proxied.stack.calls_of(UPDATE), calls + 1);
    let kinds = proxied.stack.kinds(ACCOUNT).await;
    assert_eq!(
        kinds,
        [
            "change.requested",
            "change.succeeded",
            "change.requested",
            "change.succeeded"
        ],
        "the new primary has the change"
    );
    admin.close().await.unwrap();
    proxied.end().await;
    old.stop();
}

/// Notifications can be lost. The row has the outcome.
#[tokio::test]
async fn a_waiter_without_a_notification_gets_the_outcome_by_polling() {
    let proxied = ProxiedStack::start().await;
    let listening =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
    until(&proxied.stack.pool, listening, 1).await;
    // This gives the account's lane a connection.
    let mut other = grant();
    other.shared_account_id = OTHER_RECIPIENT.into();
    let mut client = proxied.server.client().await;
    client.grant_share_permission(as_tester(other)).await.unwrap();
    // New connections are refused; existing ones continue.
    proxied.proxy.set(Rule::Refuse);
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
    sqlx::query(ended).execute(&proxied.stack.pool).await.unwrap();
    until(&proxied.stack.pool, listening, 0).await;

    proxied.stack.hold();
    let other = proxied.stack.second_server("").await;
    let mut request = grant();
    request.request_id = Uuid::new_v4().to_string();
    let first = spawn_grant(other.client().await, request.clone());
    proxied.stack.wait_for_calls(UPDATE, 2).await;
    let here = spawn_grant(proxied.server.client().await, request);
    proxied
        .stack
        .wait_for_calls(UPDATE, proxied.stack.calls_of(UPDATE) + 2)
        .await;
    proxied.stack.release();
    let granted = here.await.unwrap().unwrap();
    assert!(granted.replayed);
    assert_eq!(granted.change, first.await.unwrap().unwrap().change);
    proxied.proxy.set(Rule::Pass);
    other.stop().await;
    proxied.end().await;
}

impl ProxiedStack {
    /// Starts a revoke. Its transaction waits for the head's lock, which the returned session holds.
    async fn start_blocked_revoke(&self) -> (OtherSession, JoinHandle<Result<(), Status>>) {
        self.grant(Uuid::new_v4()).await.unwrap();
        let mut lock = OtherSession::begin(&self.stack).await;
        lock.run("SELECT 1 FROM ledger FOR UPDATE").await;
        let revoking = self.spawn_revoke().await;
        wait_for_lock_waiters(&self.stack, 1).await;
        (lock, revoking)
    }

    async fn spawn_revoke(&self) -> JoinHandle<Result<(), Status>> {
        let mut client = self.server.client().await;
        tokio::spawn(async move { client.revoke_share_permission(as_tester(revoke())).await.map(drop) })
    }
}

/// An open transaction on a connection of its own.
struct OtherSession(PgConnection);

impl OtherSession {
    async fn begin(stack: &Stack) -> Self {
        let mut session = Self(PgConnection::connect(stack.database.url()).await.unwrap());
        session.run("BEGIN").await;
        session
    }

    async fn run(&mut self, statement: &'static str) {
        sqlx::query(statement).execute(&mut self.0).await.unwrap();
    }
}

/// Waits until `count` sessions wait for the head's lock.
async fn wait_for_lock_waiters(stack: &Stack, count: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
         AND wait_event_type = 'Lock' AND query ILIKE '%ledger%'";
    until(&stack.pool, waiting, count).await;
}

/// Changes a setting for all new sessions.
async fn set_for_new_sessions(stack: &Stack, setting: &str) {
    let name = database_name(stack.database.url());
    let statement = format!("ALTER DATABASE {name} SET {setting}");
    sqlx::query(AssertSqlSafe(statement))
        .execute(&stack.pool)
        .await
        .unwrap();
}

fn database_name(url: &str) -> &str {
    url.rsplit_once('/').unwrap().1.split('?').next().unwrap()
}

/// Creates a database with the current schema.
async fn create_database(url: &str) {
    let settings = DatabaseConfig {
        url: url.into(),
        max_connections: 1,
        acquire_timeout: TIMEOUT,
        statement_timeout: TIMEOUT,
    };
    Database::create_if_missing(&settings).await.unwrap();
    let database = Database::new(&settings, &Clock::system()).unwrap();
    database.migrate().await.unwrap();
    database.close().await;
}
