//! Postgres in trouble: away, silent, cut off in the middle and around COMMIT, in contention, and replaced by another.
//!
//! What AWS saw is judged by the simulator's log, what was recorded by reading the database beside the proxy.

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

const IMPATIENT: &str = "database.acquire_timeout = \"500ms\"
database.statement_timeout = \"3s\"
committer.commit_timeout = \"5s\"
forwarder.attempt_timeout = \"1s\"
forwarder.read_timeout = \"1s\"
forwarder.lease_margin = \"200ms\"
forwarder.lease = \"4s\"
";

/// Half of it is the lock time-out: time for two sessions to get into each other's way, however busy the machine.
const PATIENT: &str = "database.statement_timeout = \"60s\"
committer.commit_timeout = \"60s\"
";

/// A stack whose server reaches Postgres through a proxy.
struct Trouble {
    stack: Stack,
    proxy: Proxy,
    server: RunningServer,
}

impl Trouble {
    async fn start() -> Self {
        Self::start_with(IMPATIENT).await
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

    /// Grants until it is granted: whoever was told that nobody knows asks again under the same request id.
    async fn grant_at_last(&self, request_id: Uuid) -> GrantSharePermissionResponse {
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

    /// One change, one call, one end.
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

/// P7, and then that service resumes by itself.
async fn is_refused_in_time_and_resumes(rule: Rule, cut: bool) {
    let trouble = Trouble::start().await;
    trouble.proxy.set(rule);
    if cut {
        trouble.proxy.cut();
    }
    let clock = Clock::system();
    let begun = clock.monotonic_now();
    let id = Uuid::new_v4();
    let refused = trouble.grant(id).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "AUDIT_STORE_UNAVAILABLE")
    );
    assert!(refused.get_details_retry_info().is_some());
    assert_eq!(detail(&refused, "request_id"), id.to_string());
    let waited = clock.monotonic_now().since(begun);
    assert!(waited < Duration::from_secs(20), "bounded: {waited:?}");
    assert_eq!(
        trouble.stack.calls_of(UPDATE),
        0,
        "nothing is called before it is on record"
    );
    assert_eq!(trouble.stack.kinds(ACCOUNT).await, [""; 0]);

    trouble.proxy.set(Rule::Pass);
    let granted = trouble.grant_at_last(id).await;
    trouble.assert_granted_once(granted).await;
    trouble.end().await;
}

#[tokio::test]
async fn a_postgres_that_refuses_connections_is_told_of_in_time() {
    is_refused_in_time_and_resumes(Rule::Refuse, true).await;
}

#[tokio::test]
async fn a_postgres_that_takes_connections_and_is_silent_is_told_of_in_time() {
    is_refused_in_time_and_resumes(Rule::BlackHole, true).await;
}

#[tokio::test]
async fn connections_that_fall_silent_are_told_of_in_time() {
    is_refused_in_time_and_resumes(Rule::BlackHole, false).await;
}

/// Connections that broke while they rested, or a moment ago, cost nobody an error.
#[tokio::test]
async fn a_pool_full_of_broken_connections_is_not_noticed() {
    let trouble = Trouble::start().await;
    for _ in 0..5 {
        trouble.proxy.cut();
        trouble.grant(Uuid::new_v4()).await.unwrap();
    }
    trouble.end().await;
}

#[tokio::test]
async fn a_statement_that_is_cut_off_in_the_middle_is_run_again() {
    let trouble = Trouble::start().await;
    let (mut lock, revoking) = trouble.revoke_behind_a_lock().await;
    trouble.proxy.cut();
    lock.run("COMMIT").await;
    revoking.await.unwrap().unwrap();
    let kinds = trouble.stack.kinds(ACCOUNT).await;
    assert_eq!(
        kinds,
        [
            "change.requested",
            "change.succeeded",
            "change.requested",
            "change.succeeded"
        ]
    );
    trouble.end().await;
}

/// Whether it happened is found out by looking, for the commit that accepts (the first) and the one that settles (the second).
#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_resolved_by_looking() {
    for fate in [
        CommitFault::CutBefore,
        CommitFault::CutAfter,
        CommitFault::Delayed(Duration::from_millis(300)),
    ] {
        let trouble = Trouble::start().await;
        trouble.proxy.next_commits(fate, 2);
        let granted = trouble.grant_at_last(Uuid::new_v4()).await;
        let counts = trouble.proxy.counts();
        assert_eq!(
            counts.cut_before + counts.cut_after + counts.late,
            2,
            "{fate:?}: it was met"
        );
        trouble.assert_granted_once(granted).await;
        trouble.end().await;
    }
}

