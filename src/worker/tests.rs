//! The loop, with a clock that is turned by hand. Its future is polled by hand too: what does not happen in a poll waits.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use tokio::sync::{Notify, Semaphore};

use crate::domain::Timestamp;

use super::*;

const EVERY: Duration = Duration::from_secs(100);

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct TestError;

/// A worker whose rounds wait until the test lets them end.
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

    async fn round(&mut self, cause: Trigger) -> Result<NextRound, TestError> {
        self.begun.lock().unwrap().push(cause);
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

    /// Its rounds end at once.
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

/// A supervisor, what turns its clock, and what stops it.
fn supervisor() -> (Supervisor, Clock, CancellationToken) {
    let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
    let stop = CancellationToken::new();
    (Supervisor::new(&clock, &Instruments::default(), &stop), clock, stop)
}

/// Polls the loop, which waits for more.
async fn goes_on(running: Pin<&mut impl Future>) {
    // Or else the budget of this test's task would run out.
    tokio::task::yield_now().await;
    assert!(running.now_or_never().is_none());
}

#[tokio::test]
async fn a_worker_runs_one_round_at_a_time() {
    let (supervisor, clock, _stop) = supervisor();
    let worker = TestWorker::new();
    let mut running = pin!(supervisor.run(worker.clone()));
    goes_on(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval]);
    clock.advance(10 * EVERY);
    worker.signal.notify_one();
    goes_on(running.as_mut()).await;
    assert!(worker.begun().is_empty(), "the first round goes on");
    worker.ends.add_permits(1);
    goes_on(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Signal], "the signal is not lost");
}

#[tokio::test]
async fn the_next_round_begins_after_the_interval_or_up_to_a_tenth_sooner() {
    let (supervisor, clock, _stop) = supervisor();
    let worker = TestWorker::quick();
    let mut running = pin!(supervisor.run(worker.clone()));
    for _ in 0..100 {
        goes_on(running.as_mut()).await;
        assert_eq!(worker.begun(), [Trigger::Interval]);
        clock.advance(EVERY * 89 / 100);
        goes_on(running.as_mut()).await;
        assert!(worker.begun().is_empty());
        clock.advance(EVERY * 11 / 100);
    }
}

#[tokio::test]
async fn a_signal_begins_a_round_and_does_not_put_off_the_interval() {
    let (supervisor, clock, _stop) = supervisor();
    let worker = TestWorker::quick();
    let mut running = pin!(supervisor.run(worker.clone()));
    goes_on(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval]);
    for _ in 0..8 {
        clock.advance(EVERY / 10);
        worker.signal.notify_one();
        goes_on(running.as_mut()).await;
        assert_eq!(worker.begun(), [Trigger::Signal]);
    }
    clock.advance(EVERY / 5);
    goes_on(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval]);
}

#[tokio::test]
async fn a_failed_round_is_tried_again_after_the_interval_and_after_a_minute_at_most() {
    for (every, again_after) in [(Duration::from_secs(10), 10), (Duration::from_hours(24), 60)] {
        let (supervisor, clock, _stop) = supervisor();
        let worker = TestWorker {
            every,
            ..TestWorker::quick()
        };
        worker.answers(None);
        let mut running = pin!(supervisor.run(worker.clone()));
        for _ in 0..3 {
            goes_on(running.as_mut()).await;
            assert_eq!(worker.begun(), [Trigger::Interval]);
            clock.advance(Duration::from_secs(again_after));
        }
        worker.answers(Some(NextRound::Interval));
        goes_on(running.as_mut()).await;
        assert_eq!(worker.begun(), [Trigger::Interval]);
        clock.advance(every * 89 / 100);
        goes_on(running.as_mut()).await;
        assert!(worker.begun().is_empty(), "it has succeeded: the interval counts");
    }
}

#[tokio::test]
async fn a_failed_round_of_a_signal_is_tried_again_after_a_minute_at_most() {
    let (supervisor, clock, _stop) = supervisor();
    let worker = TestWorker {
        every: Duration::from_hours(24),
        ..TestWorker::quick()
    };
    let mut running = pin!(supervisor.run(worker.clone()));
    goes_on(running.as_mut()).await;
    worker.answers(None);
    worker.signal.notify_one();
    goes_on(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval, Trigger::Signal]);
    clock.advance(Duration::from_mins(1));
    goes_on(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval]);
}

#[tokio::test]
async fn a_round_that_has_more_to_do_is_followed_sooner() {
    let (supervisor, clock, _stop) = supervisor();
    let worker = TestWorker::quick();
    worker.answers(Some(NextRound::After(Duration::from_secs(1))));
    let mut running = pin!(supervisor.run(worker.clone()));
    goes_on(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval]);
    clock.advance(Duration::from_secs(1));
    goes_on(running.as_mut()).await;
    assert_eq!(worker.begun(), [Trigger::Interval]);
}

#[tokio::test]
async fn a_worker_ends_when_it_is_told_to_in_a_round_or_between_rounds() {
    for worker in [TestWorker::new(), TestWorker::quick()] {
        let (supervisor, _clock, stop) = supervisor();
        let mut running = pin!(supervisor.run(worker.clone()));
        goes_on(running.as_mut()).await;
        stop.cancel();
        assert!(running.as_mut().now_or_never().is_some());
        assert_eq!(worker.begun(), [Trigger::Interval]);
    }
}

/// A worker that panics.
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
