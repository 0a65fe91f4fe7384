//! The only caller of mutating AWS operations: it makes AWS hold what is desired, one permission at a time.
//!
//! [`step`] works under one lease until the change is settled or put off: it is the same for a first attempt, a retry and
//! a recovery. This module receives the work that commits hand out and bounds how much is under way; [`recovery`] claims
//! work that nobody holds.

mod recovery;
mod step;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::Clock,
    domain::convergence::RetryPolicy,
    store::{Committer, Database, Leased, Released},
    workspaces::WorkSpaces,
};

/// How changes are forwarded.
#[derive(Debug, Clone)]
pub struct ForwarderSettings {
    /// When to try again, and until when.
    pub retry: RetryPolicy,
    /// No call is begun with less than this left of the lease: the time-out of an attempt, and a margin.
    pub lease_reserve: Duration,
    /// At most so many changes are worked on at once.
    pub max_in_flight: usize,
    /// With so many changes worked on or waiting for their turn, new ones are refused.
    pub max_backlog: usize,
    /// How often to look for work that nobody holds.
    pub recover_every: Duration,
}

/// The forwarder. Cheap to clone; clones are the same forwarder.
#[derive(Clone)]
pub struct Forwarder(Arc<Inner>);

struct Inner {
    database: Database,
    committer: Committer,
    workspaces: WorkSpaces,
    clock: Clock,
    released: Released,
    settings: ForwarderSettings,
    permits: Semaphore,
    /// Changes worked on, or waiting for their turn.
    backlog: AtomicUsize,
    /// Changes waiting for the time of their next attempt.
    deferred: AtomicUsize,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Forwarder {
    /// A forwarder that stops taking up work when `stop` is cancelled.
    pub fn new(
        database: Database,
        committer: Committer,
        workspaces: WorkSpaces,
        clock: Clock,
        released: Released,
        settings: ForwarderSettings,
        stop: CancellationToken,
    ) -> Self {
        let permits = Semaphore::new(settings.max_in_flight.max(1));
        let (backlog, deferred) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Inner {
            database,
            committer,
            workspaces,
            clock,
            released,
            settings,
            permits,
            backlog,
            deferred,
            stop,
            tasks: TaskTracker::new(),
        }))
    }

    /// True while new changes may be accepted.
    pub fn has_room(&self) -> bool {
        self.backlog() + self.0.deferred.load(Ordering::Relaxed) < self.0.settings.max_backlog
    }

    /// How many changes are worked on, or wait for their turn.
    fn backlog(&self) -> usize {
        self.0.backlog.load(Ordering::Relaxed)
    }

    /// Receives work and does it, and recovers work that nobody holds, until stopped. Then what is under way is finished, and
    /// the rest is given back, so that another replica takes it up at once. Returns when nothing is left.
    pub async fn run(self, mut work: mpsc::UnboundedReceiver<Leased>) {
        tokio::join!(self.receive(&mut work), self.recover());
        self.0.committer.leave().await;
        self.0.tasks.close();
        loop {
            tokio::select! {
                biased;
                // A change that waited behind one that is settled now.
                Some(leased) = work.recv() => {
                    let forwarder = self.clone();
                    self.0.tasks.spawn(async move { forwarder.give_back(leased.work).await });
                }
                () = self.0.tasks.wait() => {
                    if work.is_empty() {
                        return;
                    }
                }
            }
        }
    }

    async fn receive(&self, work: &mut mpsc::UnboundedReceiver<Leased>) {
        while let Some(Some(leased)) = self.0.stop.run_until_cancelled(work.recv()).await {
            let turn = Counted::new(&self.0, |inner| &inner.backlog);
            let forwarder = self.clone();
            self.0.tasks.spawn(async move {
                let _turn = turn;
                match forwarder
                    .0
                    .stop
                    .run_until_cancelled(forwarder.0.permits.acquire())
                    .await
                {
                    Some(Ok(_permit)) => forwarder.converge(leased).await,
                    _ => forwarder.give_back(leased.work).await,
                }
            });
        }
    }
}

/// Counts one change while it lives.
struct Counted {
    inner: Arc<Inner>,
    counter: fn(&Inner) -> &AtomicUsize,
}

impl Counted {
    fn new(inner: &Arc<Inner>, counter: fn(&Inner) -> &AtomicUsize) -> Self {
        counter(inner).fetch_add(1, Ordering::Relaxed);
        Self {
            inner: inner.clone(),
            counter,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.counter)(&self.inner).fetch_sub(1, Ordering::Relaxed);
    }
}
