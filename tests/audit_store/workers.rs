//! Leases of workers that run on one replica at a time.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use sharewarden::{
    clock::Clock,
    domain::{ReplicaId, Timestamp},
    store::{OneAcrossReplicas, StoreError, summaries::Counting},
    telemetry::Instruments,
    worker::{NextRound, Supervisor, Trigger, Worker},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use sharewarden_testkit::stack::*;

use crate::{recount::assert_summaries_are_exact, store::*};

const EVERY: Duration = Duration::from_secs(5);

/// A worker that counts its rounds. A round waits for `hold`, if there is one.
#[derive(Clone, Default)]
struct RoundCounter {
    begun: Arc<AtomicU32>,
    hold: Option<Arc<Notify>>,
}

impl Worker for RoundCounter {
    /// The name of an existing lease row.
    const NAME: &'static str = Counting::NAME;
    const FAILURE: &'static str = "the test makes the round fail";
    type Error = StoreError;

    fn every(&self) -> Duration {
        EVERY
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, StoreError> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        if let Some(hold) = &self.hold {
            hold.notified().await;
        }
        Ok(NextRound::Interval)
    }
}

/// A worker as one replica runs it.
struct Replica {
    counter: RoundCounter,
    worker: OneAcrossReplicas<RoundCounter>,
}

impl Replica {
    fn of(store: &Store, clock: &Clock, counter: RoundCounter) -> Self {
        let owner = ReplicaId(Uuid::new_v4());
        let worker = OneAcrossReplicas::new(counter.clone(), store.database.clone(), clock.clone(), owner);
        Self { counter, worker }
    }

    /// Runs a round if the lease allows it, and returns the number of rounds of this replica.
    async fn round(&mut self) -> u32 {
        assert_eq!(self.worker.round(Trigger::Interval).await.unwrap(), NextRound::Interval);
        self.counter.begun.load(Ordering::Relaxed)
    }
}

/// The epoch of the lease, and whether the lease has expired.
async fn lease(store: &Store) -> (i64, bool) {
    sqlx::query_as("SELECT epoch, expires_at <= now() FROM worker_lease WHERE worker = 'counting'")
        .fetch_one(&store.pool)
        .await
        .unwrap()
}

const EXPIRE_LEASE: &str = "UPDATE worker_lease SET expires_at = now() - interval '1 ms'";

#[tokio::test]
async fn two_replicas_run_one_round() {
    let store = Store::open().await;
    let clock = Clock::system();
    let mut one = Replica::of(&store, &clock, RoundCounter::default());
    let mut other = Replica::of(&store, &clock, RoundCounter::default());
    for round in 1..4 {
        let (by_one, by_other) = tokio::join!(one.round(), other.round());
        assert_eq!(by_one + by_other, round);
        assert!(by_one == 0 || by_other == 0, "the lease stays with its holder");
    }
    assert_eq!(lease(&store).await, (1, false));
    store.close().await;
}

#[tokio::test]
async fn a_build_that_is_not_admitted_takes_no_lease_and_runs_no_round() {
    let store = Store::open().await;
    let mut replica = Replica::of(&store, &Clock::system(), RoundCounter::default());
    assert_eq!(replica.round().await, 1);
    store
        .execute("UPDATE build_admission SET oldest_build = oldest_build + 9000")
        .await;
    assert_eq!(replica.round().await, 1);
    store
        .execute("UPDATE build_admission SET oldest_build = oldest_build - 9000")
        .await;
    assert_eq!(replica.round().await, 2);
    store.close().await;
}

