//! The closed loop: a number of callers, each with one call at a time, for a given time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A workload.
pub(crate) trait Workload: Clone + Send + Sync + 'static {
    /// Makes one call with a unique number. Returns how many operations it was.
    fn call(&self, number: u64) -> impl Future<Output = u64> + Send;
}

/// The parameters of a run.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    in_flight: usize,
    time: Duration,
    /// The maximum number of calls that start in a second.
    rate: Option<f64>,
}

/// The result of a run.
pub(crate) struct Measured {
    pub(crate) operations: u64,
    pub(crate) took: Duration,
    pub(crate) latencies: Vec<Duration>,
}

/// The next number. Numbers are unique within a run of the bench.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Run {
    pub(crate) fn new(in_flight: usize, time: Duration) -> Self {
        let rate = None;
        Self { in_flight, time, rate }
    }

    pub(crate) fn paced(in_flight: usize, time: Duration, rate: f64) -> Self {
        let rate = Some(rate);
        Self { in_flight, time, rate }
    }

    /// Calls until the time of the run is over. The latency of a paced call starts at its planned time.
    pub(crate) async fn of<W: Workload>(self, workload: &W) -> Measured {
        let (begun, turns) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let callers: Vec<_> = (0..self.in_flight)
            .map(|_| tokio::spawn(self.caller(workload.clone(), begun, turns.clone())))
            .collect();
        let (mut operations, mut latencies) = (0, Vec::new());
        for caller in callers {
            let (done, took) = caller.await.unwrap();
            operations += done;
            latencies.extend(took);
        }
        Measured {
            operations,
            took: begun.elapsed(),
            latencies,
        }
    }

    async fn caller<W: Workload>(self, workload: W, begun: Instant, turns: Arc<AtomicU64>) -> (u64, Vec<Duration>) {
        let (mut operations, mut latencies) = (0, Vec::new());
        loop {
            let mut start = Instant::now();
            if let Some(rate) = self.rate {
                let turn = turns.fetch_add(1, Ordering::Relaxed) as f64;
                start = begun + Duration::from_secs_f64(turn / rate);
                tokio::time::sleep_until(start.into()).await;
            }
            if start.duration_since(begun) >= self.time {
                return (operations, latencies);
            }
            operations += workload.call(NEXT.fetch_add(1, Ordering::Relaxed)).await;
            latencies.push(start.elapsed());
        }
    }
}
