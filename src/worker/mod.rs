//! The one loop for everything that is done periodically.
//!
//! A [`Worker`] is one round of some work. A [`Supervisor`] runs the rounds one after the other: the next one begins when the
//! interval is over, or sooner when a signal wakes the worker. A signal does not put the interval off. A failed round is counted,
//! logged once, and tried again. A panic is not caught: it ends the task, and the owner of the task ends the process
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

/// Jitter shortens an interval by up to this part of it, so that replicas that started together drift apart.
const JITTER: f64 = 0.1;

/// Periodic work.
pub trait Worker: Send {
    /// Its name in metrics and in the log.
    const NAME: &'static str;

    /// What the log says when a round fails: a clause.
    const FAILURE: &'static str;

    /// True when the first round begins at once, and not after an interval.
    const AT_ONCE: bool = true;

    /// Why a round fails.
    type Error: Error + 'static;

    /// The longest time from the end of one round to the begin of the next.
    fn every(&self) -> Duration;

    /// Runs one round. The future may be dropped at any await: the service stops.
    fn round(&mut self, cause: Trigger) -> impl Future<Output = Result<NextRound, Self::Error>> + Send;

    /// Completes when a signal asks for a round before the interval is over. Cancel safe: a dropped call loses no signal.
    fn woken(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Why a round begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The interval is over.
    Interval,
    /// A signal came.
    Signal,
}

/// When the next round begins, at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextRound {
    /// When the interval is over.
    Interval,
    /// After this time: there is more to do.
    After(Duration),
}

/// Runs workers until it is told to stop. Cheap to clone.
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

    /// Runs the rounds of a worker. Give the future to a task whose end is noticed.
    pub fn run<W: Worker>(&self, worker: W) -> impl Future<Output = ()> + Send + use<W> {
        let every = worker.every();
        let supervised = Supervised {
            rounds: self.instruments.worker(W::NAME, every, self.clock.now()),
            supervisor: self.clone(),
            worker,
            every,
            told: None,
        };
        supervised.run()
    }
}

/// A worker that is run.
struct Supervised<W> {
    supervisor: Supervisor,
    worker: W,
    every: Duration,
    rounds: Rounds,
    /// The failure that was logged last, until a round succeeds.
    told: Option<String>,
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
        while let Some(cause) = stop.run_until_cancelled(self.cause(due.as_mut())).await {
            let Some(next) = stop.run_until_cancelled(self.round(cause)).await else {
                return;
            };
            let wait = match next {
                NextRound::After(wait) => wait,
                NextRound::Interval => jittered(self.every),
            };
            let at = clock.monotonic_now().plus(wait);
            // Signals, however many, do not put the interval off.
            if cause == Trigger::Interval || at < due_at {
                due_at = at;
                due.set(clock.sleep(wait));
            }
        }
    }

    async fn cause(&mut self, due: Pin<&mut (impl Future<Output = ()> + Send)>) -> Trigger {
        tokio::select! {
            biased;
            () = due => Trigger::Interval,
            () = self.worker.woken() => Trigger::Signal,
        }
    }

    async fn round(&mut self, cause: Trigger) -> NextRound {
        let clock = &self.supervisor.clock;
        let begun = clock.monotonic_now();
        let result = self.worker.round(cause).await;
        let took = clock.monotonic_now().since(begun);
        match result {
            Ok(next) => {
                self.rounds.succeeded(clock.now(), took);
                if self.told.take().is_some() {
                    tracing::info!(worker = W::NAME, "the worker succeeds again");
                }
                next
            }
            Err(error) => {
                self.rounds.failed(took);
                self.tell(&error);
                NextRound::After(jittered(self.every.min(RETRY_AFTER)))
            }
        }
    }

    /// Logs a failure, unless the round before failed the same way.
    fn tell(&mut self, error: &(dyn Error + 'static)) {
        let chain = std::iter::successors(Some(error), |error| (*error).source());
        let text = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        if self.told.as_ref() != Some(&text) {
            tracing::warn!(worker = W::NAME, error, "{}; the worker tries again", W::FAILURE);
            self.told = Some(text);
        }
    }
}

/// The interval, or a little less.
fn jittered(every: Duration) -> Duration {
    every.mul_f64(1.0 - JITTER * fastrand::f64())
}

#[cfg(test)]
mod tests;
