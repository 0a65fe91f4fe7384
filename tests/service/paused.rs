//! A process is stopped for longer than its lease, and runs again.

use std::time::Duration;

use rustix::process::Signal;
use sharewarden::{clock::Clock, domain::Timestamp};
use sharewarden_simulator::{Effect, Fault, FaultTiming};
use sharewarden_testkit::{postgres::database, stack::*};
use sqlx::PgPool;

use crate::processes::{SHORT_LEASE, ServerProcess, line_with, signal};

#[tokio::test]
async fn a_call_whose_lease_ended_before_it_was_sent_is_not_sent() {
    let clock = Clock::manual(Timestamp::parse("2026-11-28T00:00:00Z").unwrap());
    let stack = Stack::start_on("aws.verify_identity = false\n", clock.clone()).await;
    // The call waits for credentials.
    stack.fault("AssumeRole", 1, late(500));
    let granting = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls("AssumeRole", 1).await;
    clock.advance(Duration::from_secs(30));
    let ended = async {
        while stack.changes("SUCCEEDED").await == 0 {
            clock.advance(Duration::from_millis(50));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, ended).await.expect("the change ends");
    assert_eq!(stack.calls_of(UPDATE), 1);
    let attempts: serde_json::Value = sqlx::query_scalar("SELECT attempts FROM change")
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    assert_eq!(attempts[0]["classification"], "NOT_SENT", "{attempts}");
    assert_eq!(attempts[0]["error_code"], "LeaseEnded", "{attempts}");
    granting.abort();
    stack.end().await;
}

/// AWS cannot be told that a call which it has received is void, so the two calls overlap. They ask for the same.
#[tokio::test]
async fn a_process_that_was_stopped_during_its_call_does_nothing_more_when_another_one_has_taken_over() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let config = config_text(database.url(), &simulator.url(), SHORT_LEASE);
    let mut stopped = ServerProcess::start(&config).await;
    let hang = Fault::new(Effect::Hang {
        moment: FaultTiming::BeforeApplying,
        at_most_milliseconds: 60_000,
    });
    simulator.inject(hang.operation(UPDATE).calls(1)).unwrap();
    let call = spawn_grant(stopped.client().await, grant());
    let reached = simulator.wait_for_calls(|calls| calls.iter().any(|call| call.operation == UPDATE));
    tokio::time::timeout(TIMEOUT, reached).await.unwrap();
    signal(&stopped.child, Signal::STOP);

    let mut other = ServerProcess::start(&config).await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    until(&pool, "SELECT count(*) FROM change WHERE state = 'SUCCEEDED'", 1).await;
    let made = || simulator.calls().iter().filter(|call| is_for_change(call)).count();
    let before = made();
    signal(&stopped.child, Signal::CONT);
    line_with(&mut stopped.log, "the lease was lost before this outcome was saved").await;
    assert_eq!(made(), before, "it called AWS no more");
    let kinds: Vec<String> = sqlx::query_scalar("SELECT kind FROM audit_entry ORDER BY log_index")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(kinds, ["change.requested", "change.succeeded"]);
    call.abort();
    pool.close().await;
    stopped.stop().await;
    other.stop().await;
    simulator.shutdown().await;
}