/// What was claimed has its worker, and does not wait until its lease has run out.
#[tokio::test]
async fn a_claim_whose_commit_lost_its_answer_is_worked_on() {
    // Nothing else commits.
    let trouble = Trouble::start_with(&format!("{IMPATIENT}checkpoint.every = \"60s\"\n")).await;
    trouble.proxy.next_commits(CommitFault::CutAfter, 1);
    trouble.stack.leave_pending([key(ACCOUNT, IMAGE, 1)]).await;
    trouble.stack.until_ended("SUCCEEDED", 1).await;
    assert_eq!(trouble.proxy.counts().cut_after, 1, "it was met");
    let lost = "SELECT count(*) FROM change, jsonb_array_elements(attempts) AS attempt
         WHERE attempt->>'error_code' = 'LeaseExpired'";
    let lost: i64 = sqlx::query_scalar(lost).fetch_one(&trouble.stack.pool).await.unwrap();
    assert_eq!(lost, 1, "the lease of the replica that died, and no other");
    trouble.end().await;
}

/// AWS has answered, and Postgres is away for a part of the grace.
#[tokio::test]
async fn an_outcome_that_postgres_does_not_take_at_once_is_recorded_before_the_server_ends() {
    let trouble = Trouble::start_with("database.acquire_timeout = \"500ms\"\n").await;
    trouble.stack.fault(UPDATE, 1, late(1500));
    let granted = spawn_grant(trouble.server.client().await, grant());
    trouble.stack.wait_for_calls(UPDATE, 1).await;
    let Trouble { stack, proxy, server } = trouble;
    proxy.set(Rule::Refuse);
    proxy.cut();
    // Without callers there is nothing to wait for: the end begins at once.
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
        .expect("Postgres is asked again");
    proxy.set(Rule::Pass);
    stopping.await.unwrap();
    assert_eq!(stack.kinds(ACCOUNT).await, ["change.requested", "change.succeeded"]);
    assert_eq!(stack.calls_of(DESCRIBE), 0, "nobody had to find out");
    stack.end().await;
}

/// Replication was asynchronous, and the primary that took over lacks the account's first commit.
#[tokio::test]
async fn an_account_whose_first_commit_was_lost_by_a_failover_is_served() {
    let stack = Stack::start_with("checkpoint.every = \"60s\"\n").await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    let lost = "SET session_replication_role = replica;
         SELECT FROM worker_lease WHERE worker = 'counting' FOR UPDATE;
         TRUNCATE audit_entry, audit_rollup, audit_ranking, audit_ranking_total, audit_summary_progress, share_interval,
             share_permission, request, change, ledger";
    let mut postgres = PgConnection::connect(stack.database.url()).await.unwrap();
    sqlx::raw_sql(lost).execute(&mut postgres).await.unwrap();
    postgres.close().await.unwrap();
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    assert_eq!(stack.kinds(ACCOUNT).await, ["change.requested", "change.succeeded"]);
    stack.end().await;
}

/// More often than a batch is tried: the caller is told that nobody knows, and asks again.
#[tokio::test]
async fn a_grant_that_is_not_on_record_is_not_done() {
    let trouble = Trouble::start().await;
    trouble.proxy.next_commits(CommitFault::CutBefore, 6);
    let id = Uuid::new_v4();
    let unconfirmed = trouble.grant(id).await.unwrap_err();
    assert_eq!(reason(&unconfirmed), "AUDIT_STORE_UNAVAILABLE");
    assert_eq!(trouble.stack.calls_of(UPDATE), 0, "it is not on record");
    trouble.proxy.clear_commit_faults();
    let granted = trouble.grant_at_last(id).await;
    trouble.assert_granted_once(granted).await;
    trouble.end().await;
}

