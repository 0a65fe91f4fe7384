//! The composition root: makes the rooms from the configuration, connects them, runs them, and stops them in order.

mod keys;
mod owner;

use std::{collections::BTreeMap, net::SocketAddr, sync::OnceLock, time::Duration};

use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    archive as months,
    audit::{Audit, Signer, Tail},
    clock::Clock,
    config::{AccountConfig, AuthMode, Config, ShareWithConfig},
    domain::{ReplicaId, convergence::RetryPolicy},
    forwarder::{Forwarder, ForwarderSettings},
    grpc::{self, AuditApi, Authenticator, Health, HealthSettings, ServerSettings, Services, ShareService},
    permissions::Permissions,
    policy::{Policy, ShareWith},
    store::{
        self, Committer, Database, DatabaseSettings, Growth, Leased, Outcomes, Privileges, StoreError,
        committer::CommitterSettings, partitions,
    },
    telemetry::{self, TelemetryError},
    workspaces::{self, BaseCredentials, ConnectError, WorkSpaces},
};

pub use keys::KeyProblem;
pub use owner::{archive, migrate};

/// How often waiters look for changes that ended on other replicas, behind the notifications.
const POLL_OUTCOMES_EVERY: Duration = Duration::from_secs(1);

/// Beside what the service itself may take, a request may take so long to come in.
const TIME_TO_RECEIVE: Duration = Duration::from_secs(10);

/// However much of the grace the calls have used, the work has so long to end.
const LEAST_TIME_TO_END: Duration = Duration::from_secs(1);

