//! Watches of ledgers.

use std::time::Duration;

use sharewarden::{
    clock::Clock,
    domain::Timestamp,
    proto::v1::{
        GrantSharePermissionRequest, WatchAuditEntriesRequest, WatchPosition, watch_audit_entries_request::Start,
        watch_audit_entries_response::Event,
    },
};
use sharewarden_testkit::stack::*;
use tonic::{Code, transport::Endpoint};
use tonic_types::StatusExt;

use crate::audit::*;

fn now() -> WatchAuditEntriesRequest {
    WatchAuditEntriesRequest::default()
}

fn from_beginning() -> WatchAuditEntriesRequest {
    watch_from(&Positions::new(), Start::Beginning)
}

/// With the longest reasons, 120 grants need more than the flow-control window of [`slow_audit`] (64 KiB) and the server's stream
/// buffer (400 KiB). They also make more batches than the ring holds.
const GRANTS: usize = 120;

async fn grant_with_long_reasons(stack: &Stack, count: usize) {
    let mut client = stack.client().await;
    for number in 0..count {
        let request = GrantSharePermissionRequest {
            reason: "long ".repeat(204) + "4321",
            ..nth_grant(number)
        };
        client.grant_share_permission(as_tester(request)).await.unwrap();
    }
}

/// A connection for a slow client, with HTTP/2's default windows of 65,535 bytes.
async fn slow_audit(stack: &Stack) -> AuditClient {
    let endpoint = Endpoint::from_shared(format!("http://{}", stack.address)).unwrap();
    let endpoint = endpoint.initial_stream_window_size(65_535);
    AuditClient::new(endpoint.initial_connection_window_size(65_535).connect().await.unwrap())
}

#[tokio::test]
async fn a_watch_from_now_sends_new_entries_also_of_new_accounts() {
    let stack = Stack::start().await;
    stack.grant_many(0, 2).await;
    let mut watcher = Watcher::start(stack.audit().await, now()).await.unwrap();
    assert_eq!(watcher.positions, Positions::from([(ACCOUNT.into(), 4)]));

    stack.grant_many(2, 1).await;
    watcher.until(ACCOUNT, 6).await;
    let refused = stack.client().await.grant_share_permission(as_tester(denied())).await;
    assert_eq!(reason(&refused.unwrap_err()), "POLICY_DENIED");
    watcher.until(OTHER_ACCOUNT, 1).await;
    assert_eq!(watcher.seen.len(), 3);
    assert_eq!(watcher.canonical(ACCOUNT), stack.lines(ACCOUNT).await[4..]);
    assert_eq!(watcher.canonical(OTHER_ACCOUNT), stack.lines(OTHER_ACCOUNT).await);
    stack.end().await;
}

#[tokio::test]
async fn a_watch_from_an_index_sends_existing_entries_and_then_new_ones() {
    let stack = Stack::start().await;
    stack.grant_many(0, 3).await;
    let positions = Positions::from([(ACCOUNT.into(), 3)]);
    let request = WatchAuditEntriesRequest {
        account_ids: vec![ACCOUNT.into(), OTHER_ACCOUNT.into()],
        ..watch_from(&positions, Start::Now)
    };
    let mut watcher = Watcher::start(stack.audit().await, request).await.unwrap();
    assert_eq!(watcher.positions, positions);
    watcher.until(ACCOUNT, 6).await;
    stack.grant_many(3, 1).await;
    watcher.until(ACCOUNT, 8).await;
    assert_eq!(watcher.canonical(ACCOUNT), stack.lines(ACCOUNT).await[3..]);
    stack.end().await;
}

#[tokio::test]
async fn a_watch_sends_only_the_requested_accounts() {
    let stack = Stack::start().await;
    let request = WatchAuditEntriesRequest {
        account_ids: vec![OTHER_ACCOUNT.into()],
        ..from_beginning()
    };
    let mut watcher = Watcher::start(stack.audit().await, request).await.unwrap();
    stack.grant_many(0, 1).await;
    let _ = stack.client().await.grant_share_permission(as_tester(denied())).await;
    watcher.until(OTHER_ACCOUNT, 1).await;
    assert_eq!(watcher.seen.len(), 1);
    stack.end().await;
}

