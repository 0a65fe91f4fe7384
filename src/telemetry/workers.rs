//! Metrics of workers. The label `worker` is the worker's name.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter},
};
use time::OffsetDateTime;

use crate::domain::Timestamp;

use super::instruments::{Instruments, seconds};

/// The instruments of all workers.
#[derive(Debug, Clone)]
pub(super) struct Workers {
    last_success: Gauge<f64>,
    interval: Gauge<f64>,
    failures: Counter<u64>,
    durations: Histogram<f64>,
}

impl Workers {
    pub(super) fn new(meter: &Meter) -> Self {
        let gauge = |name, description| {
            let gauge = meter.f64_gauge(name).with_unit("s");
            gauge.with_description(description).build()
        };
        let failures = meter.u64_counter("sharewarden.worker.failures").with_unit("{round}");
        Self {
            last_success: gauge(
                "sharewarden.worker.last_success.timestamp",
                "Time of the last successful round on this replica, in seconds since 1970; before the first, of the worker's start.",
            ),
            interval: gauge(
                "sharewarden.worker.interval",
                "Maximum time from the end of a successful round to the start of the next.",
            ),
            failures: failures.with_description("Failed rounds of the worker.").build(),
            durations: seconds(meter, "sharewarden.worker.duration", "Duration of a round."),
        }
    }
}

/// Measures the rounds of one worker.
#[derive(Debug)]
pub struct Rounds {
    workers: Workers,
    attributes: [KeyValue; 1],
}

impl Instruments {
    /// Starts to measure a worker. `now` counts as its first success.
    pub fn worker(&self, name: &'static str, every: Duration, now: Timestamp) -> Rounds {
        let rounds = Rounds {
            workers: self.0.workers.clone(),
            attributes: [KeyValue::new("worker", name)],
        };
        rounds.workers.interval.record(every.as_secs_f64(), &rounds.attributes);
        rounds.workers.failures.add(0, &rounds.attributes);
        rounds.set_last_success(now);
        rounds
    }
}

impl Rounds {
    /// A round succeeded.
    pub fn succeeded(&self, now: Timestamp, took: Duration) {
        self.set_last_success(now);
        self.workers.durations.record(took.as_secs_f64(), &self.attributes);
    }

    /// A round failed.
    pub fn failed(&self, took: Duration) {
        self.workers.failures.add(1, &self.attributes);
        self.workers.durations.record(took.as_secs_f64(), &self.attributes);
    }

    fn set_last_success(&self, at: Timestamp) {
        let since_1970 = at.to_offset_date_time() - OffsetDateTime::UNIX_EPOCH;
        self.workers
            .last_success
            .record(since_1970.as_seconds_f64(), &self.attributes);
    }
}
