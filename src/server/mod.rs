//! The composition root. It builds the rooms from the configuration, connects them, runs them, and stops them in order.
//!
//! [`Server`] is the service. The module `dev` has another `Server`, its private Postgres.

mod authentication;
mod checkpoint_keys;
mod drift_watch;
mod expiring;
mod files;
mod heartbeat;
mod owner;
mod pending;
mod policy_reload;
mod run;
mod signals;
mod waiting;

use std::{io, net::SocketAddr};

use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    archive as months,
    audit::{Audit, ConfirmError, KnownCheckpoints, Tail},
    changes::{ChangeService, Denials, RecentRequests},
    clock::Clock,
    config::{Config, ConfigFile, DriftConfig},
    domain::ReplicaId,
    drift::DriftParts,
    forwarder::{self, Forwarder},
    policy::{Policy, PolicyProblems, PolicySet, PolicySource},
    store::{self, Committer, Database, Leased, Notifications, Privileges, StoreError},
    telemetry::{self, Metrics, Telemetry, TelemetryError},
    workspaces::{self, AwsConnectError, BaseCredentials, WorkSpaces},
};

use authentication::CallerAuthentication;

pub use authentication::AuthenticationProblem;
pub use checkpoint_keys::CheckpointKeyProblem;
pub use files::{NamedFile, file_problems, named_files};
pub use owner::{archive, confirm, confirmable, finalize, migrate};
pub use signals::shutdown_signal;
pub use waiting::wait_for_store;