/// How often health asks Postgres, and how long that may take.
const HEALTH: HealthSettings = HealthSettings {
    check_every: Duration::from_secs(2),
    check_timeout: Duration::from_secs(2),
};

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} (server.listen)")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Postgres does not answer, or its schema is not the one of this version.
    #[error("the audit store cannot be used (database.url)")]
    Store(#[from] StoreError),
    /// AWS does not answer as it should.
    #[error("AWS cannot be used")]
    Connect(#[from] ConnectError),
    /// A key of checkpoints cannot be used.
    #[error(transparent)]
    Key(#[from] KeyProblem),
    /// A task that the service cannot do without has ended.
    #[error("a task that the service cannot do without has panicked")]
    TaskEnded,
    /// History was not archived.
    #[error("the history was not archived, or not all of it")]
    Archive(#[from] months::Error),
    /// gRPC ended.
    #[error("the gRPC server ended")]
    Grpc(#[from] grpc::ServeError),
}

/// Listens.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServerError::Listen { address, source })
}

/// Sets up the log of this process, with the caps of the rooms whose libraries would log secrets or raw driver errors.
///
/// # Errors
/// When the filter cannot be read, or there is a log already.
pub fn init_log(config: &Config) -> Result<(), TelemetryError> {
    telemetry::init(
        &config.log,
        &[&workspaces::LOG_DIRECTIVES[..], &store::LOG_DIRECTIVES[..]].concat(),
    )
}

/// Takes over SIGTERM and SIGINT from now on; the future ends with the first of them.
///
/// # Errors
/// When the signals cannot be taken over.
pub fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// A server that is connected but does not answer yet.
pub struct Server {
    config: Config,
    clock: Clock,
    listener: TcpListener,
    address: SocketAddr,
    database: Database,
    permissions: Permissions,
    audit: Audit,
    growth: Growth,
    work: mpsc::UnboundedReceiver<Leased>,
    stop: CancellationToken,
    /// What works on changes.
    workers: TaskTracker,
}

impl Server {
    /// Connects to Postgres and AWS.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn build(
        config: &Config,
        credentials: BaseCredentials,
        clock: Clock,
        listener: TcpListener,
    ) -> Result<Self, ServerError> {
        let address = listener.local_addr().map_err(|source| ServerError::Listen {
            address: config.server.listen,
            source,
        })?;
        let keys = keys::read(&config.checkpoint)?;
        let database = Database::new(&database_settings(config))?;
        database.check().await?;
        warn_of_unknown_regions(config);
        let workspaces = WorkSpaces::connect(&workspaces_settings(config, credentials)).await?;

        let (stop, workers) = (CancellationToken::new(), TaskTracker::new());
        let (outcomes, growth) = (Outcomes::default(), Growth::default());
        let (work_sender, work) = mpsc::unbounded_channel();
        let replica = ReplicaId(clock.uuid());
        let committer = Committer::start(
            &database,
            &committer_settings(config),
            replica,
            &clock,
            &outcomes,
            &growth,
            &work_sender,
        );
        let forwarder = Forwarder::new(
            database.clone(),
            committer.clone(),
            workspaces.clone(),
            clock.clone(),
            forwarder_settings(config),
            stop.clone(),
            workers.clone(),
        );
        tracing::info!(%replica, accounts = config.accounts.len(), "connected to Postgres and AWS");
        let permissions = Permissions {
            database: database.clone(),
            committer,
            outcomes,
            forwarder,
            workspaces,
            policy: policy(config),
            clock: clock.clone(),
        };
        let audit = Audit {
            database: database.clone(),
            clock: clock.clone(),
            tail: Tail::default(),
            keys,
            stop: CancellationToken::new(),
        };
        Ok(Self {
            config: config.clone(),
            clock,
            listener,
            address,
            database,
            permissions,
            audit,
            growth,
            work,
            stop,
            workers,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Warns of a database role that could rewrite the history.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn warn_of_privileges(&self) -> Result<(), ServerError> {
        let Privileges { superuser, owner } = self.database.privileges().await?;
        if superuser || owner {
            tracing::warn!(
                superuser,
                "the server's database role owns the audit history: let it be a member of sharewarden_writer (docs/roles.sql)"
            );
        }
        Ok(())
    }

    /// Answers until `shutdown`, then stops: first the calls, then what works on changes, then the committer.
    ///
    /// # Errors
    /// When gRPC ends by itself.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let Self {
            config,
            clock,
            listener,
            address: _,
            database,
            permissions,
            audit,
            growth,
            work,
            stop,
            workers,
        } = self;
        let (committer, outcomes) = (permissions.committer.clone(), permissions.outcomes.clone());
        let forwarder = permissions.forwarder.clone();
        let mut essential = JoinSet::new();
        essential.spawn(forwarder.run(work));
        essential.spawn(
            outcomes
                .clone()
                .watch(database.clone(), clock.clone(), POLL_OUTCOMES_EVERY, stop.clone()),
        );
        essential.spawn(outcomes.announce(database.clone(), stop.clone()));
        essential.spawn(partitions::keep(database.clone(), clock.clone(), stop.clone()));
        essential.spawn(growth.clone().announce(database.clone(), stop.clone()));
        essential.spawn(
            audit
                .tail
                .clone()
                .run(database.clone(), growth, clock.clone(), stop.clone()),
        );
        essential.spawn(Signer::new(audit.clone(), config.checkpoint.every).run(stop.clone()));
        let health = Health::new().await;
        let unhealthy = CancellationToken::new();
        let watching = workers.spawn(
            health
                .clone()
                .watch(database.clone(), clock.clone(), HEALTH, unhealthy.clone()),
        );

        let grace = config.server.shutdown_grace;
        let end_streams = audit.stop.clone();
        let services = Services {
            share_permissions: ShareService::new(permissions, config.server.max_wait),
            audit: AuditApi::new(audit, config.server.max_wait),
            authenticator: match config.auth.mode {
                AuthMode::TrustedHeader => Authenticator::TrustedHeader,
            },
            health,
            clock: clock.clone(),
            settings: ServerSettings {
                drain_timeout: grace,
                call_timeout: config.server.max_wait + TIME_TO_RECEIVE,
                allowed_origins: config.server.allowed_origins.clone(),
                ..ServerSettings::default()
            },
        };
        let began_to_stop = OnceLock::new();
        let shutdown = async {
            shutdown.await;
            tracing::info!("stopping");
            began_to_stop.get_or_init(|| clock.elapsed());
            unhealthy.cancel();
            // Not serving before the drain begins, so that no balancer sends more. A watch that panicked tells nothing.
            let _ = watching.await;
            end_streams.cancel();
        };
        let result = tokio::select! {
            result = grpc::serve(listener, services, shutdown) => result.map_err(ServerError::from),
            // None of them ends before it is told to, unless it panics. Better no server than one that does half its work.
            _ = essential.join_next() => Err(ServerError::TaskEnded),
        };

        stop.cancel();
        unhealthy.cancel();
        // One grace for all of it: what the calls have used is not there for the work.
        let used = began_to_stop
            .get()
            .map_or(Duration::ZERO, |began| clock.elapsed().since(*began));
        let ended = async {
            while essential.join_next().await.is_some() {}
            workers.close();
            workers.wait().await;
            committer.close().await;
        };
        let rest = grace.saturating_sub(used).max(LEAST_TIME_TO_END);
        if tokio::time::timeout(rest, ended).await.is_err() {
            tracing::warn!("stopping with work under way; recovery takes it up");
        }
        database.close().await;
        tracing::info!("stopped");
        result
    }
}

fn warn_of_unknown_regions(config: &Config) {
    for account in &config.accounts {
        for region in account
            .regions
            .iter()
            .filter(|region| !region.is_known_to_have_workspaces())
        {
            tracing::warn!(account_id = %account.id, %region, "WorkSpaces was not in this Region when this version was made");
        }
    }
}

fn database_settings(config: &Config) -> DatabaseSettings {
    let database = &config.database;
    DatabaseSettings {
        url: database.url.clone(),
        max_connections: database.max_connections,
        acquire_timeout: database.acquire_timeout,
        statement_timeout: database.statement_timeout,
    }
}

fn committer_settings(config: &Config) -> CommitterSettings {
    let committer = &config.committer;
    CommitterSettings {
        lanes: committer.lanes,
        queue: committer.queue,
        max_batch: committer.max_batch,
        single_account_batches: committer.single_account_batches,
        lease_for: config.forwarder.lease,
        commit_timeout: committer.commit_timeout,
    }
}

fn forwarder_settings(config: &Config) -> ForwarderSettings {
    let forwarder = &config.forwarder;
    ForwarderSettings {
        retry: RetryPolicy {
            base: forwarder.backoff_base,
            cap: forwarder.backoff_cap,
            give_up_after: forwarder.give_up_after,
        },
        lease_reserve: forwarder.attempt_timeout + forwarder.lease_margin,
        max_in_flight: forwarder.max_in_flight,
        max_backlog: forwarder.max_backlog,
        recover_every: forwarder.recover_every,
    }
}

fn workspaces_settings(config: &Config, credentials: BaseCredentials) -> workspaces::Settings {
    let attempt_timeout = config.forwarder.attempt_timeout;
    workspaces::Settings {
        accounts: config.accounts.iter().map(account_settings).collect(),
        endpoint_url: config.aws.endpoint_url.clone(),
        sts_endpoint_url: config.aws.sts_endpoint_url.clone(),
        credentials,
        verify_identity: config.aws.verify_identity,
        connect_timeout: attempt_timeout / 3,
        attempt_timeout,
        read_timeout: config.forwarder.read_timeout,
    }
}

fn account_settings(account: &AccountConfig) -> workspaces::AccountSettings {
    workspaces::AccountSettings {
        id: account.id,
        regions: account.regions.clone(),
        role_arn: account.role_arn.clone(),
        external_id: account.external_id.clone(),
        endpoint_url: account.endpoint_url.clone(),
    }
}

fn policy(config: &Config) -> Policy {
    let accounts: BTreeMap<_, _> = config
        .accounts
        .iter()
        .map(|account| match &account.share_with {
            ShareWithConfig::Anyone => (account.id, ShareWith::Anyone),
            ShareWithConfig::Only(accounts) => (account.id, ShareWith::Only(accounts.clone())),
        })
        .collect();
    Policy::new(accounts)
}