/// The commit happens, and nobody can look whether it did.
#[tokio::test]
async fn a_grant_that_nobody_can_confirm_is_not_done_twice() {
    let trouble = Trouble::start().await;
    // The lane has a connection.
    let mut other = grant();
    other.shared_account_id = OTHER_RECIPIENT.into();
    let mut client = trouble.server.client().await;
    client.grant_share_permission(as_tester(other)).await.unwrap();
    trouble.proxy.next_commits(CommitFault::CutAfter, 1);
    trouble.proxy.set(Rule::Refuse);
    let id = Uuid::new_v4();
    let unconfirmed = trouble.grant(id).await.unwrap_err();
    assert_eq!(reason(&unconfirmed), "AUDIT_STORE_UNAVAILABLE");
    assert_eq!(trouble.proxy.counts().cut_after, 1, "it was met");
    trouble.proxy.set(Rule::Pass);
    let granted = trouble.grant_at_last(id).await;
    assert_eq!(granted.change.unwrap().state(), change::State::Succeeded);
    let kinds = trouble.stack.kinds(ACCOUNT).await;
    assert_eq!(
        kinds,
        [
            "change.requested",
            "change.succeeded",
            "change.requested",
            "change.succeeded"
        ]
    );
    trouble.end().await;
}

/// The outcome is kept by the process until it is durable, however many commits that takes.
#[tokio::test]
async fn an_outcome_is_offered_until_its_commit_is_confirmed() {
    for fate in [CommitFault::CutBefore, CommitFault::CutAfter] {
        let trouble = Trouble::start().await;
        trouble.stack.fault(UPDATE, 1, late(600));
        let granting = spawn_grant(trouble.server.client().await, grant());
        trouble.stack.wait_for_calls(UPDATE, 1).await;
        trouble.proxy.next_commits(fate, 10);
        let granted = granting.await.unwrap().unwrap();
        trouble.assert_granted_once(granted).await;
        trouble.proxy.clear_commit_faults();
        trouble.end().await;
    }
}

#[tokio::test]
async fn locks_that_others_hold_too_long_are_waited_for_again() {
    let trouble = Trouble::start().await;
    let (mut lock, revoking) = trouble.revoke_behind_a_lock().await;
    let begun =
        "SELECT max(xact_start) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let begun: OffsetDateTime = sqlx::query_scalar(begun).fetch_one(&trouble.stack.pool).await.unwrap();
    // The lock timeout that each connection was given, half of the statement timeout, ended that one.
    let again = async {
        let again =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
             AND xact_start > $1";
        while sqlx::query_scalar::<_, i64>(again)
            .bind(begun)
            .fetch_one(&trouble.stack.pool)
            .await
            .unwrap()
            == 0
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, again).await.expect("it is run again");
    lock.run("COMMIT").await;
    revoking.await.unwrap().unwrap();
    trouble.end().await;
}

#[tokio::test]
async fn a_deadlock_that_postgres_resolves_against_us_is_run_again() {
    let trouble = Trouble::start_with(PATIENT).await;
    trouble.grant(Uuid::new_v4()).await.unwrap();
    set_for_all(&trouble.stack, "deadlock_timeout = '50ms'").await;
    trouble.proxy.cut();
    let mut other = Beside::begin(&trouble.stack).await;
    other.run("SELECT 1 FROM share_permission FOR UPDATE").await;
    // It does not look for deadlocks: who looks is the one that gives up.
    other.run("SET LOCAL deadlock_timeout = '1h'").await;

    let revoking = trouble.spawn_revoke().await;
    // The batch has the head and waits for the permission; the other waits for the head.
    waiting_for_locks(&trouble.stack, 1).await;
    let other = tokio::spawn(async move {
        other.run("SELECT 1 FROM ledger FOR UPDATE").await;
        other.run("COMMIT").await;
    });
    let resolved = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    until(&trouble.stack.pool, resolved, 1).await;
    other.await.unwrap();
    revoking.await.unwrap().unwrap();
    trouble.end().await;
}

