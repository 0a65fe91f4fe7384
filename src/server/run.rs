//! Runs a server, and stops it in order.
//!
//! A signal begins the stop. Health says NOT_SERVING, streams end, new changes are refused, and open calls may finish. When
//! they have finished, or at half of the grace period, the forwarder starts no more calls to AWS. It finishes those in flight,
//! and gives back the rest, so that other replicas take it up at once. Callers that still wait get what those replicas record.
//! The counted denials are recorded. The committer closes when nothing is left to settle. The notifications go out last.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    audit::Signer,
    changes::Ends,
    clock::{Clock, MonotonicInstant},
    config::{Config, OnDrift},
    domain::AccountId,
    drift::{DriftQueries, DriftRevokes, DriftWorker, TrailWorker},
    grpc::{self, AccessApi, AuditApi, DriftApi, Health, Services, ShareService},
    probe::{Admin, Readiness, WatchSettings},
    store::{OneAcrossReplicas, partitions::Partitions, summaries::Counting},
    worker::Supervisor,
};

use super::{
    Server, ServerError, drift_watch::DriftWatch, expiring::ExpiringWatch, heartbeat::Heartbeat, pending::PendingWatch,
    policy_reload::PolicyReload,
};

/// How long after the latest deadline of its handler a call is answered without the handler.
const CALL_TIMEOUT_MARGIN: Duration = Duration::from_secs(5);

/// How often waiters read the outcomes of other replicas, in case a notification was lost.
const OUTCOME_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Minimum time for the forwarder and the committer to stop, even if open calls have used up the grace period.
const MIN_STOP_TIME: Duration = Duration::from_secs(1);

/// How often readiness checks Postgres, and the timeout of a check.
const READINESS: WatchSettings = WatchSettings {
    check_every: Duration::from_secs(2),
    check_timeout: Duration::from_secs(2),
};

impl Server {
    /// Serves until `shutdown`. Then it stops the calls, the forwarder and the committer, in this order.
    ///
    /// # Errors
    /// If a background task ends early.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let end = CancellationToken::new();
        let (database, clock, stop) = (self.database.clone(), self.clock.clone(), self.stop.clone());
        let (committer, grace) = (self.changes.committer.clone(), self.config.server.shutdown_grace);
        let instruments = self.metrics.instruments().clone();
        let (policy, denials) = (self.changes.policy.clone(), self.changes.denials.clone());
        let replica = self.replica;
        let readiness = Readiness::new(instruments.clone());
        let mut background = self.background(&readiness, &end);
        let mut forwarding = JoinSet::new();
        forwarding.spawn(self.changes.forwarder.clone().run(self.work));