#[tokio::test]
async fn an_expired_lease_is_taken_over() {
    let store = Store::open().await;
    let clock = Clock::system();
    let mut one = Replica::of(&store, &clock, RoundCounter::default());
    let mut other = Replica::of(&store, &clock, RoundCounter::default());
    assert_eq!((one.round().await, other.round().await), (1, 0));
    store.execute(EXPIRE_LEASE).await;
    assert_eq!((other.round().await, one.round().await), (1, 1));
    assert_eq!(lease(&store).await, (2, false));
    // The last holder renews an expired lease if no other replica has taken it.
    store.execute(EXPIRE_LEASE).await;
    assert_eq!((other.round().await, one.round().await), (2, 1));
    assert_eq!(lease(&store).await, (2, false));
    store.close().await;
}

#[tokio::test]
async fn a_round_is_cancelled_before_its_lease_expires() {
    let store = Store::open().await;
    let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
    let hold = Some(Arc::default());
    let mut replica = Replica::of(
        &store,
        &clock,
        RoundCounter {
            hold,
            ..RoundCounter::default()
        },
    );
    let begun = replica.counter.begun.clone();
    let mut round = pin!(replica.worker.round(Trigger::Interval));
    let began = async {
        while begun.load(Ordering::Relaxed) == 0 {
            assert!(round.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, began).await.expect("the round begins");
    // The remaining time of the lease is enough for one statement.
    let cancelled_after = EVERY + 2 * (TIMEOUT + Duration::from_secs(1));
    clock.advance(cancelled_after - Duration::from_millis(1));
    assert!(round.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_millis(1));
    let cancelled = round.as_mut().now_or_never().expect("the round is cancelled");
    assert!(matches!(cancelled, Err(StoreError::LeaseEnds)), "{cancelled:?}");
    let lasts: f64 = sqlx::query_scalar("SELECT extract(epoch FROM expires_at - now())::float8 FROM worker_lease")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert!(lasts > cancelled_after.as_secs_f64(), "{lasts}");
    store.close().await;
}

#[tokio::test]
async fn no_replica_takes_a_lease_while_a_transaction_of_its_holder_is_open() {
    let store = Store::open().await;
    let mut replica = Replica::of(&store, &Clock::system(), RoundCounter::default());
    let mut holder = store.transaction().await;
    sqlx::query("SELECT FROM worker_lease FOR UPDATE")
        .execute(&mut *holder)
        .await
        .unwrap();
    assert!(lease(&store).await.1, "the lease has expired");
    assert_eq!(replica.round().await, 0);
    sqlx::query("ROLLBACK").execute(&mut *holder).await.unwrap();
    drop(holder);
    assert_eq!(replica.round().await, 1);
    store.close().await;
}

#[tokio::test]
async fn a_round_without_a_row_for_its_lease_fails() {
    let store = Store::open().await;
    let mut replica = Replica::of(&store, &Clock::system(), RoundCounter::default());
    store.execute("DELETE FROM worker_lease").await;
    let failed = replica.worker.round(Trigger::Interval).await.unwrap_err();
    assert!(matches!(failed, StoreError::Corrupt { .. }), "{failed:?}");
    store.close().await;
}

#[tokio::test]
async fn replicas_that_count_together_count_each_entry_once() {
    let store = Store::open().await;
    let (clock, stop) = (Clock::system(), CancellationToken::new());
    let replicas = [connect(store.test.url()), connect(store.test.url())];
    let workers: Vec<_> = replicas
        .iter()
        .map(|replica| {
            let counting = Counting::new(replica.clone(), clock.clone());
            let owner = ReplicaId(Uuid::new_v4());
            let worker = OneAcrossReplicas::new(counting, replica.clone(), clock.clone(), owner);
            tokio::spawn(Supervisor::new(&clock, &Instruments::default(), &stop).run(worker))
        })
        .collect();
    store.refuse(ACCOUNT, 2500).await;
    wait_until(
        &store.pool,
        "EXISTS (SELECT FROM audit_summary_progress WHERE size = 2500)",
    )
    .await;
    stop.cancel();
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(lease(&store).await, (1, false));
    assert_summaries_are_exact(&store.pool, &store.database).await;
    for replica in replicas {
        replica.close().await;
    }
    store.close().await;
}