/// A bare read could come from a server that only reads, or see what no standby has yet.
#[tokio::test]
async fn a_replay_is_answered_behind_the_lock_of_the_head() {
    let trouble = Trouble::start().await;
    let id = Uuid::new_v4();
    let granted = trouble.grant(id).await.unwrap();
    let mut lock = Beside::begin(&trouble.stack).await;
    lock.run("SELECT 1 FROM ledger FOR UPDATE").await;
    let mut request = grant();
    request.request_id = id.to_string();
    let replaying = spawn_grant(trouble.server.client().await, request);
    waiting_for_locks(&trouble.stack, 1).await;
    lock.run("COMMIT").await;
    let replayed = replaying.await.unwrap().unwrap();
    assert!(replayed.replayed);
    assert_eq!(replayed.change, granted.change);
    trouble.end().await;
}

/// Who changes rows by hand does not raise the version of the head.
#[tokio::test]
async fn a_batch_of_which_a_row_is_gone_is_not_saved_by_half() {
    let trouble = Trouble::start().await;
    let (mut lock, revoking) = trouble.revoke_behind_a_lock().await;
    lock.run("DELETE FROM share_permission").await;
    lock.run("COMMIT").await;
    let refused = revoking.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Internal, "{refused:?}");
    assert_eq!(
        trouble.stack.kinds(ACCOUNT).await,
        ["change.requested", "change.succeeded"]
    );
    let changes: i64 = sqlx::query_scalar("SELECT count(*) FROM change")
        .fetch_one(&trouble.stack.pool)
        .await
        .unwrap();
    assert_eq!(changes, 1);
    trouble.end().await;
}

#[tokio::test]
async fn a_transaction_that_must_be_serialized_is_run_again() {
    let trouble = Trouble::start().await;
    trouble.grant(Uuid::new_v4()).await.unwrap();
    set_for_all(&trouble.stack, "default_transaction_isolation = 'repeatable read'").await;
    trouble.proxy.cut();
    let mut lock = Beside::begin(&trouble.stack).await;
    // The batch has its snapshot before this is committed.
    lock.run("UPDATE ledger SET size = size").await;
    let revoking = trouble.spawn_revoke().await;
    waiting_for_locks(&trouble.stack, 1).await;
    lock.run("COMMIT").await;
    revoking.await.unwrap().unwrap();
    trouble.end().await;
}

#[tokio::test]
async fn sessions_that_an_administrator_ends_are_replaced() {
    let trouble = Trouble::start().await;
    let (mut lock, revoking) = trouble.revoke_behind_a_lock().await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let ended: i64 = sqlx::query_scalar(end).fetch_one(&trouble.stack.pool).await.unwrap();
    assert_eq!(ended, 1);
    lock.run("COMMIT").await;
    revoking.await.unwrap().unwrap();
    trouble.end().await;
}