        let (unhealthy, health_tasks) = (CancellationToken::new(), TaskTracker::new());
        let health = Health::new(readiness.clone()).await;
        let watch = readiness
            .clone()
            .watch(database.clone(), clock.clone(), READINESS, unhealthy.clone());
        health_tasks.spawn(watch);
        let watching = health_tasks.spawn(health.clone().follow());
        if let Some(listener) = self.admin.take() {
            let admin = Admin {
                readiness,
                metrics: self.metrics.clone(),
                clock: clock.clone(),
                health: health.router(),
            };
            background.spawn(admin.run(listener, end.clone()));
        }
        let end_streams = self.audit.stop.clone();
        let accounts = self.config.accounts.iter();
        let access = AccessApi::new(
            policy.clone(),
            accounts.map(|account| (account.id, account.regions.clone())),
            clock.clone(),
            self.config.server.max_wait,
        );
        let endpoints = self.drift.workspaces.endpoints();
        let endpoints = endpoints.map(|(account, region)| (account, region.clone()));
        let drift = DriftApi::new(
            DriftQueries::new(
                database.clone(),
                self.changes.committer.clone(),
                endpoints,
                revoking_accounts(&self.config),
            ),
            clock.clone(),
            self.config.server.max_wait,
        );
        let services = Services {
            share_permissions: ShareService::new(self.changes, self.config.server.max_wait),
            audit: AuditApi::new(self.audit, policy.clone(), self.config.server.max_wait),
            access,
            drift,
            authenticator: self.authentication.authenticator,
            tls: self.authentication.tls,
            policy,
            count_refused: Arc::new({
                let instruments = instruments.clone();
                move |reason| instruments.auth_refused(reason)
            }),
            health,
            clock: clock.clone(),
            instruments,
            max_call_duration: self.config.server.max_wait + CALL_TIMEOUT_MARGIN,
            settings: self.config.server,
        };
        let stopping = Stopping::new(clock.clone(), grace);
        let shutdown = async {
            shutdown.await;
            tracing::info!("stopping");
            stopping.begin();
            unhealthy.cancel();
            // Health must say NOT_SERVING before the drain begins, so that no balancer sends more calls. An error is a panic.
            let _ = watching.await;
            committer.refuse_callers();
            end_streams.cancel();
        };
        let hand_over = async {
            stopping.half_of_grace().await;
            stop.cancel();
            std::future::pending().await
        };
        let result = tokio::select! {
            () = grpc::serve(self.listener, services, shutdown) => Ok(()),
            // A task that ends before `stop` or `end` is cancelled has panicked. A server that does half of its work is worse
            // than none.
            () = ended_early(&mut background, &end) => Err(ServerError::TaskEnded),
            () = ended_early(&mut forwarding, &stop) => Err(ServerError::TaskEnded),
            never = hand_over => never,
        };

        unhealthy.cancel();
        committer.refuse_callers();
        stop.cancel();
        let ended = async {
            while forwarding.join_next().await.is_some() {}
            // The committer must close in any case, so a locked account may not take all of the time.
            match tokio::time::timeout(stopping.rest() / 2, denials.record()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "stopping: some counted denials were not recorded, and are lost"
                ),
                Err(_) => {
                    tracing::warn!("stopping: some counted denials were not recorded in time, and are lost")
                }
            }
            committer.close().await;
            end.cancel();
            while background.join_next().await.is_some() {}
            health_tasks.close();
            health_tasks.wait().await;
        };
        if tokio::time::timeout(stopping.rest(), ended).await.is_err() {
            tracing::warn!("stopping with work in progress: other replicas recover it when the leases expire");
            forwarding.shutdown().await;
        }
        if let Err(error) = database.forget_replica(replica).await {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "this replica counts as running for another minute"
            );
        }
        database.close().await;
        tracing::info!("stopped");
        result
    }

    /// Starts the background tasks, which run until `end` is cancelled.
    fn background(&self, readiness: &Readiness, end: &CancellationToken) -> JoinSet<()> {
        let (database, clock) = (&self.database, &self.clock);
        let mut background = JoinSet::new();
        background.spawn(
            self.notifications
                .clone()
                .listen(database.clone(), clock.clone(), end.clone()),
        );
        background.spawn(self.notifications.clone().send(database.clone(), end.clone()));
        let supervisor = Supervisor::new(clock, self.metrics.instruments(), end);
        let outcomes = self
            .notifications
            .outcomes
            .watch(database.clone(), OUTCOME_POLL_INTERVAL);
        background.spawn(supervisor.run(outcomes));
        background.spawn(supervisor.run(Partitions {
            database: database.clone(),
        }));
        let counting = Counting::new(database.clone(), clock.clone());
        let counting = OneAcrossReplicas::new(counting, database.clone(), clock.clone(), self.replica);
        background.spawn(supervisor.run(counting));
        let follower = self
            .audit
            .tail
            .follower(database.clone(), &self.notifications.ledger_growth, clock.clone());
        background.spawn(supervisor.run(follower));
        background.spawn(supervisor.run(self.changes.denials.clone()));
        background.spawn(supervisor.run(Ends::new(self.changes.clone())));
        let endpoints = self.drift.workspaces.endpoints();
        background.spawn(supervisor.run(DriftWatch {
            database: database.clone(),
            instruments: self.metrics.instruments().clone(),
            endpoints: endpoints.map(|(account, region)| (account, region.clone())).collect(),
        }));
        if self.drift.settings.enabled {
            background.spawn(supervisor.run(DriftWorker::new(self.drift.clone())));
            let accounts: Vec<_> = revoking_accounts(&self.config).collect();
            if !accounts.is_empty() {
                let known = self.audit.known.clone();
                let known_size = Arc::new(move |account| known.size_of(account));
                let instruments = self.metrics.instruments().clone();
                background.spawn(supervisor.run(DriftRevokes::new(
                    self.drift.clone(),
                    accounts,
                    known_size,
                    instruments,
                )));
            }
            background.spawn(supervisor.run(TrailWorker::new(self.drift.clone())));
        }
        background.spawn(supervisor.run(ExpiringWatch {
            database: database.clone(),
            instruments: self.metrics.instruments().clone(),
        }));
        background.spawn(supervisor.run(Heartbeat {
            database: database.clone(),
            replica: self.replica,
            readiness: readiness.clone(),
            instruments: self.metrics.instruments().clone(),
        }));
        let reload = PolicyReload::new(
            self.config.clone(),
            self.config_file.clone(),
            self.changes.policy.clone(),
            database.clone(),
            readiness.clone(),
            self.metrics.instruments().clone(),
        );
        if let Some(reload) = reload {
            background.spawn(supervisor.run(reload));
        }
        background.spawn(supervisor.run(PendingWatch {
            database: database.clone(),
            instruments: self.metrics.instruments().clone(),
            warn_after: self.config.log.pending_warning_after,
            overdue: false,
        }));
        background.spawn(supervisor.run(Signer::new(
            self.audit.clone(),
            &self.notifications,
            self.config.checkpoint.every,
        )));
        self.authentication.watch(&supervisor, &mut background);
        background
    }
}