#[tokio::test]
async fn an_invalid_watch_request_is_refused_with_all_violations() {
    let stack = Stack::start().await;
    let position = |account: &str, next_index| WatchPosition {
        account_id: account.into(),
        next_index,
    };
    let request = WatchAuditEntriesRequest {
        account_ids: vec![ACCOUNT.into(), "12".into()],
        positions: vec![
            position(ACCOUNT, 0),
            position(ACCOUNT, u64::MAX),
            position(OTHER_ACCOUNT, 0),
            position("", 0),
        ],
        start: 9,
    };
    let status = Watcher::start(stack.audit().await, request).await.err().unwrap();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INVALID_FIELDS")
    );
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    let expected = [
        "account_ids[1]",
        "positions[1].next_index",
        "positions[1].account_id",
        "positions[2].account_id",
        "positions[3].account_id",
        "start",
    ];
    assert_eq!(fields, expected);

    // The status fits into the response metadata, even with 20,000 violations.
    let request = WatchAuditEntriesRequest {
        positions: vec![position("", 0); 20_000],
        ..Default::default()
    };
    let status = Watcher::start(stack.audit().await, request).await.err().unwrap();
    assert_eq!(reason(&status), "INVALID_FIELDS");
    assert!(status.details().len() + status.message().len() < 6 * 1024);

    let beyond = watch_from(&Positions::from([(ACCOUNT.into(), 1)]), Start::Now);
    let status = Watcher::start(stack.audit().await, beyond).await.err().unwrap();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, "ENTRY_NOT_FOUND")
    );
    assert_eq!(detail(&status, "tree_size"), "0");
    stack.end().await;
}

#[tokio::test]
async fn a_quiet_watch_gets_a_heartbeat_with_the_time_of_the_database() {
    let clock = Clock::manual(Timestamp::parse("2020-11-22T00:00:00Z").unwrap());
    let stack = Stack::start_on("", clock.clone()).await;
    let mut watcher = Watcher::start(stack.audit().await, now()).await.unwrap();
    let started: i64 = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::bigint")
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    let beat = watcher.next();
    tokio::pin!(beat);
    let mut advanced = 0;
    let event = loop {
        tokio::select! {
            event = &mut beat => break event.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                clock.advance(Duration::from_secs(1));
                advanced += 1;
            }
        }
    };
    let Event::Heartbeat(beat) = event else {
        panic!("{event:?}")
    };
    // The clock of this replica is years behind.
    assert!(beat.time.unwrap().seconds >= started - 1, "on the database's clock");
    assert!(advanced >= 15, "{advanced}");
    stack.end().await;
}

#[tokio::test]
async fn a_shutdown_ends_watches_at_once_with_retry_info() {
    let mut stack = Stack::start_with("server.shutdown_grace = \"50s\"\n").await;
    let mut watcher = Watcher::start(stack.audit().await, now()).await.unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(20), stack.stop_server()).await;
    stopped.expect("the watch does not delay the shutdown");
    let status = watcher.next().await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unavailable, "SERVER_STOPPING")
    );
    assert!(status.get_details_retry_info().is_some());
    stack.end().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_does_not_delay_a_shutdown() {
    let mut stack = Stack::start_with("server.shutdown_grace = \"50s\"\n").await;
    let watcher = Watcher::start(slow_audit(&stack).await, from_beginning())
        .await
        .unwrap();
    grant_with_long_reasons(&stack, GRANTS).await;
    let stopped = tokio::time::timeout(Duration::from_secs(20), stack.stop_server()).await;
    stopped.expect("the watch does not delay the shutdown");
    drop(watcher);
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_watchers_all_get_an_entry() {
    let stack = Stack::start_with("server.max_open_streams_per_principal = 500\n").await;
    let mut watchers = Vec::new();
    for _ in 0..5 {
        let audit = stack.audit().await;
        for _ in 0..100 {
            watchers.push(tokio::spawn(Watcher::start(audit.clone(), now())));
        }
    }
    let mut watching = Vec::new();
    for watcher in watchers {
        watching.push(watcher.await.unwrap().unwrap());
    }
    stack.grant_many(0, 1).await;
    for mut watcher in watching {
        watcher.until(ACCOUNT, 2).await;
        assert_eq!(watcher.seen.len(), 2);
    }
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_delays_nobody_and_gets_every_entry() {
    let stack = Stack::start().await;
    // Two connections, because flow control is also per connection.
    let mut slow = Watcher::start(slow_audit(&stack).await, from_beginning())
        .await
        .unwrap();
    let mut fast = Watcher::start(stack.audit().await, from_beginning()).await.unwrap();
    let reading = tokio::spawn(async move {
        fast.until(ACCOUNT, 2 * GRANTS as u64).await;
        fast
    });
    grant_with_long_reasons(&stack, GRANTS).await;
    let fast = within("the fast watch is not delayed", reading).await.unwrap();
    slow.until(ACCOUNT, 2 * GRANTS as u64).await;
    assert_eq!(slow.canonical(ACCOUNT), fast.canonical(ACCOUNT));
    assert_eq!(slow.canonical(ACCOUNT), stack.lines(ACCOUNT).await);
    stack.end().await;
}
