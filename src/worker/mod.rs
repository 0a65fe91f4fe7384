//! Runs all periodic work in one kind of loop.
//!
//! A [`Worker`] defines one round of work. A [`Supervisor`] runs the rounds one after the other. The next round starts when the
//! interval ends, or earlier when a signal wakes the worker. A signal does not delay the round of the interval. A failed round is
//! counted, logged once, and retried. A panic is not caught. It ends the task, and the owner of the task ends the process
//! (`server/run.rs`).

use std::{
    error::Error,
    pin::{Pin, pin},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    telemetry::{Instruments, Rounds},
};

/// The longest time from a failed round to the next round.
const RETRY_AFTER: Duration = Duration::from_mins(1);

/// Jitter shortens an interval by at most this fraction, so that replicas that started together drift apart.
const JITTER: f64 = 0.1;

/// Periodic work.
pub trait Worker: Send {
    /// The name in metrics and log lines.
    const NAME: &'static str;

    /// The log message of a failed round, without the final words "; the worker tries again".
    const FAILURE: &'static str;

    /// True if the first round starts at once; false if it starts after one interval.
    const AT_ONCE: bool = true;

    /// Why a round fails.
    type Error: Error + 'static;

    /// The longest time from the end of a round to the start of the next.
    fn every(&self) -> Duration;

    /// Runs one round. The future may be dropped at any await point when the server stops.
    fn round(&mut self, trigger: Trigger) -> impl Future<Output = Result<NextRound, Self::Error>> + Send;

    /// Completes when a signal asks for a round before the interval ends. Cancel safe: dropping the future loses no signal.
    fn woken(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Why a round starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The interval ended.
    Interval,
    /// A signal woke the worker.
    Signal,
}

/// The latest start of the next round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextRound {
    /// At the end of the interval.
    Interval,
    /// After this time, because there is more work.
    After(Duration),
}

/// Runs workers until its stop token is cancelled. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Supervisor {
    clock: Clock,
    instruments: Instruments,
    stop: CancellationToken,
}

impl Supervisor {
    /// A supervisor whose workers stop when `stop` is cancelled.
    pub fn new(clock: &Clock, instruments: &Instruments, stop: &CancellationToken) -> Self {
        Self {
            clock: clock.clone(),
            instruments: instruments.clone(),
            stop: stop.clone(),
        }
    }

    /// Runs the rounds of a worker. Spawn the future in a task that an owner awaits: the end of the task is a failure.
    pub fn run<W: Worker>(&self, worker: W) -> impl Future<Output = ()> + Send + use<W> {
        let every = worker.every();
        let supervised = Supervised {
            rounds: self.instruments.worker(W::NAME, every, self.clock.now()),
            supervisor: self.clone(),
            worker,
            every,
            logged_failure: None,
        };
        supervised.run()
    }
}

struct Supervised<W> {
    supervisor: Supervisor,
    worker: W,
    every: Duration,
    rounds: Rounds,
    /// The failure that was logged last. None after a successful round.
    logged_failure: Option<String>,
}

impl<W: Worker> Supervised<W> {
    async fn run(mut self) {
        let Supervisor { clock, stop, .. } = self.supervisor.clone();
        let first = if W::AT_ONCE {
            Duration::ZERO
        } else {
            jittered(self.every)
        };
        let mut due_at = clock.monotonic_now().plus(first);
        let mut due = pin!(clock.sleep(first));
        while let Some(trigger) = stop.run_until_cancelled(self.wait_for_trigger(due.as_mut())).await {
            let Some(next) = stop.run_until_cancelled(self.round(trigger)).await else {
                return;
            };
            let wait = match next {
                NextRound::After(wait) => wait,
                NextRound::Interval => jittered(self.every),
            };
            let at = clock.monotonic_now().plus(wait);
            // A round that a signal started must not delay the round of the interval.
            if trigger == Trigger::Interval || at < due_at {
                due_at = at;
                due.set(clock.sleep(wait));
            }
        }
    }

    async fn wait_for_trigger(&mut self, due: Pin<&mut (impl Future<Output = ()> + Send)>) -> Trigger {
        tokio::select! {
            biased;
            () = due => Trigger::Interval,
            () = self.worker.woken() => Trigger::Signal,
        }
    }

    async fn round(&mut self, trigger: Trigger) -> NextRound {
        let clock = &self.supervisor.clock;
        let begun = clock.monotonic_now();
        let result = self.worker.round(trigger).await;
        let took = clock.monotonic_now().since(begun);
        match result {
            Ok(next) => {
                self.rounds.succeeded(clock.now(), took);
                if self.logged_failure.take().is_some() {
                    tracing::info!(worker = W::NAME, "the worker succeeds again");
                }
                next
            }
            Err(error) => {
                self.rounds.failed(took);
                self.log_failure(&error);
                NextRound::After(jittered(self.every.min(RETRY_AFTER)))
            }
        }
    }

    /// Logs a failure, unless the previous round failed with the same text.
    fn log_failure(&mut self, error: &(dyn Error + 'static)) {
        let chain = std::iter::successors(Some(error), |error| (*error).source());
        let text = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        if self.logged_failure.as_ref() != Some(&text) {
            tracing::warn!(worker = W::NAME, error, "{}; the worker tries again", W::FAILURE);
            self.logged_failure = Some(text);
        }
    }
}

/// The interval minus a random part of at most [`JITTER`].
fn jittered(every: Duration) -> Duration {
    every.mul_f64(1.0 - JITTER * fastrand::f64())
}

#[cfg(test)]
mod tests;
