//! Graceful shutdown of real processes by real signals.

use std::time::Duration;

use rustix::process::Signal;
use sharewarden::{
    clock::Clock,
    proto::v1::{GrantSharePermissionRequest, change},
};
use sharewarden_simulator::{Effect, Fault, FaultTiming, Simulator};
use sharewarden_testkit::{postgres::database, stack::*};
use sqlx::PgPool;
use tonic::Code;
use tonic_types::StatusExt;

use crate::processes::{ServerProcess, line_with, signal};

/// The lease and the recovery interval. A change that ends much earlier was not recovered.
const LEASE: Duration = Duration::from_secs(120);

/// One change at a time. No lease expires and no recovery runs during a test.
const NO_RECOVERY: &str = "log.filter = \"info\"
forwarder.max_in_flight = 1
forwarder.lease = \"120s\"
forwarder.recover_every = \"120s\"
";

fn grant_to(number: usize) -> GrantSharePermissionRequest {
    GrantSharePermissionRequest {
        shared_account_id: format!("5000000000{number:02}"),
        ..grant()
    }
}

async fn wait_for_update(simulator: &Simulator) {
    let reached = simulator.wait_for_calls(|calls| calls.iter().any(|call| call.operation == UPDATE));
    tokio::time::timeout(TIMEOUT, reached).await.unwrap();
}

async fn wait_for_changes(pool: &PgPool, count: i64) {
    until(pool, "SELECT count(*) FROM change", count).await;
}

fn slow_update(milliseconds: u64) -> Fault {
    Fault::new(late(milliseconds)).operation(UPDATE).calls(1)
}

#[tokio::test]
async fn work_given_back_at_shutdown_is_finished_by_another_server_at_once() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let config = config_text(database.url(), &simulator.url(), NO_RECOVERY);
    let mut first = ServerProcess::start(&config).await;
    let mut second = ServerProcess::start(&config).await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    simulator.inject(slow_update(1500)).unwrap();
    let mut calls = vec![spawn_grant(first.client().await, grant_to(0))];
    wait_for_update(&simulator).await;
    for number in 1..4 {
        calls.push(spawn_grant(first.client().await, grant_to(number)));
    }
    wait_for_changes(&pool, 4).await;
    // Without open calls the forwarder stops at once.
    calls.iter().for_each(|call| call.abort());
    let begun = Clock::system().monotonic_now();
    signal(&first.child, Signal::TERM);

    let succeeded = "SELECT count(*) FROM change WHERE state = 'SUCCEEDED' AND jsonb_array_length(attempts) = 1";
    until(&pool, succeeded, 4).await;
    let ended = tokio::time::timeout(TIMEOUT, first.child.wait()).await.unwrap();
    assert_eq!(ended.unwrap().code(), Some(0));
    let took = Clock::system().monotonic_now().since(begun);
    assert!(took < LEASE / 2, "{took:?}");
    assert_eq!(simulator.shared_accounts(ACCOUNT, REGION, IMAGE).len(), 4);

    signal(&second.child, Signal::TERM);
    assert!(second.child.wait().await.unwrap().success());
    pool.close().await;
    simulator.shutdown().await;
}

#[tokio::test]
async fn callers_of_a_stopping_server_get_outcomes_from_another_server() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let more = format!("{NO_RECOVERY}server.shutdown_grace = \"16s\"\n");
    let config = config_text(database.url(), &simulator.url(), &more);
    let mut first = ServerProcess::start(&config).await;
    let mut second = ServerProcess::start(&config).await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    // 9 s is more than half of the grace period, so that the other changes are given back, and less than all of it.
    simulator.inject(slow_update(9000)).unwrap();
    let mut client = first.client().await;
    let mut calls = vec![spawn_grant(client.clone(), grant_to(0))];
    wait_for_update(&simulator).await;
    for number in 1..4 {
        calls.push(spawn_grant(first.client().await, grant_to(number)));
    }
    wait_for_changes(&pool, 4).await;
    signal(&first.child, Signal::TERM);
    line_with(&mut first.log, "\"stopping\"").await;
    let refused = async {
        loop {
            // The connection stays open until its call ends. New calls on it are refused once health says NOT_SERVING.
            match client.grant_share_permission(as_tester(grant_to(9))).await {
                Ok(_) => {}
                Err(refused) => return refused,
            }
        }
    };
    let refused = tokio::time::timeout(TIMEOUT, refused)
        .await
        .expect("a new call is refused");
    match refused.get_details_error_info() {
        Some(info) => assert_eq!(
            (info.reason.as_str(), refused.code()),
            ("SERVER_STOPPING", Code::Unavailable)
        ),
        // The connection was closed before the call was sent. This status comes from the client library.
        None => assert!(
            matches!(refused.code(), Code::Unavailable | Code::Cancelled),
            "{refused:?}"
        ),
    }
    for call in calls {
        let change = call.await.unwrap().unwrap().change.unwrap();
        assert_eq!(change.state(), change::State::Succeeded);
    }
    let ended = tokio::time::timeout(TIMEOUT, first.child.wait()).await.unwrap();
    assert_eq!(ended.unwrap().code(), Some(0));
    signal(&second.child, Signal::TERM);
    assert!(second.child.wait().await.unwrap().success());
    pool.close().await;
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    for (second, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let (database, simulator) = tokio::join!(database(), simulator());
        let more = format!(
            "{NO_RECOVERY}forwarder.attempt_timeout = \"60s\"\nserver.shutdown_grace = \"100s\"\nserver.max_wait = \"100s\"\n"
        );
        let mut served = ServerProcess::start(&config_text(database.url(), &simulator.url(), &more)).await;
        let hang = Effect::Hang {
            moment: FaultTiming::BeforeApplying,
            at_most_milliseconds: 60_000,
        };
        simulator.inject(Fault::new(hang).operation(UPDATE)).unwrap();
        let call = spawn_grant(served.client().await, grant());
        wait_for_update(&simulator).await;
        signal(&served.child, Signal::TERM);
        line_with(&mut served.log, "\"stopping\"").await;
        let begun = Clock::system().monotonic_now();
        signal(&served.child, second);
        let ended = tokio::time::timeout(TIMEOUT, served.child.wait()).await.unwrap();
        assert_eq!(ended.unwrap().code(), Some(code));
        let took = Clock::system().monotonic_now().since(begun);
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert!(call.await.unwrap().is_err());
        simulator.shutdown().await;
    }
}