/// Ends when a task panics, or ends before `stop` is cancelled. Otherwise it never ends.
async fn ended_early(tasks: &mut JoinSet<()>, stop: &CancellationToken) {
    let ended = tasks.join_next().await;
    if stop.is_cancelled() && ended.is_some_and(|ended| ended.is_ok()) {
        std::future::pending().await
    }
}

/// The grace period. All parts of the stop share it.
struct Stopping {
    clock: Clock,
    grace: Duration,
    began: OnceLock<MonotonicInstant>,
    begun: CancellationToken,
}

impl Stopping {
    fn new(clock: Clock, grace: Duration) -> Self {
        Self {
            clock,
            grace,
            began: OnceLock::new(),
            begun: CancellationToken::new(),
        }
    }

    fn begin(&self) {
        self.began.get_or_init(|| self.clock.monotonic_now());
        self.begun.cancel();
    }

    async fn half_of_grace(&self) {
        self.begun.cancelled().await;
        self.clock.sleep(self.grace / 2).await;
    }

    /// The time that is left for the forwarder and the committer.
    fn rest(&self) -> Duration {
        let used = self
            .began
            .get()
            .map_or(Duration::ZERO, |began| self.clock.monotonic_now().since(*began));
        self.grace.saturating_sub(used).max(MIN_STOP_TIME)
    }
}

/// The accounts whose unrecorded shares are to be revoked.
fn revoking_accounts(config: &Config) -> impl Iterator<Item = AccountId> + '_ {
    let accounts = config.accounts.iter();
    accounts
        .filter(|account| account.on_drift == OnDrift::Revoke)
        .map(|account| account.id)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_or_ends_early_ends_the_server() {
        async fn panics() {
            panic!("this panic is part of the test");
        }
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(panics());
        ended_early(&mut tasks, &stop).await;
        tasks.spawn(async {});
        ended_early(&mut tasks, &stop).await;
        stop.cancel();
        tasks.spawn(panics());
        ended_early(&mut tasks, &stop).await;
        let ended = tasks.spawn(async {});
        while !ended.is_finished() {
            tokio::task::yield_now().await;
        }
        assert!(ended_early(&mut tasks, &stop).now_or_never().is_none());
    }
}
