//! Tests of the loop with a manual clock. The tests also poll its future by hand, so that each step is deterministic.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use tokio::sync::{Notify, Semaphore};

use crate::domain::Timestamp;

use super::*;

const EVERY: Duration = Duration::from_secs(100);

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct TestError;

/// A worker whose rounds end when the test permits it.
#[derive(Clone)]
struct TestWorker {
    begun: Arc<Mutex<Vec<Trigger>>>,
    ends: Arc<Semaphore>,
    signal: Arc<Notify>,
    next: Arc<Mutex<Option<NextRound>>>,
    every: Duration,
}

impl Worker for TestWorker {
    const NAME: &'static str = "worker";
    const FAILURE: &'static str = "the test lets it fail";
    type Error = TestError;

    fn every(&self) -> Duration {
        self.every
    }

    async fn round(&mut self, trigger: Trigger) -> Result<NextRound, TestError> {
        self.begun.lock().unwrap().push(trigger);
        self.ends.acquire().await.unwrap().forget();
        self.next.lock().unwrap().ok_or(TestError)
    }

    async fn woken(&mut self) {
        self.signal.notified().await;
    }
}

impl TestWorker {
    fn new() -> Self {
        Self {
            begun: Arc::default(),
            ends: Arc::new(Semaphore::new(0)),
            signal: Arc::default(),
            next: Arc::new(Mutex::new(Some(NextRound::Interval))),
            every: EVERY,
        }
    }

    /// A worker whose rounds end at once.
    fn quick() -> Self {
        let worker = Self::new();
        worker.ends.add_permits(1000);
        worker
    }

    fn begun(&self) -> Vec<Trigger> {
        std::mem::take(&mut *self.begun.lock().unwrap())
    }

    fn answers(&self, next: Option<NextRound>) {
        *self.next.lock().unwrap() = next;
    }
}

/// A supervisor, its clock, and its stop token.
fn supervisor() -> (Supervisor, Clock, CancellationToken) {
    let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
    let stop = CancellationToken::new();
    (Supervisor::new(&clock, &Instruments::default(), &stop), clock, stop)
}

/// Polls the loop once. It must stay pending.
async fn poll_pending(running: Pin<&mut impl Future>) {
    // Without the yield, tokio's cooperative budget for this task would run out.
    tokio::task::yield_now().await;
    assert!(running.now_or_never().is_none());
}

#[tokio::test]
async fn a_worker_runs_one_round_at_a_time() {
    let (supervisor, clock, _stop) = supervisor();
    let worker = TestWorker::new();
    let mut running = pin!(supervisor.run(worker.clone()));
    poll_pending(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval]);
    clock.advance(10 * EVERY);
    worker.signal.notify_one();
    poll_pending(running.as_mut()).await;
    assert!(worker.begun().is_empty(), "the first round has not ended");
    worker.ends.add_permits(1);
    poll_pending(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Signal], "the signal is not lost");
}

#[tokio::test]
async fn the_next_round_starts_after_the_interval_or_at_most_a_tenth_earlier() {
    let (supervisor, clock, _stop) = supervisor();
    let worker = TestWorker::quick();
    let mut running = pin!(supervisor.run(worker.clone()));
    for _ in 0..100 {
        poll_pending(running.as_mut()).await;
        assert_eq!(worker.begun(), [Trigger::Interval]);
        clock.advance(EVERY * 89 / 100);
        poll_pending(running.as_mut()).await;
        assert!(worker.begun().is_empty());
        clock.advance(EVERY * 11 / 100);
    }
}

#[tokio::test]
async fn a_signal_starts_a_round_and_does_not_delay_the_interval() {
    let (supervisor, clock, _stop) = supervisor();
    let worker = TestWorker::quick();
    let mut running = pin!(supervisor.run(worker.clone()));
    poll_pending(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval]);
    for _ in 0..8 {
        clock.advance(EVERY / 10);
        worker.signal.notify_one();
        poll_pending(running.as_mut()).await;
        assert_eq!(worker.begun(), [Trigger::Signal]);
    }
    clock.advance(EVERY / 5);
    poll_pending(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval]);
}

#[tokio::test]
async fn a_failed_round_is_retried_after_the_interval_and_after_at_most_a_minute() {
    for (every, again_after) in [(Duration::from_secs(10), 10), (Duration::from_hours(24), 60)] {
        let (supervisor, clock, _stop) = supervisor();
        let worker = TestWorker {
            every,
            ..TestWorker::quick()
        };
        worker.answers(None);
        let mut running = pin!(supervisor.run(worker.clone()));
        for _ in 0..3 {
            poll_pending(running.as_mut()).await;
            assert_eq!(worker.begun(), [Trigger::Interval]);
            clock.advance(Duration::from_secs(again_after));
        }
        worker.answers(Some(NextRound::Interval));
        poll_pending(running.as_mut()).await;
        assert_eq!(worker.begun(), [Trigger::Interval]);
        clock.advance(every * 89 / 100);
        poll_pending(running.as_mut()).await;
        assert!(worker.begun().is_empty(), "after a success the interval applies");
    }
}

#[tokio::test]
async fn a_failed_round_of_a_signal_is_retried_after_at_most_a_minute() {
    let (supervisor, clock, _stop) = supervisor();
    let worker = TestWorker {
        every: Duration::from_hours(24),
        ..TestWorker::quick()
    };
    let mut running = pin!(supervisor.run(worker.clone()));
    poll_pending(running.as_mut()).await;
    worker.answers(None);
    worker.signal.notify_one();
    poll_pending(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval, Trigger::Signal]);
    clock.advance(Duration::from_mins(1));
    poll_pending(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval]);
}

#[tokio::test]
async fn a_round_with_more_work_is_followed_earlier() {
    let (supervisor, clock, _stop) = supervisor();
    let worker = TestWorker::quick();
    worker.answers(Some(NextRound::After(Duration::from_secs(1))));
    let mut running = pin!(supervisor.run(worker.clone()));
    poll_pending(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval]);
    clock.advance(Duration::from_secs(1));
    poll_pending(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval]);
}

#[tokio::test]
async fn a_worker_stops_within_a_round_or_between_rounds() {
    for worker in [TestWorker::new(), TestWorker::quick()] {
        let (supervisor, _clock, stop) = supervisor();
        let mut running = pin!(supervisor.run(worker.clone()));
        poll_pending(running.as_mut()).await;
        stop.cancel();
        assert!(running.as_mut().now_or_never().is_some());
        assert_eq!(worker.begun(), [Trigger::Interval]);
    }
}

struct PanickingWorker;

impl Worker for PanickingWorker {
    const NAME: &'static str = "panics";
    const FAILURE: &'static str = "it panics";
    type Error = TestError;

    fn every(&self) -> Duration {
        EVERY
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, TestError> {
        panic!("as the test wants it");
    }
}

#[tokio::test]
async fn a_panic_ends_the_task_that_runs_the_worker() {
    let (supervisor, _clock, _stop) = supervisor();
    let ended = tokio::spawn(supervisor.run(PanickingWorker)).await;
    assert!(ended.unwrap_err().is_panic());
}