/// The old primary only reads, and lives on; the address leads to the new one. Its connections must not stay in the pool.
#[tokio::test]
async fn connections_to_a_primary_that_was_replaced_are_left() {
    let mut stack = Stack::start().await;
    let (mut other, name) = (grant(), database_name(stack.database.url()).to_owned());
    other.shared_account_id = OTHER_RECIPIENT.into();
    // It stands for what would have been replicated.
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
    prepare(&url).await;
    let proxy = Proxy::start(&url).await;
    let config = config(&proxy.url(&url), &stack.simulator.url(), IMPATIENT);
    let server = RunningServer::start(&config, Clock::system()).await;
    let trouble = Trouble { stack, proxy, server };
    trouble.grant(Uuid::new_v4()).await.unwrap();

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
            // The sessions hear of it a moment later.
            match trouble.grant(Uuid::new_v4()).await {
                // Accepted just before: its end cannot be recorded any more.
                Err(pending) if reason(&pending) == "CHANGE_PENDING" => {}
                Err(refused) => return refused,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    let refused = tokio::time::timeout(TIMEOUT, refused).await.unwrap();
    assert_eq!(reason(&refused), "AUDIT_STORE_UNAVAILABLE", "it only reads");
    let calls = trouble.stack.calls_of(UPDATE);
    trouble.proxy.retarget(trouble.stack.database.url());
    let granted = trouble.grant_at_last(id).await;
    assert_eq!(granted.change.unwrap().state(), change::State::Succeeded);
    assert_eq!(trouble.stack.calls_of(UPDATE), calls + 1);
    let kinds = trouble.stack.kinds(ACCOUNT).await;
    assert_eq!(
        kinds,
        [
            "change.requested",
            "change.succeeded",
            "change.requested",
            "change.succeeded"
        ],
        "on the new one"
    );
    admin.close().await.unwrap();
    trouble.end().await;
    old.stop();
}

/// A notification is a hint: the row is the truth.
#[tokio::test]
async fn a_waiter_that_hears_no_notification_learns_by_looking() {
    let trouble = Trouble::start().await;
    let listening =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
    until(&trouble.stack.pool, listening, 1).await;
    // The lane of the account has a connection.
    let mut other = grant();
    other.shared_account_id = OTHER_RECIPIENT.into();
    let mut client = trouble.server.client().await;
    client.grant_share_permission(as_tester(other)).await.unwrap();
    // From now on nobody can make another one; those that there are go on.
    trouble.proxy.set(Rule::Refuse);
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
    sqlx::query(ended).execute(&trouble.stack.pool).await.unwrap();
    until(&trouble.stack.pool, listening, 0).await;

    trouble.stack.hold();
    let other = trouble.stack.second_server("").await;
    let mut request = grant();
    request.request_id = Uuid::new_v4().to_string();
    let first = spawn_grant(other.client().await, request.clone());
    trouble.stack.wait_for_calls(UPDATE, 2).await;
    let here = spawn_grant(trouble.server.client().await, request);
    trouble
        .stack
        .wait_for_calls(UPDATE, trouble.stack.calls_of(UPDATE) + 2)
        .await;
    trouble.stack.release();
    let granted = here.await.unwrap().unwrap();
    assert!(granted.replayed);
    assert_eq!(granted.change, first.await.unwrap().unwrap().change);
    trouble.proxy.set(Rule::Pass);
    other.stop().await;
    trouble.end().await;
}

impl Trouble {
    /// A revoke that waits for the head's lock, in the middle of its transaction, and who has that lock.
    async fn revoke_behind_a_lock(&self) -> (Beside, JoinHandle<Result<(), Status>>) {
        self.grant(Uuid::new_v4()).await.unwrap();
        let mut lock = Beside::begin(&self.stack).await;
        lock.run("SELECT 1 FROM ledger FOR UPDATE").await;
        let revoking = self.spawn_revoke().await;
        waiting_for_locks(&self.stack, 1).await;
        (lock, revoking)
    }

    async fn spawn_revoke(&self) -> JoinHandle<Result<(), Status>> {
        let mut client = self.server.client().await;
        tokio::spawn(async move { client.revoke_share_permission(as_tester(revoke())).await.map(drop) })
    }
}

/// A transaction of somebody else.
struct Beside(PgConnection);

impl Beside {
    async fn begin(stack: &Stack) -> Self {
        let mut beside = Self(PgConnection::connect(stack.database.url()).await.unwrap());
        beside.run("BEGIN").await;
        beside
    }

    async fn run(&mut self, statement: &'static str) {
        sqlx::query(statement).execute(&mut self.0).await.unwrap();
    }
}

/// So many sessions wait for the head's lock.
async fn waiting_for_locks(stack: &Stack, count: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
         AND wait_event_type = 'Lock' AND query ILIKE '%ledger%'";
    until(&stack.pool, waiting, count).await;
}

/// A setting of all sessions that begin from now on.
async fn set_for_all(stack: &Stack, setting: &str) {
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

/// A database with the current schema.
async fn prepare(url: &str) {
    Database::create_if_missing(&url.into()).await.unwrap();
    let settings = DatabaseConfig {
        url: url.into(),
        max_connections: 1,
        acquire_timeout: TIMEOUT,
        statement_timeout: TIMEOUT,
    };
    let database = Database::new(&settings, &Clock::system()).unwrap();
    database.migrate().await.unwrap();
    database.close().await;
}
