//! The log never blocks the service, and a graceful shutdown loses no line.

use rustix::process::Signal;
use sharewarden_testkit::{postgres::database, stack::*};

use crate::{metrics::Scraped, program::Served};

#[tokio::test]
async fn a_stuck_log_reader_does_not_block_the_service() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let more =
        "log.filter = \"info,sharewarden=trace,h2=trace,hyper=trace,tower=trace\"\nadmin.listen = \"127.0.0.1:0\"\n";
    let mut served = Served::start(&config_text(database.url(), &simulator.url(), more)).await;
    let mut client = served.client().await;
    // From here on nobody reads the log.
    let flooded = async {
        loop {
            for _ in 0..100 {
                client.get_share_permission(as_tester(get())).await.unwrap_err();
            }
            let dropped = Scraped::of(&served)
                .await
                .value("sharewarden_log_dropped_lines_total", &[]);
            if dropped > Some(0.0) {
                return;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, flooded)
        .await
        .expect("calls are answered, and log lines are dropped");
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    // When the log is read again, it says how many lines were dropped. The shutdown is not delayed.
    served.signal(Signal::TERM);
    let log = served.rest_of_the_log().await;
    assert!(served.ended().await.success());
    let warning = log.iter().find(|line| {
        line["message"]
            .as_str()
            .is_some_and(|message| message.starts_with("lines of the log were dropped"))
    });
    assert!(
        warning.is_some_and(|line| line["lines"].as_u64() > Some(0)),
        "{:?}",
        log.last()
    );
    simulator.shutdown().await;
}

fn get() -> sharewarden::proto::v1::GetSharePermissionRequest {
    sharewarden::proto::v1::GetSharePermissionRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: OTHER_RECIPIENT.into(),
    }
}

#[tokio::test]
async fn a_process_stops_even_if_nobody_reads_its_log() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let more = "log.filter = \"info,h2=trace\"\n";
    let mut served = Served::start(&config_text(database.url(), &simulator.url(), more)).await;
    let mut client = served.client().await;
    for _ in 0..300 {
        client.get_share_permission(as_tester(get())).await.unwrap_err();
    }
    drop(client);
    served.signal(Signal::TERM);
    assert!(served.ended().await.success());
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_graceful_shutdown_loses_no_log_lines() {
    const CALLS: usize = 500;
    let (database, simulator) = tokio::join!(database(), simulator());
    let more = "log.filter = \"info\"\n";
    let served = Served::start(&config_text(database.url(), &simulator.url(), more)).await;
    let mut client = served.client().await;
    for _ in 0..CALLS {
        client.get_share_permission(as_tester(get())).await.unwrap_err();
    }
    drop(client);
    let log = served.stop().await;
    let ended = log.iter().filter(|line| line["message"] == "the call ended").count();
    assert_eq!(ended, CALLS);
    assert_eq!(log.last().unwrap()["message"], "stopped");
    simulator.shutdown().await;
}

#[tokio::test]
async fn an_immediate_stop_still_writes_the_last_log_lines() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let hang = sharewarden_simulator::Effect::Hang {
        moment: sharewarden_simulator::FaultTiming::BeforeApplying,
        at_most_milliseconds: 60_000,
    };
    simulator
        .inject(sharewarden_simulator::Fault::new(hang).operation(UPDATE).calls(1))
        .unwrap();
    let more = "log.filter = \"info\"\n";
    let mut served = Served::start(&config_text(database.url(), &simulator.url(), more)).await;
    let call = spawn_grant(served.client().await, grant());
    let reached = simulator.wait_for_calls(|calls| calls.iter().any(|call| call.operation == UPDATE));
    tokio::time::timeout(TIMEOUT, reached).await.unwrap();
    // Wait until the first signal is handled before the second is sent.
    served.signal(Signal::TERM);
    served.line("stopping").await;
    served.signal(Signal::TERM);
    let log = served.rest_of_the_log().await;
    assert_eq!(served.ended().await.code(), Some(143));
    // Another task may log a line after it.
    let mut messages = log.iter().map(|line| line["message"].as_str().unwrap());
    assert!(
        messages.any(|message| message.starts_with("a second signal")),
        "{log:?}"
    );
    call.abort();
    simulator.shutdown().await;
}
