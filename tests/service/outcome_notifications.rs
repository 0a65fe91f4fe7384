//! Waiters for a change that another replica ends: they wake on a notification, or on a poll if the notification is lost.
//!
//! The waiters run without a server here, so only the tested mechanism can wake them.

use std::{pin::pin, time::Duration};

use sharewarden::{
    clock::Clock,
    config::DatabaseConfig,
    domain::{AccountId, ChangeId, ChangeState, Timestamp},
    store::{Database, Notifications, OutcomeWaiter, Outcomes},
    telemetry::Instruments,
    worker::Supervisor,
};
use sharewarden_client::proto::v1::change;
use sharewarden_testkit::stack::*;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Shorter than the server's interval, so that the tests are fast.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_notification_alone_wakes_a_waiter() {
    let stack = Stack::start().await;
    stack.hold();
    // The clock of the waiters stands still, so they never poll.
    let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
    let remote = RemoteWaiters::start(&stack, clock).await;
    wait_for_listeners(&stack, 2).await;
    let call = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;
    let mut waiter = remote.wait_for(stack.only_change().await);

    stack.release();
    let ended = tokio::time::timeout(TIMEOUT, waiter.ended())
        .await
        .expect("the notification wakes the waiter");
    assert_eq!(ended.change.state, ChangeState::Succeeded);
    call.await.unwrap().unwrap();
    remote.stop().await;
    stack.end().await;
}

#[tokio::test]
async fn polling_finds_a_change_without_a_notification() {
    let stack = Stack::start().await;
    let (stack, change) = pending_change_without_server(stack).await;
    let remote = RemoteWaiters::start(&stack, Clock::system()).await;
    let mut waiter = remote.wait_for(change);
    wait_for_listeners(&stack, 1).await;
    end_without_notification(&stack).await;
    let ended = tokio::time::timeout(TIMEOUT, waiter.ended())
        .await
        .expect("the poll wakes the waiter");
    assert_eq!(ended.change.id(), ChangeId(change));
    remote.stop().await;
    stack.end().await;
}

#[tokio::test]
async fn an_end_that_only_the_last_read_of_a_call_sees_is_its_answer() {
    // The clock stands still, so nothing polls. The call waits long enough for the row to be changed.
    let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
    let mut stack = Stack::start_on("server.max_wait = \"5s\"\n", clock).await;
    stack.hold();
    let call = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;
    end_without_notification(&stack).await;
    let change = call.await.unwrap().expect("the change has succeeded").change.unwrap();
    assert_eq!(change.state(), change::State::Succeeded);
    stack.stop_server().await;
    stack.end().await;
}

#[tokio::test]
async fn notifications_of_other_changes_do_not_delay_polling() {
    let stack = Stack::start().await;
    let (stack, change) = pending_change_without_server(stack).await;
    let remote = RemoteWaiters::start(&stack, Clock::system()).await;
    let mut waiter = remote.wait_for(change);
    wait_for_listeners(&stack, 1).await;
    let mut busy = PgConnection::connect(stack.database.url()).await.unwrap();
    let mut notifications = pin!(async {
        loop {
            sqlx::query("SELECT pg_notify('sharewarden_change_ended', gen_random_uuid()::text)")
                .execute(&mut busy)
                .await
                .unwrap();
        }
    });
    end_without_notification(&stack).await;
    let ended = async {
        tokio::select! {
            ended = waiter.ended() => ended,
            () = &mut notifications => unreachable!("they never end"),
        }
    };
    let ended = tokio::time::timeout(TIMEOUT, ended)
        .await
        .expect("the poll wakes the waiter");
    assert_eq!(ended.change.id(), ChangeId(change));
    remote.stop().await;
    stack.end().await;
}

/// The outcome waiters of another replica, without its other parts.
struct RemoteWaiters {
    outcomes: Outcomes,
    database: Database,
    stop: CancellationToken,
    watching: JoinHandle<()>,
    listening: JoinHandle<()>,
}

impl RemoteWaiters {
    async fn start(stack: &Stack, clock: Clock) -> Self {
        let settings = DatabaseConfig {
            url: stack.database.url().into(),
            max_connections: 4,
            acquire_timeout: TIMEOUT,
            statement_timeout: TIMEOUT,
        };
        let (database, notifications, stop) = (
            Database::new(&settings, &Clock::system()).unwrap(),
            Notifications::default(),
            CancellationToken::new(),
        );
        let outcomes = notifications.outcomes.clone();
        let supervisor = Supervisor::new(&clock, &Instruments::default(), &stop);
        let listening = tokio::spawn(notifications.listen(database.clone(), clock, stop.clone()));
        let watching = tokio::spawn(supervisor.run(outcomes.watch(database.clone(), POLL_INTERVAL)));
        Self {
            outcomes,
            database,
            stop,
            watching,
            listening,
        }
    }

    fn wait_for(&self, change: Uuid) -> OutcomeWaiter {
        let account: AccountId = ACCOUNT.parse().unwrap();
        self.outcomes.wait_for(account, ChangeId(change))
    }

    async fn stop(self) {
        self.stop.cancel();
        self.watching.await.unwrap();
        self.listening.await.unwrap();
        self.database.close().await;
    }
}

/// Waits until `count` connections listen for notifications.
async fn wait_for_listeners(stack: &Stack, count: i64) {
    let listening = async {
        loop {
            let listeners: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND state = 'idle' AND query ILIKE 'LISTEN%'",
            )
            .fetch_one(&stack.pool)
            .await
            .unwrap();
            if listeners >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, listening)
        .await
        .expect("the connections listen in time");
}

/// An accepted change, after its server has stopped.
async fn pending_change_without_server(mut stack: Stack) -> (Stack, Uuid) {
    stack.hold();
    let call = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;
    let change = stack.only_change().await;
    call.abort();
    let _ = call.await;
    stack.stop_server().await;
    (stack, change)
}

/// Ends the change in its row, without a notification.
async fn end_without_notification(stack: &Stack) {
    let ended = sqlx::query("UPDATE change SET state = 'SUCCEEDED', ended_at = now() WHERE state = 'PENDING'")
        .execute(&stack.pool)
        .await
        .unwrap();
    assert_eq!(ended.rows_affected(), 1, "the change was pending");
}