/// Why the server did not start, or has ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The socket cannot be bound.
    #[error("cannot listen on {address} ({key})")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The key of the configuration.
        key: &'static str,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Postgres does not answer, or refuses.
    #[error("the audit store cannot be used (database.url)")]
    Store(#[source] StoreError),
    /// The schema does not admit this build, or it was not migrated or finalized.
    #[error(transparent)]
    Schema(StoreError),
    /// AWS does not answer, or the credentials are wrong.
    #[error("cannot connect to AWS")]
    Connect(#[from] AwsConnectError),
    /// A key of checkpoints cannot be used.
    #[error(transparent)]
    Key(#[from] CheckpointKeyProblem),
    /// The certificates or the token keys cannot be used.
    #[error(transparent)]
    CallerAuthentication(#[from] AuthenticationProblem),
    /// The policy set cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyProblems),
    /// The committer's thread cannot be started.
    #[error("the committer's thread cannot be started")]
    Thread(#[source] io::Error),
    /// A background task ended before the server stopped.
    #[error("a background task of the server has panicked; the log has its message")]
    TaskEnded,
    /// The history could not be archived, or not completely.
    #[error("archiving the history failed")]
    Archive(#[from] months::Error),
    /// A ledger was not confirmed.
    #[error("the ledger is not confirmed")]
    Confirm(#[from] ConfirmError),
}

impl From<StoreError> for ServerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Schema(_) | StoreError::NotAdmitted { .. } => Self::Schema(error),
            error => Self::Store(error),
        }
    }
}

impl ServerError {
    /// True if Postgres does not answer now.
    pub fn is_store_away(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_away())
    }

    /// True if the schema does not admit this build, and cannot be migrated.
    pub fn is_schema(&self) -> bool {
        matches!(self, Self::Schema(_))
    }
}

/// The most findings of drift that are committed at the same time.
const DRIFT_AT_ONCE: usize = 8;

/// Binds the socket of the RPC port.
///
/// # Errors
/// If the address is in use, or does not belong to this machine.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    listen_for("server.listen", address).await
}

async fn listen_for(key: &'static str, address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServerError::Listen { address, key, source })
}

/// Sets up the log, the traces and the metrics of this process. Rooms limit what their libraries may log, because those would log
/// secrets or raw driver errors. Call [`end`](Telemetry::end) at the end.
///
/// # Errors
/// If the filter cannot be parsed, a log exists already, or the collector's address or headers are invalid.
pub fn init_telemetry(config: &Config) -> Result<Telemetry, TelemetryError> {
    telemetry::init(
        &config.log,
        &config.telemetry,
        config.admin.listen.is_some(),
        &[&workspaces::LOG_DIRECTIVES[..], &store::LOG_DIRECTIVES[..]].concat(),
    )
}

/// A server that is connected and does not serve yet.
pub struct Server {
    config: Config,
    config_file: Option<ConfigFile>,
    clock: Clock,
    listener: TcpListener,
    address: SocketAddr,
    database: Database,
    changes: ChangeService,
    audit: Audit,
    replica: ReplicaId,
    notifications: Notifications,
    work: mpsc::UnboundedReceiver<Leased>,
    metrics: Metrics,
    authentication: CallerAuthentication,
    admin: Option<TcpListener>,
    drift: DriftParts,
    /// Stops the forwarder.
    stop: CancellationToken,
}

impl Server {
    /// The policy in force. It can be replaced while the server runs.
    pub fn policy(&self) -> Policy {
        self.changes.policy.clone()
    }

    /// Connects to Postgres and AWS, without metrics.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn build(
        config: &Config,
        credentials: BaseCredentials,
        clock: Clock,
        listener: TcpListener,
    ) -> Result<Self, ServerError> {
        Self::build_measured(config, credentials, clock, listener, &Metrics::default()).await
    }

    /// Connects to Postgres and AWS, with metrics.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn build_measured(
        config: &Config,
        credentials: BaseCredentials,
        clock: Clock,
        listener: TcpListener,
        metrics: &Metrics,
    ) -> Result<Self, ServerError> {
        let address = listener.local_addr().map_err(|source| ServerError::Listen {
            address: config.server.listen,
            key: "server.listen",
            source,
        })?;
        let admin = match config.admin.listen {
            Some(address) => Some(listen_for("admin.listen", address).await?),
            None => None,
        };
        let keys = checkpoint_keys::read(&config.checkpoint)?;
        let authentication = CallerAuthentication::new(config, &clock).await?;
        let instruments = metrics.instruments();
        let database = Database::new(&config.database.for_shared_pool(&config.committer), &clock)?;
        database.check().await?;
        // Only now, because a gauge cannot be removed, and a start is tried again while Postgres is away.
        let database = database.measured_by(instruments);
        warn_about_unknown_regions(config);
        let workspaces = WorkSpaces::connect(&workspaces::WorkSpacesSettings {
            accounts: config.accounts.clone(),
            aws: config.aws.clone(),
            forwarder: config.forwarder,
            credentials,
            clock: clock.clone(),
            instruments: instruments.clone(),
        })
        .await?;

        let (stop, notifications) = (CancellationToken::new(), Notifications::default());
        let (work_sender, work) = mpsc::unbounded_channel();
        let replica = ReplicaId(clock.uuid());
        let committer = Committer::start(
            &database,
            config.committer,
            &config.forwarder,
            replica,
            &clock,
            &notifications,
            &work_sender,
        )
        .map_err(ServerError::Thread)?;
        let set = policy_set(config)?;
        store::policy_sets::keep(&database, set.digest(), set.text()).await?;
        let policy_set = set.digest();
        instruments.set_policy_set(policy_set);
        let policy = Policy::new(set);
        let dependencies = forwarder::Dependencies {
            database: database.clone(),
            committer: committer.clone(),
            workspaces: workspaces.clone(),
            policy: policy.clone(),
            clock: clock.clone(),
            released_work: notifications.released_work.clone(),
        };
        let forwarder = Forwarder::new(dependencies, config.forwarder, stop.clone());
        tracing::info!(%replica, accounts = config.accounts.len(), %policy_set, "connected to Postgres and AWS");
        let drift = DriftParts {
            database: database.clone(),
            commits: committer.in_background(DRIFT_AT_ONCE),
            workspaces: workspaces.clone(),
            forwarder: forwarder.clone(),
            clock: clock.clone(),
            replica,
            settings: drift_settings(config),
        };
        let denials = Denials::new(&config.denials, &committer, &clock, instruments);
        let changes = ChangeService {
            database: database.clone(),
            committer,
            outcomes: notifications.outcomes.clone(),
            forwarder,
            workspaces,
            policy,
            denials,
            recent: RecentRequests::default(),
            clock: clock.clone(),
        };
        let audit = Audit {
            database: database.clone(),
            clock: clock.clone(),
            tail: Tail::default(),
            keys,
            known: KnownCheckpoints::default(),
            stop: CancellationToken::new(),
        };
        audit.tail.measured_by(instruments);
        Ok(Self {
            config: config.clone(),
            config_file: None,
            clock,
            listener,
            address,
            database,
            changes,
            audit,
            replica,
            notifications,
            work,
            metrics: metrics.clone(),
            authentication,
            admin,
            drift,
            stop,
        })
    }

    /// The bound address of the RPC port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads this file, which the configuration came from, again when it changes.
    #[must_use]
    pub fn with_config_file(mut self, file: Option<ConfigFile>) -> Self {
        self.config_file = file;
        self
    }

    /// Opens the admin port on a socket that is bound already.
    #[must_use]
    pub fn with_admin_listener(mut self, listener: TcpListener) -> Self {
        self.admin = Some(listener);
        self
    }

    /// The bound address of the admin port, if it is enabled.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
    }

    /// Logs a warning if the database role could rewrite the history, or if Postgres does not tell.
    pub async fn warn_about_privileges(&self) {
        match self.database.privileges().await {
            Ok(Privileges { superuser, owner }) if superuser || owner => tracing::warn!(
                superuser,
                "the server's database role can rewrite the audit history: use a member of sharewarden_writer (docs/roles.sql)"
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot read the rights of the server's database role"
            ),
        }
    }
}

/// The settings of the comparison with AWS. Two looks at a difference are as far apart as a call may take to have its effect.
fn drift_settings(config: &Config) -> DriftConfig {
    DriftConfig {
        confirm_after: config.drift.confirm_after.max(config.forwarder.late_effect_window),
        ..config.drift
    }
}

/// The policy set that the configuration describes. Its warnings are logged.
///
/// # Errors
/// If the set cannot be used.
pub fn policy_set(config: &Config) -> Result<PolicySet, PolicyProblems> {
    compiled(PolicySource::of(config)?)
}

/// The policy set of this source. Its warnings are logged.
fn compiled(source: PolicySource) -> Result<PolicySet, PolicyProblems> {
    let set = PolicySet::compile(source)?;
    for warning in set.warnings() {
        tracing::warn!(%warning, "the policy set may be wrong");
    }
    Ok(set)
}

fn warn_about_unknown_regions(config: &Config) {
    for account in &config.accounts {
        for region in account
            .regions
            .iter()
            .filter(|region| !region.is_known_to_have_workspaces())
        {
            tracing::warn!(account_id = %account.id, %region, "the Region is not in this version's list of Regions with WorkSpaces: check its name (accounts.regions)");
        }
    }
}
